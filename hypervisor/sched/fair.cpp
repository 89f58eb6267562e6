// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/sched/fair.hpp"

#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sched/fair_queue.hpp"

namespace hv {

using base::Nanos;
using fair::distance;

/// Of the `idle` CPUs those to call for what waits in q: one for one; for several all that could run any, because which takes which is
/// open, and each takes one.
CpuSet FairScheduler::takers_of(FairQueue& q, const CpuSet& idle) const NO_THREAD_SAFETY_ANALYSIS {
    CpuSet takers;
    for (const FairUnit& e : q.queue) takers |= allowed(e.unit);
    takers &= idle;
    const bool one = q.length.load(std::memory_order_relaxed) == 1 && !takers.empty();
    return one ? CpuSet::of(takers.first()) : takers;
}

/// Has CPUs that were idle look for something to take.
void FairScheduler::call(const CpuSet& takers) {
    for (const unsigned taker : takers) {
        called_.set(taker);
        sched::reschedule(taker);
    }
}

/// Has idle CPUs look for something to take among what waits in q.
void FairScheduler::call_for(FairQueue& q) {
    const CpuSet idle = idle_cpus_.load();
    if (idle.empty()) return;
    CpuSet takers;
    {
        Guard g(q.lock);
        takers = takers_of(q, idle);
    }
    call(takers);
}

/// For a CPU that was called and has found something to run, perhaps something else: what it was called for may wait still.
void FairScheduler::pass_on() {
    if (idle_cpus_.empty()) return;
    for (const unsigned other : online_cpus_.load()) {
        FairQueue& q = fair_queue(other);
        if (q.length.load(std::memory_order_seq_cst)) call_for(q);
    }
}

/// Lets those of the CPU's parked units run again whose group may at `now`; never(): all of them.
void FairScheduler::release_parked(unsigned cpu, Nanos now) {
    FairQueue& q = fair_queue(cpu);
    const uint64_t newest = newest_clock_.load(std::memory_order_relaxed);
    bool misplaced = false;
    CpuSet takers;
    {
        Guard g(q.lock);
        if (q.scheduler.load(std::memory_order_relaxed) != this)
            return;  // the CPU has gone to another pool, and nobody was parked
        for (auto i = q.parked.begin(); i != q.parked.end();) {
            FairUnit& e = *i;
            ++i;
            if (now != Nanos::never() && fair::exhausted(e.unit.group, now)) continue;
            q.unpark(e);
            q.admit(e, fair::wake_bonus, newest);
            q.enqueue(e);
            misplaced |= !may_run(e.unit, cpu);
        }
        takers = takers_of(q, idle_cpus_.load());
        if (!q.parked.empty()) timer::set(q.period, fair::next_period(now), cpu);
        if (!q.curr && !q.queue.empty()) idle_cpus_.clear(cpu);  // taken
    }
    sched::reschedule(cpu);
    call(takers);
    if (misplaced && now != Nanos::never()) evict(cpu);
}

void FairScheduler::period_began(void* queue) {
    FairScheduler* const s = static_cast<FairQueue*>(queue)->scheduler.load(std::memory_order_relaxed);
    if (s) s->release_parked(this_cpu().id, clock::now());  // else the CPU has gone, and nobody was parked
}

// -- where ------------------------------------------------------------------------------------------------------------

/// Who may run on no CPU that there is may run on all.
[[gnu::noinline]] CpuSet FairScheduler::allowed(const SchedUnit& u) const {
    const CpuSet online = online_cpus_.load();
    const CpuSet both = u.affinity.load() & online;
    return both.empty() ? online : both;
}

unsigned FairScheduler::choose_cpu(const SchedUnit& u, unsigned home) const {
    if (u.running_on.load(std::memory_order_acquire) >= 0) return home;
    if (idle_cpus_.test(home) && may_run(u, home)) return home;
    const CpuSet places = allowed(u);
    if (const CpuSet idle = idle_cpus_.load() & places; !idle.empty()) {
        const CpuSet preferred = idle & u.soft_affinity.load();
        return preferred.empty() ? idle.first() : preferred.first();
    }
    // No place: the last CPU has left, so u is in another pool by now.
    if (places.has(home) || places.empty()) return home;
    unsigned best = places.first();
    for (const unsigned c : places) {
        if (fair_queue(c).length.load(std::memory_order_relaxed) < fair_queue(best).length.load(std::memory_order_relaxed))
            best = c;
    }
    return best;
}

void FairScheduler::nudge_idle(const SchedUnit& u) {
    if (idle_cpus_.empty()) return;
    const CpuSet idle = idle_cpus_.load() & allowed(u);
    if (!idle.empty()) call(CpuSet::of(idle.first()));
}

/// True when who runs there may not be turned away yet.
bool FairScheduler::keeps_cpu(const FairQueue& q, unsigned cpu, Nanos now) const NO_THREAD_SAFETY_ANALYSIS {
    const SchedUnit& u = q.curr->unit;
    return now < q.switched_in + Nanos::us(ratelimit_us.load(std::memory_order_relaxed)) && may_run(u, cpu) &&
           !fair::exhausted(q.curr->unit.group, now);
}

/// Until who runs may be turned away; but who is alone need not be looked at so soon.
Nanos FairScheduler::rest_of_limit(const FairQueue& q, Nanos now) const NO_THREAD_SAFETY_ANALYSIS {
    const Nanos end = q.switched_in + Nanos::us(ratelimit_us.load(std::memory_order_relaxed));
    return fair::within_cap(q.curr->unit.group, q.length.load(std::memory_order_relaxed) ? end - now : fair::slice_alone);
}

/// True when `e`, just queued on `cpu`, should run there now. When it should but what runs has only just begun, the
/// slice is cut short instead.
bool FairScheduler::preempts(FairQueue& q, unsigned cpu, const FairUnit& e, Nanos now) NO_THREAD_SAFETY_ANALYSIS {
    if (!q.curr) return true;
    if (distance(q.curr->vruntime, e.vruntime) <= fair::granularity) {
        // Not now; but a slice given to one that was alone is too long.
        if (q.length.load(std::memory_order_relaxed) == 1) sched::end_slice_at(cpu, q.switched_in + slice());
        return false;
    }
    const Nanos earliest = q.switched_in + Nanos::us(ratelimit_us.load(std::memory_order_relaxed));
    if (now >= earliest) return true;
    sched::end_slice_at(cpu, earliest);
    return false;
}

// -- runnable or not --------------------------------------------------------------------------------------------------

/// False: something has changed meanwhile, look again.
bool FairScheduler::try_wake(SchedUnit& u) {
    FairUnit& e = fair_data(u);
    const unsigned home = u.cpu.load(std::memory_order_acquire);
    const unsigned target = choose_cpu(u, home);
    bool preempt = false;
    bool crowded = false;
    bool leaving = false;
    {
        FairQueue& from = fair_queue(home);
        FairQueue& to = fair_queue(target);
        Guard2 g(from.lock, to.lock);
        if (u.cpu.load(std::memory_order_relaxed) != home || &sched::policy_of(u) != this) return false;
        if (e.queued || e.running || e.parked) return true;
        const Nanos now = clock::now();
        if (!u.runnable()) {
            u.runstate.enter(resting_state(u), now);
            return true;
        }
        leaving = u.running_on.load(std::memory_order_acquire) >= 0;  // switched_out() moves it
        // affinity_changed() did not find it in a queue: so it must not come into one where it may not be.
        if (leaving ? target != home : !may_run(u, target)) return false;
        u.runstate.enter(xen::RUNSTATE_runnable, now);
        to.charge(now);
        to.admit(e, fair::wake_bonus, newest_clock_.load(std::memory_order_relaxed));
        u.cpu.store(target, std::memory_order_release);
        to.enqueue(e);
        preempt = preempts(to, target, e, now);
        crowded = to.length.load(std::memory_order_relaxed) > 1;
        if (!to.curr) idle_cpus_.clear(target);  // taken
    }
    if (preempt) sched::reschedule(target);
    // Another may have woken up for the same idle CPU, and which of the two may go elsewhere is open; one may have gone idle since we
    // chose; or switched_out() was over before it could see u in the queue.
    if (crowded) call_for(fair_queue(target));
    else if (!preempt || leaving) nudge_idle(u);
    return true;
}

void FairScheduler::wake(SchedUnit& u) {
    if (!u.sched_data) return;
    while (!try_wake(u))
        if (Scheduler& its = sched::policy_of(u); &its != this) return its.wake(u);
}

void FairScheduler::sleep(SchedUnit& u) {
    if (!u.sched_data) return;
    FairUnit& e = fair_data(u);
    for (;;) {
        const unsigned cpu = u.cpu.load(std::memory_order_acquire);
        FairQueue& q = fair_queue(cpu);
        bool running = false;
        {
            Guard g(q.lock);
            if (u.cpu.load(std::memory_order_relaxed) != cpu) continue;
            if (&sched::policy_of(u) != this) break;
            if (u.runnable()) return;  // woken again meanwhile
            running = e.running;
            (void)q.withdraw(e);
            if (!running) u.runstate.enter(resting_state(u), clock::now());
        }
        if (running) sched::reschedule(cpu);
        return;
    }
    sched::policy_of(u).sleep(u);
}

void FairScheduler::yield(SchedUnit& u) {
    u.yielding = true;
    sched::reschedule(u.cpu.load(std::memory_order_relaxed));
}

/// u's queue. Whoever queues u after this sees what the caller has stored before.
unsigned FairScheduler::settled_cpu(const SchedUnit& u) {
    for (;;) {
        const unsigned cpu = u.cpu.load(std::memory_order_acquire);
        Guard g(fair_queue(cpu).lock);
        if (u.cpu.load(std::memory_order_relaxed) == cpu) return cpu;
    }
}

void FairScheduler::affinity_changed(SchedUnit& u) {
    if (!u.sched_data) return;
    const unsigned cpu = settled_cpu(u);
    if (may_run(u, cpu)) {
        nudge_idle(u);  // its new place may be free
        return;
    }
    if (u.running_on.load(std::memory_order_acquire) >= 0) sched::reschedule(cpu);  // switched_out() moves it
    else relocate(u);
}

/// To the queue of another CPU; true when it goes before what runs there.
bool FairScheduler::transfer(SchedUnit& u, FairQueue& from, FairQueue& to, unsigned target) REQUIRES(from.lock, to.lock) {
    FairUnit& e = fair_data(u);
    const bool waits = from.withdraw(e);
    u.cpu.store(target, std::memory_order_release);
    if (!waits) return false;
    const Nanos now = clock::now();
    to.charge(now);
    to.admit(e, fair::max_lag, newest_clock_.load(std::memory_order_relaxed));
    to.enqueue(e);
    return preempts(to, target, e, now);
}

/// Moves a queued unit to a CPU where it may be and where there is room.
void FairScheduler::relocate(SchedUnit& u) {
    for (;;) {
        const unsigned home = u.cpu.load(std::memory_order_acquire);
        const unsigned target = choose_cpu(u, home);
        if (target == home) return sched::reschedule(home);  // it runs by now: switched_out() moves it
        bool preempt = false;
        bool running = false;
        {
            FairQueue& from = fair_queue(home);
            FairQueue& to = fair_queue(target);
            Guard2 g(from.lock, to.lock);
            if (u.cpu.load(std::memory_order_relaxed) != home) continue;
            running = u.running_on.load(std::memory_order_acquire) >= 0;
            if (!running && !may_run(u, target)) continue;  // the target has left meanwhile
            if (!running) preempt = transfer(u, from, to, target);
        }
        if (running) sched::reschedule(home);
        else if (preempt) sched::reschedule(target);
        return;
    }
}

// -- choosing ---------------------------------------------------------------------------------------------------------

/// It has run until just now, so what its CPU has cached of it is worth a wait; the taker looks again when that is over.
[[gnu::noinline, gnu::cold]] bool FairScheduler::stays_for_now(const FairUnit& e, unsigned taker) const {
    const Nanos end = e.unit.runstate.since() + migration_delay();
    if (clock::now() >= end) return false;
    sched::end_slice_at(taker, end);
    return true;
}

/// Takes a waiting unit of `source` that may run on `cpu`.
bool FairScheduler::pull_from(unsigned cpu, unsigned source, Pull which) {
    FairQueue& to = fair_queue(cpu);
    FairQueue& from = fair_queue(source);
    Guard2 g(to.lock, from.lock);
    if (from.scheduler.load(std::memory_order_relaxed) != this) return false;
    const FairUnit* mine = to.queue.front();
    for (auto i = from.queue.begin(); i != from.queue.end();) {
        FairUnit& e = *i;
        ++i;
        if (which == Pull::better && mine && distance(mine->vruntime, e.vruntime) < fair::pull_margin) return false;
        if (!may_run(e.unit, cpu) || e.unit.running_on.load(std::memory_order_acquire) >= 0) continue;
        if (which != Pull::all && migration_delay().n) [[unlikely]]
            if (stays_for_now(e, cpu)) continue;
        if (which != Pull::all && e.unit.group.cap.load(std::memory_order_relaxed)) [[unlikely]] {
            const Nanos now = clock::now();
            if (fair::exhausted(e.unit.group, now)) {
                park(from, e, source, now);  // whoever is idle then is told when it may run
                continue;
            }
        }
        from.dequeue(e);
        e.unit.cpu.store(cpu, std::memory_order_release);
        to.admit(e, fair::max_lag, newest_clock_.load(std::memory_order_relaxed));
        to.enqueue(e);
        if (which == Pull::all && !to.curr) idle_cpus_.clear(cpu);  // taken: the next one goes elsewhere
        return true;
    }
    return false;
}

/// Looks at the other queues: for anything when this CPU has nothing, else for the one that has had least.
bool FairScheduler::pull(unsigned cpu, bool only_better) {
    const FairQueue& own = fair_queue(cpu);
    unsigned best = max_cpus;
    for (const unsigned c : online_cpus_.load()) {
        if (c == cpu) continue;
        const FairQueue& q = fair_queue(c);
        if (q.length.load(std::memory_order_seq_cst) == 0) continue;
        if (!only_better) {
            if (pull_from(cpu, c, Pull::runnable)) return true;
            continue;
        }
        const uint64_t head = q.head.load(std::memory_order_relaxed);
        if (distance(own.head.load(std::memory_order_relaxed), head) < fair::pull_margin) continue;
        if (best == max_cpus || distance(head, fair_queue(best).head.load(std::memory_order_relaxed)) < 0) best = c;
    }
    return best != max_cpus && pull_from(cpu, best, Pull::better);
}

/// The first one that may run here; one that yielded only when there is no other.
[[gnu::noinline]] FairUnit* FairScheduler::first_for(FairQueue& q, unsigned cpu) const NO_THREAD_SAFETY_ANALYSIS {
    FairUnit* best = nullptr;
    for (FairUnit& e : q.queue) {
        if (!may_run(e.unit, cpu)) continue;
        const bool skipped = &e == q.skip;
        if (!best || !skipped) best = &e;
        if (!skipped) break;
    }
    return best;
}

/// One that is queued waits for the next period.
[[gnu::noinline, gnu::cold]] void FairScheduler::park(FairQueue& q, FairUnit& e, unsigned cpu,
                                                      Nanos now) NO_THREAD_SAFETY_ANALYSIS {
    q.park(e, cpu, now);
}

/// The one that has had least and may run here, whatever its group has used.
FairUnit* FairScheduler::best_of(FairQueue& q, unsigned cpu) const NO_THREAD_SAFETY_ANALYSIS {
    FairUnit* best = q.queue.front();
    const bool skipped = best == q.skip && q.length.load(std::memory_order_relaxed) > 1;
    return best && (skipped || !may_run(best->unit, cpu)) ? first_for(q, cpu) : best;
}

SchedDecision FairScheduler::take_best(FairQueue& q, unsigned cpu, SchedUnit& prev, Nanos now) NO_THREAD_SAFETY_ANALYSIS {
    FairUnit* best = best_of(q, cpu);
    while (best && fair::exhausted(best->unit.group, now)) [[unlikely]] {
            park(q, *best, cpu, now);
            best = best_of(q, cpu);
        }
    q.skip = nullptr;
    if (!best) {
        SchedUnit& idle = *q.idle;
        idle.runstate.enter(xen::RUNSTATE_running, now);
        return {&idle, Nanos::never()};
    }
    if (idle_cpus_.test(cpu)) idle_cpus_.clear(cpu);
    q.dequeue(*best);
    best->running = true;
    q.curr = best;
    q.charged = now;
    if (&best->unit != &prev) {
        q.switched_in = now;
        if (prev.idle) prev.runstate.enter(xen::RUNSTATE_runnable, now);
    }
    best->unit.running_on.store(static_cast<int32_t>(cpu), std::memory_order_release);
    best->unit.runstate.enter(xen::RUNSTATE_running, now);
    return {&best->unit,
            fair::within_cap(best->unit.group, q.length.load(std::memory_order_relaxed) ? slice() : fair::slice_alone)};
}

/// Keeps the newest of all clocks, to within a millisecond (so that CPUs rarely write it).
void FairScheduler::note_clock(uint64_t clock) {
    uint64_t newest = newest_clock_.load(std::memory_order_relaxed);
    while (distance(clock, newest) > fair::clock_step &&
           !newest_clock_.compare_exchange_weak(newest, clock, std::memory_order_relaxed)) {}
}

SchedDecision FairScheduler::pick(unsigned cpu, SchedUnit& prev, Nanos now) {
    const SchedDecision d = choose(cpu, prev, now);
    if (called_.test(cpu)) [[unlikely]] {
        called_.clear(cpu);
        if (!d.next->idle) pass_on();
    }
    return d;
}

SchedDecision FairScheduler::choose(unsigned cpu, SchedUnit& prev, Nanos now) {
    FairQueue& q = fair_queue(cpu);
    bool empty = false;
    {
        Guard g(q.lock);
        // The CPU, which was idle, has another scheduler by now: that has told it to pick again.
        if (q.scheduler.load(std::memory_order_relaxed) != this) [[unlikely]]
            return {q.idle, Nanos::never()};
        q.charge(now);
        note_clock(q.clock);
        if (!prev.idle) {
            FairUnit& e = fair_data(prev);
            const bool goes_on = prev.runnable();
            if (goes_on && !prev.yielding && keeps_cpu(q, cpu, now)) return {&prev, rest_of_limit(q, now)};
            e.running = false;
            q.curr = nullptr;
            if (goes_on) {
                prev.runstate.enter(xen::RUNSTATE_runnable, now);
                q.enqueue(e);
                if (prev.yielding) q.skip = &e;
            } else {
                prev.runstate.enter(resting_state(prev), now);
            }
            prev.yielding = false;
        }
        empty = q.length.load(std::memory_order_relaxed) == 0;
        const bool look_around = empty || now >= q.next_balance;
        if (look_around) q.next_balance = now + fair::balance_interval;
        if (!look_around) {
            const SchedDecision d = take_best(q, cpu, prev, now);
            if (!d.next->idle) return d;  // else: what waits here may not run here
        }
    }
    pull(cpu, !empty);
    for (bool idle_marked = false;; idle_marked = true) {
        {
            Guard g(q.lock);
            const SchedDecision d = take_best(q, cpu, prev, now);
            if (!d.next->idle || idle_marked) return d;
        }
        // Whoever queues a unit from now on sees that we are idle; whoever did before is found by another look.
        idle_cpus_.set(cpu);
        if (!pull(cpu, false) && q.length.load(std::memory_order_seq_cst) == 0) return {q.idle, Nanos::never()};
    }
}

void FairScheduler::switched_out(SchedUnit& prev) {
    if (prev.idle) return;
    const unsigned cpu = this_cpu().id;
    if (may_run(prev, cpu)) prev.running_on.store(-1, std::memory_order_seq_cst);
    else leave(prev, cpu);
    // Either we see that this CPU has left, or its evict() saw that prev does not run any more.
    if (!online_cpus_.test(cpu)) [[unlikely]]
        evict(cpu);
    // prev may be running elsewhere by now, or be gone. If it waits here, an idle CPU that saw it too early may take it.
    FairQueue& q = fair_queue(cpu);
    if (!idle_cpus_.empty() && q.length.load(std::memory_order_seq_cst)) call_for(q);
}

/// The last step of a unit on a CPU where it may not be any more.
void FairScheduler::leave(SchedUnit& prev, unsigned cpu) {
    bool preempt = false;
    unsigned target = 0;
    for (bool left = false; !left;) {
        const CpuSet places = allowed(prev);
        const CpuSet idle = idle_cpus_.load() & places;
        target = idle.empty() ? places.first() : idle.first();
        FairQueue& from = fair_queue(cpu);
        FairQueue& to = fair_queue(target);
        Guard2 g(from.lock, to.lock);
        if (!may_run(prev, target)) continue;
        left = true;
        preempt = transfer(prev, from, to, target);
        prev.running_on.store(-1, std::memory_order_seq_cst);
    }
    if (preempt) sched::reschedule(target);
}

xen::VcpuRunstateInfo FairScheduler::runstate_at_change(const SchedUnit& u) const {
    for (;;) {
        const unsigned cpu = u.cpu.load(std::memory_order_acquire);
        Guard g(fair_queue(cpu).lock);
        if (u.cpu.load(std::memory_order_relaxed) == cpu) return u.runstate.at_change();
    }
}

}  // namespace hv
