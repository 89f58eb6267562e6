// SPDX-License-Identifier: Apache-2.0
/// Which CPUs a fair scheduler has, which units, and what they are entitled to.
#include "abi/xen/domctl.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/sched/fair.hpp"
#include "hypervisor/sched/fair_queue.hpp"
#include "hypervisor/sched/unit_data.hpp"

namespace hv {

using base::Nanos;

// -- CPUs -------------------------------------------------------------------------------------------------------------

base::Status FairScheduler::prepare_cpu(unsigned cpu) {
    if (!cpus[cpu].sched) cpus[cpu].sched = TRY(make<FairQueue>(period_began));
    return base::ok;
}

void FairScheduler::add_cpu(unsigned cpu, SchedUnit& idle) {
    FairQueue& q = fair_queue(cpu);
    {
        Guard g(q.lock);
        if (q.scheduler.load(std::memory_order_relaxed) != this) { q.clock = newest_clock_.load(std::memory_order_relaxed); }
        q.scheduler.store(this, std::memory_order_relaxed);
        if (q.idle != &idle) q.idle = &idle;  // its CPU reads it without the lock
        idle.cpu.store(cpu, std::memory_order_release);
        idle.running_on.store(static_cast<int32_t>(cpu), std::memory_order_release);
        idle.runstate.enter(xen::RUNSTATE_running, clock::now());
    }
    online_cpus_.set(cpu);
    idle_cpus_.set(cpu);
    // Who may run here alone has been elsewhere; and who waits elsewhere may come.
    for (const unsigned other : online_cpus_.load()) {
        if (other == cpu) continue;
        evict(other);
        if (fair_queue(other).length.load(std::memory_order_seq_cst)) sched::reschedule(cpu);
    }
}

void FairScheduler::drop_cpu(unsigned cpu) {
    FairQueue& q = fair_queue(cpu);
    {
        Guard g(q.lock);
        if (q.scheduler.load(std::memory_order_relaxed) == this) q.scheduler.store(nullptr, std::memory_order_relaxed);
    }
    idle_cpus_.clear(cpu);  // it went idle here on its way out
}

void FairScheduler::remove_cpu(unsigned cpu) {
    online_cpus_.clear(cpu);
    idle_cpus_.clear(cpu);
    evict(cpu);
}

/// Sees to it that no unit stays on `cpu` that may not be there.
void FairScheduler::evict(unsigned cpu) {
    FairQueue& from = fair_queue(cpu);
    if (!online_cpus_.test(cpu)) release_parked(cpu, Nanos::never());
    for (;;) {
        unsigned target = max_cpus;
        {
            Guard g(from.lock);
            if (from.scheduler.load(std::memory_order_relaxed) != this) return;  // what is there is another pool's
            for (FairUnit& e : from.queue) {
                const CpuSet places = allowed(e.unit);
                if (places.has(cpu) || e.unit.running_on.load(std::memory_order_seq_cst) >= 0) continue;
                const CpuSet idle = idle_cpus_.load() & places;
                target = idle.empty() ? places.first() : idle.first();
                break;
            }
            // One that runs here, or is on its way out: switched_out() moves it.
            if (from.curr && !may_run(from.curr->unit, cpu)) sched::reschedule(cpu);
        }
        if (target == max_cpus) return;
        if (pull_from(target, cpu, Pull::all)) sched::reschedule(target);
    }
}

// -- units ------------------------------------------------------------------------------------------------------------

/// A CPU to begin at; waking up looks for a better place. The pool has a CPU.
unsigned FairScheduler::first_place(const SchedUnit& u, unsigned spread) const {
    const CpuSet places = allowed(u);
    CpuSet::Iterator place = places.begin();
    for (unsigned n = spread % places.count(); n; --n) ++place;
    return *place;
}

base::Status FairScheduler::insert(SchedUnit& u, unsigned spread) {
    TRY(make_unit_data(u));
    u.cpu.store(first_place(u, spread), std::memory_order_release);
    u.runstate.begin_at(clock::now());
    return base::ok;
}

void FairScheduler::remove(SchedUnit& u) {
    if (!u.sched_data) return;
    sleep(u);
    while (u.running_on.load(std::memory_order_acquire) >= 0) detail::spin_wait();
    destroy_unit_data(u);
}

void FairScheduler::leave(SchedUnit& u) {
    if (!u.sched_data) return;
    for (;;) {
        const unsigned cpu = u.cpu.load(std::memory_order_acquire);
        Guard g(fair_queue(cpu).lock);
        if (u.cpu.load(std::memory_order_relaxed) != cpu) continue;
        (void)fair_queue(cpu).withdraw(fair_data(u));
        return;
    }
}

void FairScheduler::adopt(SchedUnit& u, unsigned spread) {
    if (!u.sched_data) return;
    FairUnit& e = fair_data(u);
    const unsigned target = first_place(u, spread);
    for (bool here = false; !here;) {
        const unsigned home = u.cpu.load(std::memory_order_acquire);
        FairQueue& from = fair_queue(home);
        Guard2 g(from.lock, fair_queue(target).lock);
        if (u.cpu.load(std::memory_order_relaxed) != home) continue;
        here = true;
        (void)from.withdraw(e);
        // Clocks of different pools have nothing to do with each other: it is neither ahead of those here nor behind.
        e.vruntime = newest_clock_.load(std::memory_order_relaxed);
        u.cpu.store(target, std::memory_order_release);
    }
}

// -- shares -----------------------------------------------------------------------------------------------------------

/// Whoever runs by the old one, or waits for it, is looked at again.
void FairScheduler::change_cap(SchedGroup& g, uint16_t cap) {
    const Nanos now = clock::now();
    const auto each_queue = [&](auto what) {
        for (const unsigned cpu : online_cpus_.load()) {
            FairQueue& q = fair_queue(cpu);
            Guard guard(q.lock);
            what(q, cpu, q.curr && &q.curr->unit.group == &g);
        }
    };
    // What was used until now is no business of the new one.
    each_queue([&](FairQueue& q, unsigned, bool runs) NO_THREAD_SAFETY_ANALYSIS {
        if (runs) q.charge(now);
    });
    fair::set_cap(g, cap, now);
    each_queue([&](FairQueue& q, unsigned cpu, bool runs) NO_THREAD_SAFETY_ANALYSIS {
        if (runs) sched::reschedule(cpu);
        if (!q.parked.empty()) timer::set(q.period, now, cpu);
    });
}

base::Status FairScheduler::weight_and_cap(SchedGroup& g, uint32_t command, uint16_t& weight, uint16_t& cap) {
    constexpr uint16_t unchanged = 0xffff;
    switch (command) {
        case xen::XEN_DOMCTL_SCHEDOP_getinfo:
            weight = g.weight.load(std::memory_order_relaxed);
            cap = g.cap.load(std::memory_order_relaxed);
            return base::ok;
        case xen::XEN_DOMCTL_SCHEDOP_putinfo:
            if (cap != unchanged) change_cap(g, cap);
            if (weight) g.weight.store(weight, std::memory_order_relaxed);
            return base::ok;
        default: return base::Err{base::Errc::inval};  // no parameters of single vCPUs
    }
}

}  // namespace hv
