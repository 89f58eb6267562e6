// SPDX-License-Identifier: Apache-2.0
/// The interface of CPU schedulers, and what the rest of the hypervisor asks of the machine's one.
#pragma once

#include <cstdint>

#include "abi/xen/vcpu.hpp"
#include "hypervisor/sched/unit.hpp"
#include "lib/base/result.hpp"
#include "lib/base/types.hpp"

namespace hv {

/// What a scheduler decides for one CPU.
struct SchedDecision {
    SchedUnit* next;       ///< the idle unit when nothing can run
    base::Nanos slice;     ///< run at most this long; never() when alone
};

struct SchedParams {
    uint16_t weight = 256;
    uint16_t cap = 0;  ///< percent of one CPU; 0 = none
};

/// A scheduling policy. All calls come with its own run-queue lock NOT held; it takes Rank::sched itself.
class Scheduler {
public:
    virtual const char* name() const = 0;
    virtual uint32_t abi_id() const = 0;  ///< XEN_SCHEDULER_*
    /// Adds a unit; `spread` says at which CPU to begin, any number. Errors: nomem.
    virtual base::Status insert(SchedUnit& u, unsigned spread) = 0;
    /// A removed unit is not runnable anywhere.
    virtual void remove(SchedUnit& u) = 0;
    /// u became runnable: queue it and kick the CPU that should run it.
    virtual void wake(SchedUnit& u) = 0;
    /// u stopped being runnable (blocked, paused); if it is running somewhere, that CPU is told to reschedule.
    virtual void sleep(SchedUnit& u) = 0;
    virtual void yield(SchedUnit& u) = 0;
    /// Chooses what `cpu` (the calling one) runs next; `prev` is what it ran, runnable or not.
    virtual SchedDecision pick(unsigned cpu, SchedUnit& prev, base::Nanos now) = 0;
    /// `prev` has been switched out completely: sets its running_on to -1, after which it may run elsewhere.
    virtual void switched_out(SchedUnit& prev) = 0;
    /// Errors: inval, opnotsupp for what this policy does not have.
    virtual base::Status set_params(SchedGroup& g, SchedParams p) = 0;
    virtual SchedParams params(const SchedGroup& g) const = 0;

protected:
    ~Scheduler() = default;
};

namespace sched {
/// The machine's scheduler, chosen on the command line ("credit2" is what ours answers to). Boot only, before any vCPU
/// but after the heap.
void init(const char* name);
/// Makes the CPU's run queue, with `idle` running. Boot only, on each CPU or for it.
void init_cpu(unsigned cpu, SchedUnit& idle);
Scheduler& scheduler();
/// What this CPU runs next, `prev` again perhaps; its slice has been set. Who gets another one switches to it, then calls
/// Scheduler::switched_out().
SchedUnit& pick_next(SchedUnit& prev);
/// Takes u off the CPUs / lets it run again. Nested: counts. u may still be running when this returns.
void pause_nosync(SchedUnit& u);
void unpause(SchedUnit& u);
/// Call after changing u.affinity: u leaves a CPU where it may not be.
void affinity_changed(SchedUnit& u);
/// Time u has run so far.
base::Nanos runtime(const SchedUnit& u);
/// u's times in each RUNSTATE_*, up to now.
xen::VcpuRunstateInfo runstate(const SchedUnit& u);
/// The same as of its last change: what lies in between begins at state_entry_time.
xen::VcpuRunstateInfo runstate_at_change(const SchedUnit& u);
/// The shortest time a unit runs before another may take its place, in microseconds (XEN_SYSCTL scheduler parameters).
uint32_t ratelimit_us();
void set_ratelimit_us(uint32_t us);
}  // namespace sched

}  // namespace hv
