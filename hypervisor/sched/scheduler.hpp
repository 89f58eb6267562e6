// SPDX-License-Identifier: Apache-2.0
/// The interface of CPU schedulers, pools of CPUs under one of them, and what the rest of the hypervisor asks of both.
#pragma once

#include <cstdint>

#include "abi/xen/domctl_domain.hpp"
#include "abi/xen/sysctl_policy.hpp"
#include "abi/xen/vcpu.hpp"
#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/sched/unit.hpp"
#include "lib/base/result.hpp"
#include "lib/base/types.hpp"

namespace hv {

/// What a scheduler decides for one CPU.
struct SchedDecision {
    SchedUnit* next;    ///< the idle unit when nothing can run
    base::Nanos slice;  ///< run at most this long; never() when alone
};

/// A scheduling policy. All calls come with its own run-queue lock NOT held; it takes Rank::sched itself.
class Scheduler {
public:
    virtual const char* name() const = 0;   ///< as `sched=` and the tools have it
    virtual const char* title() const = 0;  ///< for people
    virtual uint32_t abi_id() const = 0;    ///< XEN_SCHEDULER_*
    /// Makes the CPU's run queue, with `idle` running. On that CPU, or before it runs. Errors: nomem.
    virtual base::Status add_cpu(unsigned cpu, SchedUnit& idle) = 0;
    /// The CPU takes no unit any more, and what waits there goes elsewhere; one that runs leaves when it next picks. Another
    /// CPU stays. Who may run on none of those that stay may run on all.
    virtual void remove_cpu(unsigned cpu) = 0;
    /// Adds a unit; `spread` says at which CPU to begin, any number. Errors: nomem.
    virtual base::Status insert(SchedUnit& u, unsigned spread) = 0;
    /// A removed unit is not runnable anywhere.
    virtual void remove(SchedUnit& u) = 0;
    /// u became runnable: queue it and kick the CPU that should run it.
    virtual void wake(SchedUnit& u) = 0;
    /// u stopped being runnable (blocked, paused); if it is running somewhere, that CPU is told to reschedule.
    virtual void sleep(SchedUnit& u) = 0;
    virtual void yield(SchedUnit& u) = 0;
    /// u.affinity has changed: u leaves a CPU where it may not be.
    virtual void affinity_changed(SchedUnit& u) = 0;
    /// Chooses what `cpu` (the calling one) runs next; `prev` is what it ran, runnable or not.
    virtual SchedDecision pick(unsigned cpu, SchedUnit& prev, base::Nanos now) = 0;
    /// `prev` has been switched out completely: sets its running_on to -1, after which it may run elsewhere.
    virtual void switched_out(SchedUnit& prev) = 0;
    /// A consistent copy of u's run state, as of its last change.
    virtual xen::VcpuRunstateInfo runstate_at_change(const SchedUnit& u) const = 0;
    /// Reads or writes a group's parameters, in the form that this policy's tools know: op.cmd, op.u.
    /// Errors: inval; opnotsupp for what this policy does not have.
    virtual base::Status group_params(SchedGroup& g, xen::DomctlSchedulerOp& op) = 0;
    /// The same for the parameters of the policy itself.
    virtual base::Status policy_params(xen::SysctlSchedulerOp& op) = 0;

    /// The shortest time a unit runs before another may take its place.
    std::atomic<uint32_t> ratelimit_us{100};

protected:
    ~Scheduler() = default;
};

/// CPUs that one policy shares out among the groups of the pool.
struct CpuPool {
    uint32_t id;
    Scheduler* policy;
    CpuMask cpus;
};

namespace sched {
/// Pool 0, with every CPU and, as long as there is no other, every domain.
CpuPool& pool0();
/// Chooses pool 0's policy by the name that tools or the command line give it. Boot only, before any vCPU but after the heap.
void init(const char* name);
/// Gives the CPU to pool 0, with `idle` running. Boot only, on each CPU or for it.
void init_cpu(unsigned cpu, SchedUnit& idle);
/// Takes it back: nobody is sent there any more. Boot only, for a CPU that did not start.
void remove_cpu(unsigned cpu);
inline Scheduler& policy_of(const SchedUnit& u) { return *u.group.pool->policy; }
/// What this CPU runs next, `prev` again perhaps; its slice has been set. Who gets another one switches to it, then calls
/// Scheduler::switched_out().
SchedUnit& pick_next(SchedUnit& prev);
/// Takes u off the CPUs / lets it run again. Nested: counts. u may still be running when this returns.
void pause_nosync(SchedUnit& u);
void unpause(SchedUnit& u);
/// Time u has run so far.
base::Nanos runtime(const SchedUnit& u);
/// u's times in each RUNSTATE_*, up to now.
xen::VcpuRunstateInfo runstate(const SchedUnit& u);

// -- for policies -----------------------------------------------------------------------------------------------------

/// What a machine gets that asks for none.
extern Scheduler& default_policy;
/// Those that there are; null ends them.
extern Scheduler* const policies[];
/// Lets the slice of what runs on `cpu` end at `t` (or earlier). Locks: may hold Rank::sched.
void end_slice_at(unsigned cpu, base::Nanos t);
/// Makes `cpu` pick again soon.
void reschedule(unsigned cpu);
}  // namespace sched

}  // namespace hv
