// SPDX-License-Identifier: Apache-2.0
/// What policies have in common that share CPUs out of one queue for their pool.
///
/// One lock guards the queue, who runs where, and the policy's figures. A policy says who goes first (key()), what becomes of who has run
/// (ran(), may_wait()), and how long he may run; the rest is here: who is told when somebody waits, who may be taken where, comings and
/// goings of units and CPUs.
///
///  - A unit waits, runs, or neither; `waits` and `runs` say so. Who waits is in a queue, or the policy has it wait for its time.
///  - Who may run on one CPU alone waits in that CPU's own queue, so that others need not look past him.
///  - While SchedUnit::running_on names a CPU the registers are there: no other CPU takes the unit. switched_out() tells who may then.
///  - A CPU that idles is told once (`called`) and looks for itself; after each choice idle CPUs are told of what still waits.
#pragma once

#include "abi/xenolith/sched.hpp"
#include "hypervisor/sched/scheduler.hpp"
#include "hypervisor/sched/shared_unit.hpp"
#include "hypervisor/sync/spinlock.hpp"
#include "hypervisor/time/timer.hpp"

namespace hv {

class SharedScheduler : public Scheduler {
public:
    void add_cpu(unsigned cpu, SchedUnit& idle) final;
    void remove_cpu(unsigned cpu) final;
    void drop_cpu(unsigned cpu) final;
    base::Status insert(SchedUnit& u, unsigned spread) final;
    void remove(SchedUnit& u) final;
    void adopt(SchedUnit& u, unsigned spread) final;
    void leave(SchedUnit& u) final;
    void wake(SchedUnit& u) final;
    void sleep(SchedUnit& u) final;
    void yield(SchedUnit& u) final;
    void affinity_changed(SchedUnit& u) final;
    SchedDecision pick(unsigned cpu, SchedUnit& prev, base::Nanos now) final;
    void switched_out(SchedUnit& prev) final;
    xen::VcpuRunstateInfo runstate_at_change(const SchedUnit& u) const final;
    void begin(const SchedSettings& settings) override;
    /// As on Xen: a policy that has no parameters takes and gives any.
    base::Status group_params(SchedGroup& g, xenolith::SchedGroupOp& op) override;
    base::Status policy_params(xenolith::SchedPolicyOp& op) override;

protected:
    using Key = base::TreeKey;
    using Queue = base::Tree<SharedUnit, &SharedUnit::place>;

    SharedScheduler() : due_(time_came, this) {}
    ~SharedScheduler() = default;

    // -- what a policy says; each with the lock held ------------------------------------------------------------------

    /// A unit comes: it gets what one has that nothing was said about, or what the others of its group have (`like`, null: none).
    virtual void joined(SharedUnit& e, const SharedUnit* like, base::Nanos now) REQUIRES(lock_) = 0;
    virtual void left(SharedUnit&) REQUIRES(lock_) {}
    /// It rested, and is about to wait.
    virtual void woke(SharedUnit&, base::Nanos) REQUIRES(lock_) {}
    /// It waited, and runs from now on.
    virtual void started(SharedUnit&) REQUIRES(lock_) {}
    /// It rests from now on, or still, for one more reason.
    virtual void rested(SharedUnit&) REQUIRES(lock_) {}
    /// It has run for `time`.
    virtual void ran(SharedUnit&, base::Nanos /*time*/) REQUIRES(lock_) {}
    /// Whether it may wait in a queue; else the policy has it wait for its time, and then calls requeue(). `yields`: it gives its turn away.
    virtual bool may_wait(SharedUnit&, bool /*yields*/) REQUIRES(lock_) { return true; }
    /// The least goes first; who has a lesser one than a running unit goes before that at once.
    virtual Key key(const SharedUnit& e) const REQUIRES(lock_) = 0;
    /// How long it may run.
    virtual base::Nanos slice(const SharedUnit& e, base::Nanos now) const REQUIRES(lock_) = 0;
    /// Whether the policy lets it run there now; its affinity does.
    virtual bool fits(const SharedUnit&, unsigned /*cpu*/) const REQUIRES(lock_) { return true; }
    /// The waiting unit that runs next on the CPU; `skip` only when there is no other.
    virtual SharedUnit* best(unsigned cpu, const SharedUnit* skip) REQUIRES(lock_);
    /// When something is due; then due() is called, and before each choice.
    virtual base::Nanos next_due() const REQUIRES(lock_) { return base::Nanos::never(); }
    virtual void due(base::Nanos) REQUIRES(lock_) {}
    /// The pool has other CPUs than before, or a unit another affinity.
    virtual void places_changed() REQUIRES(lock_) {}

