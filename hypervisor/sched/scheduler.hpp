// SPDX-License-Identifier: Apache-2.0
/// The interface of CPU schedulers, pools of CPUs under one of them, and what the rest of the hypervisor asks of both.
#pragma once

#include <cstdint>

#include "abi/xen/domctl_domain.hpp"
#include "abi/xen/sysctl_policy.hpp"
#include "abi/xen/vcpu.hpp"
#include "abi/xenolith/sched.hpp"
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

/// What pools begin with, as the command line has it.
struct SchedSettings {
    uint32_t ratelimit_us;
    uint32_t tslice_ms;  ///< of credit
};

/// A scheduling policy at work in one pool. All calls come with its own run-queue lock NOT held; it takes Rank::sched itself. One that
/// is called for a unit that has gone to another pool meanwhile passes the call on.
class Scheduler {
public:
    /// The same policy for another pool, without CPUs. Errors: nomem.
    virtual base::Result<Scheduler*> another() const = 0;
    virtual const char* name() const = 0;   ///< as `sched=` and the tools have it
    virtual const char* title() const = 0;  ///< for people
    virtual uint32_t abi_id() const = 0;    ///< XEN_SCHEDULER_*
    /// Its parameters become those of a new pool. It has neither CPUs nor units.
    virtual void begin(const SchedSettings& settings) = 0;
    /// Takes the CPU, on which `idle` runs and which no other has.
    virtual void add_cpu(unsigned cpu, SchedUnit& idle) = 0;
    /// The CPU takes no unit any more, and what waits there goes elsewhere; one that runs leaves when it next picks. Another
    /// CPU stays. Who may run on none of those that stay may run on all.
    virtual void remove_cpu(unsigned cpu) = 0;
    /// Nobody is on the CPU that was removed: it is not this scheduler's any more.
    virtual void drop_cpu(unsigned cpu) = 0;
    /// Adds a unit; `spread` says at which CPU to begin, any number. Errors: nomem.
    virtual base::Status insert(SchedUnit& u, unsigned spread) = 0;
    /// A removed unit is not runnable anywhere.
    virtual void remove(SchedUnit& u) = 0;
    /// Takes a unit over from another pool, as insert() would. It does not run, and may not until this is done; its group is in this pool
    /// already.
    virtual void adopt(SchedUnit& u, unsigned spread) = 0;
    /// Its group has gone to another pool, which will adopt it: forgets it. Calls that come for it until then do nothing, or are passed on. It
    /// does not run, and may not.
    virtual void leave(SchedUnit& u) = 0;
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
    virtual base::Status group_params(SchedGroup& g, xenolith::SchedGroupOp& op) = 0;
    /// Whether units have parameters of their own, for unit_params().
    virtual bool has_unit_params() const { return false; }
    /// Reads (XEN_DOMCTL_SCHEDOP_getvcpuinfo) or writes those of one. Errors: inval.
    virtual base::Status unit_params(SchedUnit&, uint32_t /*cmd*/, xen::DomctlSchedParamVcpu&) {
        return base::Err{base::Errc::inval};
    }
    /// The same for the parameters of the policy itself.
    virtual base::Status policy_params(xenolith::SchedPolicyOp& op) = 0;
    /// Reads or writes a table of times. Errors: inval, also where there is none.
    virtual base::Status table(uint32_t /*cmd*/, xen::SysctlArinc653Schedule&) { return base::Err{base::Errc::inval}; }

    /// Who got a CPU keeps it so long, whoever waits, unless it blocks, yields, may not be there or has used its cap; 0: no such time.
    std::atomic<uint32_t> ratelimit_us{0};

protected:
    ~Scheduler() = default;
};

/// CPUs that one policy shares out among the groups of the pool. Changes under the control operations' turn. The structure and its
/// policy are never freed: a CPU may look at those of a pool that a unit had a moment ago.
struct CpuPool {
    uint32_t id;
    Scheduler* policy;
    CpuMask cpus;
    CpuPool* next = nullptr;  ///< with the next higher number
};

namespace sched {
/// Pool 0, with every CPU that no other has been given. It is always there.
CpuPool& pool0();
/// Chooses pool 0's policy by the name that tools or the command line give it, and what pools begin with. Boot only, before any vCPU
/// but after the heap.
void init(const char* name, const SchedSettings& settings);
/// Gives the CPU to pool 0, with `idle` running. Boot only, on each CPU or for it.
void init_cpu(unsigned cpu, SchedUnit& idle);
/// The CPU's idle unit.
SchedUnit& idle_unit(unsigned cpu);
/// Takes it back: nobody is sent there any more. Boot only, for a CPU that did not start.
void remove_cpu(unsigned cpu);
inline Scheduler& policy_of(const SchedUnit& u) { return *u.group.pool.load(std::memory_order_acquire)->policy; }
/// Gives a group what one has that nothing was said about. None of its units runs or may.
void default_shares(SchedGroup& g);
/// What this CPU runs next, `prev` again perhaps; its slice has been set. Who gets another one switches to it, then calls
/// Scheduler::switched_out().
SchedUnit& pick_next(SchedUnit& prev);
/// u became runnable.
void wake(SchedUnit& u);
/// Takes u off the CPUs / lets it run again. Nested: counts. u may still be running when this returns.
void pause_nosync(SchedUnit& u);
void unpause(SchedUnit& u);
/// Time u has run so far.
base::Nanos runtime(const SchedUnit& u);
/// u's times in each RUNSTATE_*, up to now.
xen::VcpuRunstateInfo runstate(const SchedUnit& u);

// -- pools. Context: the turn of control operations ---------------------------------------------------------------------

/// So many there may be, pool 0 among them: two for each CPU, as on Xen.
unsigned max_pools();
/// The first pool with this number or a higher one; null: none.
CpuPool* pool_from(uint32_t id);
/// Makes a pool without CPUs; XEN_SYSCTL_CPUPOOL_PAR_ANY: with the first number that is free.
/// Errors: noent, no policy has this XEN_SCHEDULER_*; exist; nospc; nomem.
base::Result<CpuPool*> pool_create(uint32_t id, uint32_t policy_id);
/// Only one that has neither CPUs nor groups, and is not pool 0.
void pool_destroy(CpuPool& pool);
/// CPUs in no pool: they idle.
CpuSet free_cpus();
/// Gives a free CPU to the pool.
void pool_add_cpu(CpuPool& pool, unsigned cpu);
/// Nobody is sent to this CPU of the pool any more; who is there may stay for a moment yet: the caller sees to it that no unit has it as its
/// SchedUnit::cpu (Scheduler::affinity_changed), then frees it.
void pool_remove_cpu(CpuPool& pool, unsigned cpu);
/// The pool that the CPU is on its way out of; null: none.
CpuPool* pool_left_by(unsigned cpu);
/// Nobody is on the CPU that has been removed.
void pool_free_cpu(unsigned cpu);

// -- for policies -----------------------------------------------------------------------------------------------------

/// What a machine gets that asks for none.
extern Scheduler& default_policy;
/// Those that there are; null ends them.
extern Scheduler* const policies[];
/// Makes what policies keep of a CPU. Errors: nomem.
base::Status prepare_cpu(unsigned cpu);
/// Lets the slice of what runs on `cpu` end at `t` (or earlier). Locks: may hold Rank::sched.
void end_slice_at(unsigned cpu, base::Nanos t);
/// Makes `cpu` pick again soon.
void reschedule(unsigned cpu);
}  // namespace sched

}  // namespace hv
