// SPDX-License-Identifier: Apache-2.0
/// sEDF: a slice in each period, by the earliest deadline; what is left over goes to those with extratime, in small parts, by their weights.
/// A weight instead of a period and a slice: slices of 100 ms by the weights, out of what the others have left.
#include <algorithm>

#include "abi/xen/domctl.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/sched/policies.hpp"
#include "hypervisor/sched/reserved.hpp"

namespace hv {

namespace {

using base::Err;
using base::Errc;
using base::Nanos;
using base::Status;

constexpr Nanos least_period = Nanos::us(10), most_period = Nanos::s(10), least_slice = Nanos::us(5);
constexpr Nanos extra_part = Nanos::us(500);
constexpr Nanos weight_period = Nanos::ms(100), weight_safety = Nanos::ms(5);  ///< so much of each CPU is nobody's by weight
constexpr uint32_t usual_weight = 256;

class SedfScheduler final : public ReservedScheduler {
public:
    const char* name() const override { return "sedf"; }
    const char* title() const override { return "Simple earliest deadline first (sedf)"; }
    uint32_t abi_id() const override { return xenolith::SCHEDULER_SEDF; }
    base::Result<Scheduler*> another() const override { return static_cast<Scheduler*>(TRY(make<SedfScheduler>())); }
    Status group_params(SchedGroup& g, xenolith::SchedGroupOp& op) override;

private:
    int64_t newest_turn_ GUARDED_BY(lock_) = 0;

    Reservation usual(const SchedUnit& u) const override REQUIRES(lock_) {
        Reservation r;
        r.extra = true;
        r.period = u.group.domain == 0 ? Nanos::ms(20) : weight_period;
        r.slice = u.group.domain == 0 ? Nanos::ms(15) : Nanos{};
        return r;
    }
    void begin_extra(Reservation& r) override REQUIRES(lock_) {
        // Who had none of it for long has saved nothing.
        r.turn = std::max(r.turn, newest_turn_ - extra_part.n);
        newest_turn_ = std::max(newest_turn_, r.turn);
        r.turn += extra_part.n * usual_weight / (r.weight ? r.weight : usual_weight);
        r.left = extra_part;
        r.level = 1;
    }
    void weigh(Nanos now) override REQUIRES(lock_);
    void places_changed() override REQUIRES(lock_) { weigh(clock::now()); }
};

bool by_weight(const Reservation& r) { return r.weight && r.period == weight_period && r.slice.n; }

/// Slices by weight: what the reservations of others leave of the CPUs.
void SedfScheduler::weigh(Nanos now) {
    uint64_t weights = 0;
    auto room = static_cast<int64_t>(online_.load().count()) * (weight_period - weight_safety).n;
    for (SharedUnit& e : members_) {
        const Reservation& r = e.reserved;
        if (by_weight(r)) weights += r.weight;
        else if (r.slice.n) room -= r.slice.n * weight_period.n / r.period.n;
    }
    if (!weights) return;
    room = std::max<int64_t>(room, 0);
    for (SharedUnit& e : members_) {
        if (!by_weight(e.reserved)) continue;
        const auto part = static_cast<int64_t>(static_cast<uint64_t>(room) / weights * e.reserved.weight);
        Reservation r = e.reserved;
        r.slice = {std::clamp(part, least_slice.n, (weight_period - weight_safety).n)};
        if (r.slice != e.reserved.slice) reserve(e, r, now);
    }
}

/// Errors: inval.
base::Result<Reservation> reservation(const xenolith::SchedSedf& p) {
    Reservation r;
    r.extra = p.extratime != 0;
    if (p.extratime > 1 || p.weight > UINT16_MAX) return Err{Errc::inval};
    r.weight = p.weight;
    if (p.weight) {
        if (p.period || p.slice) return Err{Errc::inval};
        r.period = weight_period;
        r.slice = r.extra ? Nanos{} : least_slice;  // weigh() makes it what it should be
        return r;
    }
    if (p.period < static_cast<uint64_t>(least_period.n) || p.period > static_cast<uint64_t>(most_period.n) ||
        p.slice > p.period || p.latency > p.period)
        return Err{Errc::inval};
    if (p.slice ? p.slice < static_cast<uint64_t>(least_slice.n) : !r.extra) return Err{Errc::inval};
    r.period = {static_cast<int64_t>(p.period)};
    r.slice = {static_cast<int64_t>(p.slice)};
    r.latency = {static_cast<int64_t>(p.latency)};
    return r;
}

Status SedfScheduler::group_params(SchedGroup& g, xenolith::SchedGroupOp& op) {
    xenolith::SchedSedf& p = op.u.sedf;
    Guard guard(lock_);
    const SharedUnit* one = one_of(g);
    if (!one || op.cmd > xen::XEN_DOMCTL_SCHEDOP_getinfo) return Err{Errc::inval};
    if (op.cmd == xen::XEN_DOMCTL_SCHEDOP_getinfo) {
        const Reservation& r = one->reserved;
        p = {static_cast<uint64_t>(r.period.n), static_cast<uint64_t>(r.slice.n), static_cast<uint64_t>(r.latency.n), r.extra,
             r.weight};
        return base::ok;
    }
    const Reservation wanted = TRY(reservation(p));
    const Nanos now = clock::now();
    settle(now);
    for (SharedUnit& e : members_)
        if (&e.unit.group == &g) reserve(e, wanted, now);
    weigh(now);
    return base::ok;
}

SedfScheduler first;

}  // namespace

Scheduler& sched::sedf = first;

}  // namespace hv
