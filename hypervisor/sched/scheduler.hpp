// SPDX-License-Identifier: Apache-2.0
/// The interface of CPU schedulers, and the glue that the rest of the hypervisor calls.
#pragma once

#include <cstdint>

#include "abi/xen/vcpu.hpp"
#include "hypervisor/arch/x86/cpu.hpp"
#include "lib/base/result.hpp"
#include "lib/base/types.hpp"

namespace hv {

struct Vcpu;
struct Domain;

/// What a scheduler decides for one CPU.
struct SchedDecision {
    Vcpu* next;            ///< the idle vCPU when nothing can run
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
    /// Adds/removes a vCPU; a removed vCPU is not runnable anywhere.
    virtual base::Status insert(Vcpu& v) = 0;
    virtual void remove(Vcpu& v) = 0;
    /// v became runnable: queue it and kick the CPU that should run it.
    virtual void wake(Vcpu& v) = 0;
    /// v stopped being runnable (blocked, paused); if it is running somewhere, that CPU is told to reschedule.
    virtual void sleep(Vcpu& v) = 0;
    virtual void yield(Vcpu& v) = 0;
    /// Chooses what `cpu` (the calling one) runs next; `prev` is what it ran, runnable or not.
    virtual SchedDecision pick(unsigned cpu, Vcpu& prev, base::Nanos now) = 0;
    /// `prev` has been switched out completely: sets its running_on to -1, after which it may run elsewhere.
    virtual void switched_out(Vcpu& prev) = 0;
    virtual base::Status set_params(Domain& d, SchedParams p) = 0;
    virtual SchedParams params(const Domain& d) const = 0;

protected:
    ~Scheduler() = default;
};

namespace sched {
/// The machine's scheduler, chosen on the command line ("credit2" is what ours answers to). Boot only, before any vCPU
/// but after the heap.
void init(const char* name);
/// Makes this CPU's run queue; its idle vCPU must exist and be `current`. Boot only, on each CPU or for it.
void init_cpu(unsigned cpu);
Scheduler& scheduler();
/// Blocks the current vCPU unless an event is pending; the switch happens on the way out to the guest.
void block_current();
void yield_current();
/// Makes a blocked vCPU runnable. Any CPU; no locks above Rank::sched needed.
void unblock(Vcpu& v);
/// Takes v off the CPUs / lets it run again. Nested: counts.
void pause_nosync(Vcpu& v);
/// Also waits until v is not running anywhere. Never for the current vCPU.
void pause(Vcpu& v);
void unpause(Vcpu& v);
/// Picks and switches; returns only when the same vCPU goes on. Called by the soft interrupt loop.
void schedule();
/// Time v has run so far.
base::Nanos runtime(const Vcpu& v);
/// v's times in each RUNSTATE_*, up to now.
xen::VcpuRunstateInfo runstate(const Vcpu& v);
/// The same as of its last change: what lies in between begins at state_entry_time.
xen::VcpuRunstateInfo runstate_at_change(const Vcpu& v);
/// Writes the current vCPU's runstate into its guest's memory, if it asked for that; guest/ does it, which knows whether
/// that memory can be reached now (else v.runstate_stale, and it is done on the way into kernel mode). No locks held.
/// Called on each switch.
void update_guest_runstate(Vcpu& v);
/// Call after changing v.affinity: v leaves a CPU where it may not be.
void affinity_changed(Vcpu& v);
/// The shortest time a vCPU runs before another may take its place, in microseconds (XEN_SYSCTL scheduler parameters).
uint32_t ratelimit_us();
void set_ratelimit_us(uint32_t us);
}  // namespace sched

}  // namespace hv
