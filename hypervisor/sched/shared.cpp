// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/sched/shared.hpp"

#include "abi/xen/domctl.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/sched/unit_data.hpp"

namespace hv {

using base::Nanos;

namespace {

/// What a CPU is to the scheduler that has it. Locks: that one's; `scheduler` changes under it.
struct SharedCpu {
    std::atomic<SharedScheduler*> scheduler{nullptr};
    base::Tree<SharedUnit, &SharedUnit::place> own;  ///< who may run here alone
    SharedUnit* curr = nullptr;
    Nanos charged{};      ///< curr's time is accounted up to here
    Nanos switched_in{};  ///< curr runs since
    bool called = false;  ///< it idles, was told, and has not looked yet
};
SharedCpu shared_cpus[max_cpus];

constexpr Nanos least_slice = Nanos::us(5);  ///< a rest that is less is not worth a timer: it is owed

}  // namespace

// -- the queue --------------------------------------------------------------------------------------------------------

CpuSet SharedScheduler::allowed(const SchedUnit& u) const {
    const CpuSet online = online_.load();
    const CpuSet both = u.affinity.load() & online;
    return both.empty() ? online : both;
}

SharedScheduler::Queue& SharedScheduler::queue_of(const SharedUnit& e) {
    return e.own_cpu < 0 ? queue_ : shared_cpus[e.own_cpu].own;
}

void SharedScheduler::enqueue(SharedUnit& e) {
    const CpuSet places = allowed(e.unit);
    e.own_cpu = places.count() == 1 ? static_cast<int32_t>(places.first()) : -1;
    queue_of(e).insert(e, key(e));
}

void SharedScheduler::dequeue(SharedUnit& e) {
    if (e.place.linked()) queue_of(e).remove(e);
}

void SharedScheduler::requeue(SharedUnit& e, Nanos now) {
    if (!e.waits) return;
    dequeue(e);
    if (!may_wait(e, false)) return;
    enqueue(e);
    tell(e, now);
}

void SharedScheduler::requeue_all(Nanos now) {
    for (SharedUnit& e : members_)
        if (e.place.linked()) {
            dequeue(e);
            enqueue(e);
        }
    for (SharedUnit& e : members_) {
        const unsigned cpu = e.unit.cpu.load(std::memory_order_relaxed);
        if (e.place.linked()) tell(e, now);
        else if (e.runs && !may_run(e.unit, cpu)) sched::reschedule(cpu);
    }
}

SharedUnit* SharedScheduler::best(unsigned cpu, const SharedUnit* skip) {
    SharedUnit* found = nullptr;
    SharedUnit* skipped = nullptr;
    const auto look = [&](const Queue& q) {
        for (SharedUnit* e = q.first(); e && !(found && found->place.key < e->place.key); e = Queue::next(*e)) {
            if (!takes(cpu, *e)) continue;
            if (e == skip) {
                skipped = e;
                continue;
            }
            if (!found || e->place.key < found->place.key) found = e;
            return;
        }
    };
    look(shared_cpus[cpu].own);
    look(queue_);
    return found ? found : skipped;
}

// -- telling CPUs -----------------------------------------------------------------------------------------------------

void SharedScheduler::call(unsigned cpu) {
    shared_cpus[cpu].called = true;
    sched::reschedule(cpu);
}

/// What runs there makes room, as soon as it has had the least that it gets.
void SharedScheduler::preempt(unsigned cpu, Nanos now) {
    const Nanos earliest = shared_cpus[cpu].switched_in + least_run_;
    if (now < earliest) sched::end_slice_at(cpu, earliest);
    else sched::reschedule(cpu);
}

/// Tells the CPU that should take e, which has come to wait: one that idles, or else where who runs has the highest key above e's.
void SharedScheduler::tell(SharedUnit& e, Nanos now) {
    const Key mine = key(e);
    const unsigned home = e.unit.cpu.load(std::memory_order_relaxed);
    unsigned idle = max_cpus, worst = max_cpus;
    bool idle_preferred = false;
    for (const unsigned cpu : allowed(e.unit)) {
        if (!fits(e, cpu)) continue;
        const SharedCpu& c = shared_cpus[cpu];
        if (!c.curr) {
            const bool preferred = e.unit.soft_affinity.test(cpu);
            if (!c.called && (idle == max_cpus || cpu == home || (preferred && !idle_preferred && idle != home))) {
                idle = cpu;
                idle_preferred = preferred;
            }
        } else if (mine < key(*c.curr) && (worst == max_cpus || key(*shared_cpus[worst].curr) < key(*c.curr))) {
            worst = cpu;
        }
    }
    if (idle != max_cpus) call(idle);
    else if (worst != max_cpus) preempt(worst, now);
}

/// Tells CPUs that idle of what waits: it may have come when they were not, or was on its way out of another CPU.
void SharedScheduler::hand_out() {
    for (const unsigned cpu : online_.load()) {
        const SharedCpu& c = shared_cpus[cpu];
        if (!c.curr && !c.called && best(cpu, nullptr)) call(cpu);
    }
}

void SharedScheduler::recheck(SharedUnit& e) {
    if (!e.runs) return;
    const unsigned cpu = e.unit.cpu.load(std::memory_order_relaxed);
    const SharedUnit* other = best(cpu, nullptr);
    if (other && key(*other) < key(e)) sched::reschedule(cpu);
}

void SharedScheduler::look_again(SharedUnit& e, Nanos now) {
    if (e.runs) sched::reschedule(e.unit.cpu.load(std::memory_order_relaxed));
    else requeue(e, now);
}

// -- time -------------------------------------------------------------------------------------------------------------

void SharedScheduler::account(unsigned cpu, Nanos now) {
    SharedCpu& c = shared_cpus[cpu];
    if (c.curr && now > c.charged) ran(*c.curr, now - c.charged);
    c.charged = now;
}

void SharedScheduler::settle(Nanos now) {
    for (const unsigned cpu : online_.load()) account(cpu, now);
}

void SharedScheduler::arm(Nanos now) {
    const Nanos next = next_due();
    if (next == armed_) return;
    armed_ = next;
    if (next != Nanos::never()) timer::set(due_, next < now ? now : next, this_cpu().id);
}

void SharedScheduler::time_came(void* self) {
    auto& s = *static_cast<SharedScheduler*>(self);
    const Nanos now = clock::now();
    Guard g(s.lock_);
    s.armed_ = Nanos::never();
    s.settle(now);
    s.due(now);
    s.arm(now);
}

// -- runnable or not --------------------------------------------------------------------------------------------------

void SharedScheduler::wake(SchedUnit& u) {
    if (!u.sched_data) return;
    {
        Guard g(lock_);
        if (&sched::policy_of(u) == this) {
            SharedUnit& e = shared_data(u);
            if (!e.is_of(this)) return;  // on its way here: it may not run yet
            if (e.waits || e.runs) return;
            const Nanos now = clock::now();
            if (!u.runnable()) return u.runstate.enter(resting_state(u), now);
            u.runstate.enter(xen::RUNSTATE_runnable, now);
            woke(e, now);
            e.waits = true;
            requeue(e, now);
            arm(now);
            return;
        }
    }
    sched::policy_of(u).wake(u);
}

void SharedScheduler::sleep(SchedUnit& u) {
    if (!u.sched_data) return;
    {
        Guard g(lock_);
        if (&sched::policy_of(u) == this) {
            SharedUnit& e = shared_data(u);
            if (!e.is_of(this) || u.runnable()) return;
            if (e.runs) return sched::reschedule(u.cpu.load(std::memory_order_relaxed));
            dequeue(e);
            e.waits = false;
            rested(e);
            u.runstate.enter(resting_state(u), clock::now());
            return;
        }
    }
    sched::policy_of(u).sleep(u);
}

void SharedScheduler::yield(SchedUnit& u) {
    u.yielding = true;
    sched::reschedule(u.cpu.load(std::memory_order_relaxed));
}

void SharedScheduler::affinity_changed(SchedUnit& u) {
    if (!u.sched_data) return;
    Guard g(lock_);
    SharedUnit& e = shared_data(u);
    if (!e.is_of(this)) return;
    const Nanos now = clock::now();
    const unsigned cpu = u.cpu.load(std::memory_order_relaxed);
    if (u.running_on.load(std::memory_order_acquire) >= 0) {
        if (!may_run(u, cpu)) sched::reschedule(cpu);  // switched_out() moves it
    } else if (const CpuSet places = allowed(u); !places.has(cpu) && !places.empty()) {
        u.cpu.store(places.first(), std::memory_order_release);
    }
    places_changed();
    requeue(e, now);
    hand_out();
}

// -- choosing ---------------------------------------------------------------------------------------------------------

/// What ran on the CPU runs no more, for now.
void SharedScheduler::put_back(unsigned cpu, SharedUnit& e, bool yields, Nanos now) {
    shared_cpus[cpu].curr = nullptr;
    e.runs = false;
    if (!e.unit.runnable()) {
        e.unit.runstate.enter(resting_state(e.unit), now);
        rested(e);
        return;
    }
    e.unit.runstate.enter(xen::RUNSTATE_runnable, now);
    e.waits = true;
    if (may_wait(e, yields)) enqueue(e);
}

SchedDecision SharedScheduler::start(unsigned cpu, SharedUnit* next, SchedUnit& prev, Nanos now) {
    SharedCpu& c = shared_cpus[cpu];
    if (!next) {
        SchedUnit& idle = sched::idle_unit(cpu);
        idle.runstate.enter(xen::RUNSTATE_running, now);
        return {&idle, Nanos::never()};
    }
    dequeue(*next);
    next->waits = false;
    next->runs = true;
    c.curr = next;
    c.charged = now;
    if (&next->unit != &prev) {
        c.switched_in = now;
        if (prev.idle) prev.runstate.enter(xen::RUNSTATE_runnable, now);
    }
    next->unit.cpu.store(cpu, std::memory_order_release);
    next->unit.running_on.store(static_cast<int32_t>(cpu), std::memory_order_release);
    next->unit.runstate.enter(xen::RUNSTATE_running, now);
    started(*next);
    const Nanos most = slice(*next, now);
    return {&next->unit, most < least_slice ? least_slice : most};
}

SchedDecision SharedScheduler::pick(unsigned cpu, SchedUnit& prev, Nanos now) {
    Guard g(lock_);
    SharedCpu& c = shared_cpus[cpu];
    // The CPU, which was idle, has another scheduler by now, or none.
    if (c.scheduler.load(std::memory_order_relaxed) != this) return {&sched::idle_unit(cpu), Nanos::never()};
    c.called = false;
    account(cpu, now);
    SharedUnit* const old = c.curr;
    const bool yields = prev.yielding;
    if (old) {
        const Nanos kept_until = c.switched_in + least_run_;
        if (now < kept_until && !yields && prev.runnable() && may_run(prev, cpu) && fits(*old, cpu))
            return {&prev, kept_until - now};
        put_back(cpu, *old, yields, now);
        prev.yielding = false;
    }
    if (next_due() <= now) {
        settle(now);
        due(now);
    }
    const SchedDecision d = start(cpu, online_.test(cpu) ? best(cpu, yields ? old : nullptr) : nullptr, prev, now);
    arm(now);
    hand_out();
    return d;
}

void SharedScheduler::switched_out(SchedUnit& prev) {
    if (prev.idle) return;
    const unsigned cpu = this_cpu().id;
    Guard g(lock_);
    SharedUnit& e = shared_data(prev);
    if (const CpuSet places = allowed(prev); !places.has(cpu) && !places.empty())
        prev.cpu.store(places.first(), std::memory_order_release);
    prev.running_on.store(-1, std::memory_order_seq_cst);
    if (e.is_of(this) && e.place.linked()) tell(e, clock::now());
}

xen::VcpuRunstateInfo SharedScheduler::runstate_at_change(const SchedUnit& u) const {
    Guard g(lock_);
    return u.runstate.at_change();
}

// -- CPUs -------------------------------------------------------------------------------------------------------------

void SharedScheduler::add_cpu(unsigned cpu, SchedUnit& idle) {
    Guard g(lock_);
    const Nanos now = clock::now();
    shared_cpus[cpu].scheduler.store(this, std::memory_order_relaxed);
    shared_cpus[cpu].curr = nullptr;
    shared_cpus[cpu].called = false;
    idle.cpu.store(cpu, std::memory_order_release);
    idle.running_on.store(static_cast<int32_t>(cpu), std::memory_order_release);
    idle.runstate.enter(xen::RUNSTATE_running, now);
    online_.set(cpu);
    places_changed();
    requeue_all(now);
}

void SharedScheduler::remove_cpu(unsigned cpu) {
    Guard g(lock_);
    online_.clear(cpu);
    places_changed();
    for (SharedUnit& e : members_) {
        SchedUnit& u = e.unit;
        if (u.cpu.load(std::memory_order_relaxed) != cpu || u.running_on.load(std::memory_order_acquire) >= 0) continue;
        if (const CpuSet places = allowed(u); !places.empty()) u.cpu.store(places.first(), std::memory_order_release);
    }
    requeue_all(clock::now());
    if (shared_cpus[cpu].curr) sched::reschedule(cpu);
}

void SharedScheduler::drop_cpu(unsigned cpu) {
    Guard g(lock_);
    if (shared_cpus[cpu].scheduler.load(std::memory_order_relaxed) == this)
        shared_cpus[cpu].scheduler.store(nullptr, std::memory_order_relaxed);
}

// -- units ------------------------------------------------------------------------------------------------------------

void SharedScheduler::join(SharedUnit& e, unsigned spread, Nanos now) {
    const CpuSet places = allowed(e.unit);
    CpuSet::Iterator place = places.begin();
    for (unsigned n = spread % places.count(); n; --n) ++place;
    e.unit.cpu.store(*place, std::memory_order_release);
    const SharedUnit* like = one_of(e.unit.group);
    e.home.store(this, std::memory_order_relaxed);
    members_.push_back(e);
    joined(e, like, now);
}

void SharedScheduler::part(SharedUnit& e) {
    if (!e.is_of(this)) return;
    dequeue(e);
    e.waits = false;
    rested(e);
    members_.remove(e);
    e.home.store(nullptr, std::memory_order_relaxed);
    left(e);
}

base::Status SharedScheduler::insert(SchedUnit& u, unsigned spread) {
    TRY(make_unit_data(u));
    const Nanos now = clock::now();
    u.runstate.begin_at(now);
    Guard g(lock_);
    join(shared_data(u), spread, now);
    return base::ok;
}

void SharedScheduler::remove(SchedUnit& u) {
    if (!u.sched_data) return;
    sleep(u);
    while (u.running_on.load(std::memory_order_acquire) >= 0) detail::spin_wait();
    leave(u);
    destroy_unit_data(u);
}

void SharedScheduler::adopt(SchedUnit& u, unsigned spread) {
    if (!u.sched_data) return;
    Guard g(lock_);
    join(shared_data(u), spread, clock::now());
}

void SharedScheduler::leave(SchedUnit& u) {
    if (!u.sched_data) return;
    Guard g(lock_);
    part(shared_data(u));
    hand_out();
}

// -- parameters -------------------------------------------------------------------------------------------------------

void SharedScheduler::begin(const SchedSettings&) { ratelimit_us.store(0, std::memory_order_relaxed); }

base::Status SharedScheduler::group_params(SchedGroup&, xenolith::SchedGroupOp& op) {
    if (op.cmd > xen::XEN_DOMCTL_SCHEDOP_getvcpuinfo) return base::Err{base::Errc::inval};
    return base::ok;
}

base::Status SharedScheduler::policy_params(xenolith::SchedPolicyOp& op) {
    if (op.cmd > xen::XEN_SYSCTL_SCHEDOP_getinfo) return base::Err{base::Errc::inval};
    return base::ok;
}

}  // namespace hv