    // -- what it may use ----------------------------------------------------------------------------------------------

    /// Puts one that waits where it belongs by its key now, and tells who should take it.
    void requeue(SharedUnit& e, base::Nanos now) REQUIRES(lock_);
    /// One that runs has another key: others may go before it now.
    void recheck(SharedUnit& e) REQUIRES(lock_);
    /// Accounts what all have run until now.
    void settle(base::Nanos now) REQUIRES(lock_);
    /// Has the CPUs that run or may run e look again.
    void look_again(SharedUnit& e, base::Nanos now) REQUIRES(lock_);
    /// For parameters of a whole group: calls f with each of its units.
    template <class F>
    void each_of(const SchedGroup& g, F f) REQUIRES(lock_) {
        for (SharedUnit& e : members_)
            if (&e.unit.group == &g) f(e);
    }
    SharedUnit* one_of(const SchedGroup& g) REQUIRES(lock_) {
        for (SharedUnit& e : members_)
            if (&e.unit.group == &g) return &e;
        return nullptr;
    }
    CpuSet allowed(const SchedUnit& u) const;
    bool may_run(const SchedUnit& u, unsigned cpu) const {
        return online_.test(cpu) && (u.affinity.test(cpu) || !u.affinity.meets(online_));
    }
    /// Whether the CPU may take it now.
    bool takes(unsigned cpu, const SharedUnit& e) const {
        const int32_t on = e.unit.running_on.load(std::memory_order_acquire);
        return may_run(e.unit, cpu) && (on < 0 || static_cast<unsigned>(on) == cpu);
    }

    mutable Spinlock lock_{Rank::sched};
    base::List<SharedUnit, &SharedUnit::member> members_ GUARDED_BY(lock_);
    CpuMask online_;
    base::Nanos least_run_ GUARDED_BY(lock_){};  ///< who got a CPU keeps it so long

private:
    Queue queue_ GUARDED_BY(lock_);
    Timer due_;
    base::Nanos armed_ GUARDED_BY(lock_) = base::Nanos::never();

    static void time_came(void* self);
    void arm(base::Nanos now) REQUIRES(lock_);
    void enqueue(SharedUnit& e) REQUIRES(lock_);
    void dequeue(SharedUnit& e) REQUIRES(lock_);
    void requeue_all(base::Nanos now) REQUIRES(lock_);
    void join(SharedUnit& e, unsigned spread, base::Nanos now) REQUIRES(lock_);
    void part(SharedUnit& e) REQUIRES(lock_);
    void account(unsigned cpu, base::Nanos now) REQUIRES(lock_);
    void put_back(unsigned cpu, SharedUnit& e, bool yields, base::Nanos now) REQUIRES(lock_);
    SchedDecision start(unsigned cpu, SharedUnit* next, SchedUnit& prev, base::Nanos now) REQUIRES(lock_);
    void tell(SharedUnit& e, base::Nanos now) REQUIRES(lock_);
    void call(unsigned cpu) REQUIRES(lock_);
    void preempt(unsigned cpu, base::Nanos now) REQUIRES(lock_);
    void hand_out() REQUIRES(lock_);
    Queue& queue_of(const SharedUnit& e) REQUIRES(lock_);
};

}  // namespace hv
