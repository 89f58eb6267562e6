// SPDX-License-Identifier: Apache-2.0
/// Weighted fair scheduling by virtual runtime.
///
/// Each CPU has a queue of runnable vCPUs ordered by virtual runtime: the time they ran, scaled by 256/weight. The one that
/// has had least goes first. Who wakes up goes in near the queue's clock (the least virtual runtime around), so that it
/// may preempt at once but cannot save up time. Queues compare their heads now and then and at idleness, and pull from
/// each other; virtual runtimes are the same measure everywhere, bounded at each move by the queue's clock.
///
/// Rules that keep a vCPU (its SchedUnit) on one CPU:
///  - SchedUnit::cpu names its queue and changes only under the locks of both queues;
///  - it is in a queue (queued), is that CPU's curr (running), waits there until its group may use the CPU again (parked), or
///    nothing of that; the flags under the queue's lock;
///  - while SchedUnit::running_on names a CPU its registers are there, and it may not change queues.
///
/// A waking unit that has had clearly less preempts. The rate limit bounds how often: who got a CPU keeps it so long. Xen's default is
/// 1 ms, because its credits alone would let wakers turn a computing vCPU away all the time; here who preempts pays with its virtual
/// runtime, so the default is the shortest limit there is, 100 us, and who wakes up often beside a computing vCPU waits that much less.
///
/// Two policies stand on it (fair_policies.hpp), which differ in names and parameters. A unit's data and a CPU's queue are the same to
/// both.
///
/// Each pool has a FairScheduler, each CPU one queue, which changes schedulers with its CPU, under its lock and empty. So what is in a queue
/// is its scheduler's, and who goes by a scheduler's set of CPUs holds the queue's lock when he looks, or looks again when he does.
#pragma once

#include "hypervisor/sched/scheduler.hpp"
#include "hypervisor/sync/spinlock.hpp"
#include "lib/base/list.hpp"

namespace hv {

struct FairQueue;

/// This policy's part of a unit; SchedUnit::sched_data.
struct FairUnit {
    SchedUnit& unit;
    base::ListNode link;
    uint64_t vruntime = 0;  ///< ns at weight 256
    bool queued = false;
    bool running = false;
    bool parked = false;
    explicit FairUnit(SchedUnit& u) : unit(u) {}
};

class FairScheduler : public Scheduler {
public:
    /// Makes the CPU's queue, which stays. Errors: nomem.
    static base::Status prepare_cpu(unsigned cpu);
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
    /// Who runs has the CPU so long when others wait, unless they have had clearly less.
    base::Nanos slice() const { return {slice_.load(std::memory_order_relaxed)}; }

protected:
    ~FairScheduler() = default;
    void set_slice(base::Nanos slice) { slice_.store(slice.n, std::memory_order_relaxed); }
    void set_migration_delay(base::Nanos delay) { migration_delay_.store(delay.n, std::memory_order_relaxed); }
    base::Nanos migration_delay() const { return {migration_delay_.load(std::memory_order_relaxed)}; }
    /// Reads or writes what both policies have for a group. Errors: inval, for another command.
    base::Status weight_and_cap(SchedGroup& g, uint32_t command, uint16_t& weight, uint16_t& cap);

private:
    std::atomic<int64_t> slice_{0};
    std::atomic<int64_t> migration_delay_{0};
    CpuMask idle_cpus_;
    CpuMask online_cpus_;
    CpuMask called_;  ///< idle CPUs that were told of something to take, and have not looked yet
    std::atomic<uint64_t> newest_clock_{0};

    void note_clock(uint64_t clock);

    bool pull(unsigned cpu, bool only_better);
    /// What may be taken from another queue: anything; what its group's cap lets run; of that, what has had clearly less.
    enum class Pull : uint8_t { all, runnable, better };
    bool pull_from(unsigned cpu, unsigned source, Pull which);
    bool stays_for_now(const FairUnit& e, unsigned taker) const;
    unsigned choose_cpu(const SchedUnit& u, unsigned home) const;
    unsigned first_place(const SchedUnit& u, unsigned spread) const;
    [[gnu::always_inline]] inline bool try_wake(SchedUnit& u);
    CpuSet allowed(const SchedUnit& u) const;
    /// Whether `cpu` is one of allowed(u).
    [[gnu::always_inline]] bool may_run(const SchedUnit& u, unsigned cpu) const {
        return online_cpus_.test(cpu) && (u.affinity.test(cpu) || !u.affinity.meets(online_cpus_));
    }
    void nudge_idle(const SchedUnit& u);
    static void park(FairQueue& q, FairUnit& e, unsigned cpu, base::Nanos now);
    [[gnu::always_inline]] inline SchedDecision choose(unsigned cpu, SchedUnit& prev, base::Nanos now);
    void call(const CpuSet& takers);
    void call_for(FairQueue& q);
    void pass_on();
    CpuSet takers_of(FairQueue& q, const CpuSet& idle) const;
    void change_cap(SchedGroup& g, uint16_t cap);
    static void period_began(void* queue);
    void release_parked(unsigned cpu, base::Nanos now);
    void relocate(SchedUnit& u);
    bool transfer(SchedUnit& u, FairQueue& from, FairQueue& to, unsigned target);
    void evict(unsigned cpu);
    static unsigned settled_cpu(const SchedUnit& u);
    void leave(SchedUnit& prev, unsigned cpu);
    FairUnit* first_for(FairQueue& q, unsigned cpu) const;
    [[gnu::always_inline]] inline FairUnit* best_of(FairQueue& q, unsigned cpu) const;
    SchedDecision take_best(FairQueue& q, unsigned cpu, SchedUnit& prev, base::Nanos now);
    [[gnu::always_inline]] inline bool keeps_cpu(const FairQueue& q, unsigned cpu, base::Nanos now) const;
    base::Nanos rest_of_limit(const FairQueue& q, base::Nanos now) const;
    bool preempts(FairQueue& q, unsigned cpu, const FairUnit& e, base::Nanos now);
};

}  // namespace hv
