// SPDX-License-Identifier: Apache-2.0
/// null: each vCPU has a CPU of its own (its seat), and each CPU one vCPU. Who finds none that it may have waits until one comes free: when
/// a vCPU goes, is taken down, or may not be on its CPU any more.
#include "abi/xen/domctl.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/sched/policies.hpp"
#include "hypervisor/sched/shared.hpp"

namespace hv {

namespace {

using base::Nanos;

class NullScheduler final : public SharedScheduler {
public:
    const char* name() const override { return "null"; }
    const char* title() const override { return "A CPU for each vCPU (null)"; }
    uint32_t abi_id() const override { return xen::XEN_SCHEDULER_NULL; }
    base::Result<Scheduler*> another() const override { return static_cast<Scheduler*>(TRY(make<NullScheduler>())); }

private:
    int64_t turns_ GUARDED_BY(lock_) = 0;
    SharedUnit* sits_[max_cpus] GUARDED_BY(lock_) = {};

    void joined(SharedUnit& e, const SharedUnit*, Nanos) override REQUIRES(lock_) {
        e.seat = 0;
        e.turn = ++turns_;
    }
    void left(SharedUnit& e) override REQUIRES(lock_) {
        free_seat(e);
        give_seats();
    }
    void woke(SharedUnit& e, Nanos) override REQUIRES(lock_) {
        if (!e.seat) take_seat(e);
    }
    void rested(SharedUnit& e) override REQUIRES(lock_) {
        if (!(e.unit.pause_flags.load(std::memory_order_acquire) & vpf_down)) return;
        free_seat(e);  // a vCPU that was taken down needs none
        give_seats();
    }
    void places_changed() override REQUIRES(lock_) {
        for (SharedUnit& e : members_)
            if (e.seat && !may_run(e.unit, e.seat - 1)) free_seat(e);
        give_seats();
    }
    Key key(const SharedUnit& e) const override REQUIRES(lock_) { return {0, e.turn}; }
    Nanos slice(const SharedUnit&, Nanos) const override REQUIRES(lock_) { return Nanos::never(); }
    bool fits(const SharedUnit& e, unsigned cpu) const override REQUIRES(lock_) { return e.seat == cpu + 1; }
    SharedUnit* best(unsigned cpu, const SharedUnit*) override REQUIRES(lock_) {
        SharedUnit* e = sits_[cpu];
        return e && e->place.linked() && takes(cpu, *e) ? e : nullptr;
    }

    void free_seat(SharedUnit& e) REQUIRES(lock_) {
        if (!e.seat) return;
        sits_[e.seat - 1] = nullptr;
        // Who runs there goes; nobody else is there until it has.
        if (e.runs) sched::reschedule(e.seat - 1);
        e.seat = 0;
    }
    void take_seat(SharedUnit& e) REQUIRES(lock_) {
        const unsigned home = e.unit.cpu.load(std::memory_order_relaxed);
        unsigned found = max_cpus;
        for (const unsigned cpu : allowed(e.unit))
            if (!sits_[cpu] && (found == max_cpus || cpu == home)) found = cpu;
        if (found == max_cpus) return;
        e.seat = found + 1;
        sits_[found] = &e;
    }
    /// To those who wait, in the order in which they came.
    void give_seats() REQUIRES(lock_) {
        for (SharedUnit& e : members_) {
            if (e.seat || !e.is_of(this) || !(e.waits || e.runs)) continue;
            take_seat(e);
            if (e.seat) look_again(e, clock::now());
        }
    }
};

NullScheduler first;

}  // namespace

Scheduler& sched::null_policy = first;

}  // namespace hv
