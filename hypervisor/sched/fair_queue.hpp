// SPDX-License-Identifier: Apache-2.0
/// One CPU's run queue of the fair scheduler.
#pragma once

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/sched/fair.hpp"
#include "hypervisor/sched/fair_cap.hpp"
#include "hypervisor/time/timer.hpp"

namespace hv {

namespace fair {
using base::Nanos;
inline constexpr Nanos slice_alone = Nanos::ms(30);  ///< others may come to wait on another CPU: look again
inline constexpr int64_t wake_bonus = 3'000'000;     ///< how far behind the clock a waking vCPU may start, vruntime
inline constexpr int64_t granularity = 200'000;      ///< advantage that justifies preempting, vruntime
inline constexpr int64_t pull_margin = 1'000'000;    ///< advantage that justifies changing CPUs, vruntime
inline constexpr int64_t max_lag = 50'000'000;       ///< how far behind the clock a moved vCPU may start, vruntime
inline constexpr int64_t clock_step = 1'000'000;     ///< precision of the newest clock, vruntime
inline constexpr Nanos balance_interval = Nanos::ms(1);

/// a - b for virtual runtimes.
inline int64_t distance(uint64_t a, uint64_t b) { return static_cast<int64_t>(a - b); }

/// Real time as virtual runtime of a unit of this group.
inline uint64_t weighted(const SchedGroup& g, int64_t ns) {
    const uint32_t weight = g.weight.load(std::memory_order_relaxed);
    return ns <= 0 ? 0 : static_cast<uint64_t>(ns) * 256 / (weight ? weight : 1);
}

}  // namespace fair

struct FairQueue {
    FairQueue(Timer::Callback period_began) : period(period_began, this) {}

    std::atomic<FairScheduler*> scheduler{nullptr};  ///< its CPU's, null: another policy's; changes under the lock
    Timer period;                                    ///< armed while somebody is parked: the next period begins
    Spinlock lock{Rank::sched};
    base::List<FairUnit, &FairUnit::link> queue GUARDED_BY(lock);   ///< by vruntime
    base::List<FairUnit, &FairUnit::link> parked GUARDED_BY(lock);  ///< runnable, but for the cap of their group
    FairUnit* curr GUARDED_BY(lock) = nullptr;                      ///< null: idle
    FairUnit* skip GUARDED_BY(lock) = nullptr;                      ///< yielded: anyone else first
    SchedUnit* idle = nullptr;                                      ///< what runs when nothing can; set at boot
    base::Nanos charged GUARDED_BY(lock){};                         ///< curr's run time is accounted up to here
    base::Nanos switched_in GUARDED_BY(lock){};                     ///< curr runs since
    base::Nanos next_balance GUARDED_BY(lock){};
    uint64_t clock GUARDED_BY(lock) = 0;  ///< least virtual runtime here; never goes back
    // Written under the lock, read by other CPUs that look for work.
    std::atomic<uint32_t> length{0};
    std::atomic<uint64_t> head{0};  ///< vruntime of the first one; only while length > 0

    /// Accounts curr's run time and moves the clock.
    [[gnu::always_inline]] void charge(base::Nanos now) REQUIRES(lock) {
        if (curr) {
            SchedGroup& group = curr->unit.group;
            curr->vruntime += fair::weighted(group, now.n - charged.n);
            if (group.cap.load(std::memory_order_relaxed)) [[unlikely]]
                fair::use(group, now.n - charged.n);
            charged = now;
        }
        const FairUnit* first = queue.front();
        const FairUnit* least = curr && first ? (fair::distance(curr->vruntime, first->vruntime) < 0 ? curr : first)
                                : curr        ? curr
                                              : first;
        if (least && fair::distance(least->vruntime, clock) > 0) clock = least->vruntime;
    }

    [[gnu::always_inline]] void enqueue(FairUnit& e) REQUIRES(lock) {
        FairUnit* before = nullptr;
        for (FairUnit& other : queue) {
            if (fair::distance(e.vruntime, other.vruntime) < 0) {
                before = &other;
                break;
            }
        }
        if (before) queue.insert_before(*before, e);
        else queue.push_back(e);
        e.queued = true;
        published(1);
    }
    [[gnu::always_inline]] void dequeue(FairUnit& e) REQUIRES(lock) {
        queue.remove(e);
        e.queued = false;
        if (skip == &e) skip = nullptr;
        published(-1);
    }
    /// One that is queued waits for the next period.
    void park(FairUnit& e, unsigned cpu, base::Nanos now) REQUIRES(lock) {
        dequeue(e);
        if (parked.empty()) timer::set(period, fair::next_period(now), cpu);
        parked.push_back(e);
        e.parked = true;
    }
    void unpark(FairUnit& e) REQUIRES(lock) {
        parked.remove(e);
        e.parked = false;
    }
    /// Takes it from where it waits, if it does.
    bool withdraw(FairUnit& e) REQUIRES(lock) {
        const bool waits = e.queued || e.parked;
        if (e.queued) dequeue(e);
        if (e.parked) unpark(e);
        return waits;
    }
    /// Brings the virtual runtime of one that comes from outside near this queue's. A CPU that was idle has a clock of the
    /// past: it goes on from `newest`, the clock of those that were not.
    void admit(FairUnit& e, int64_t bonus, uint64_t newest) REQUIRES(lock) {
        if (!curr && queue.empty() && fair::distance(newest, clock) > 0) clock = newest;
        if (fair::distance(e.vruntime, clock) < -bonus) e.vruntime = clock - static_cast<uint64_t>(bonus);
        if (!curr && queue.empty()) {
            if (fair::distance(e.vruntime, clock) > 0) clock = e.vruntime;  // nobody here to be fair to
            return;
        }
        const int64_t ahead = fair::distance(e.vruntime, clock);
        if (ahead <= fair::max_lag) return;
        const base::Nanos slice = scheduler.load(std::memory_order_relaxed)->slice();
        const int64_t most = fair::max_lag + static_cast<int64_t>(fair::weighted(e.unit.group, 2 * slice.n));
        if (ahead > most) e.vruntime = clock + static_cast<uint64_t>(most);
    }

private:
    void published(int change) REQUIRES(lock) {
        if (const FairUnit* first = queue.front()) head.store(first->vruntime, std::memory_order_relaxed);
        length.store(length.load(std::memory_order_relaxed) + static_cast<uint32_t>(change), std::memory_order_seq_cst);
    }
};

inline FairQueue& fair_queue(unsigned cpu) { return *static_cast<FairQueue*>(cpus[cpu].sched); }
inline FairUnit& fair_data(const SchedUnit& u) { return *static_cast<FairUnit*>(u.sched_data); }

}  // namespace hv
