// SPDX-License-Identifier: Apache-2.0
/// Atropos: a slice in each period, by the earliest deadline, which after a wake-up comes within the latency; what is left over goes round
/// among those with xtratime.
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

constexpr Nanos extra_part = Nanos::ms(5);
constexpr Nanos least_period = Nanos::us(10), least_slice = Nanos::us(5), most_period = Nanos::s(100);

class AtroposScheduler final : public ReservedScheduler {
public:
    const char* name() const override { return "atropos"; }
    const char* title() const override { return "Atropos: slices in periods, with latencies (atropos)"; }
    uint32_t abi_id() const override { return xenolith::SCHEDULER_ATROPOS; }
    base::Result<Scheduler*> another() const override { return static_cast<Scheduler*>(TRY(make<AtroposScheduler>())); }
    Status group_params(SchedGroup& g, xenolith::SchedGroupOp& op) override;

private:
    int64_t turns_ GUARDED_BY(lock_) = 0;

    Reservation usual(const SchedUnit& u) const override REQUIRES(lock_) {
        const bool control = u.group.domain == 0;
        Reservation r;
        r.period = control ? Nanos::ms(20) : Nanos::s(10);
        r.slice = control ? Nanos::ms(15) : Nanos::ms(10);
        r.latency = control ? Nanos::ms(5) : Nanos::s(10);
        r.extra = true;
        return r;
    }
    void begin_extra(Reservation& r) override REQUIRES(lock_) {
        r.level = 1;
        r.turn = ++turns_;
        r.left = extra_part;
    }
};

Status AtroposScheduler::group_params(SchedGroup& g, xenolith::SchedGroupOp& op) {
    xenolith::SchedAtropos& p = op.u.atropos;
    Guard guard(lock_);
    const SharedUnit* one = one_of(g);
    if (!one || op.cmd > xen::XEN_DOMCTL_SCHEDOP_getinfo) return Err{Errc::inval};
    if (op.cmd == xen::XEN_DOMCTL_SCHEDOP_getinfo) {
        const Reservation& r = one->reserved;
        p = {static_cast<uint64_t>(r.period.n), static_cast<uint64_t>(r.slice.n), static_cast<uint64_t>(r.latency.n), r.extra, 0};
        return base::ok;
    }
    if (p.period < static_cast<uint64_t>(least_period.n) || p.period > static_cast<uint64_t>(most_period.n) ||
        p.slice > p.period || p.latency > p.period || p.slice < static_cast<uint64_t>(least_slice.n) || p.xtratime > 1)
        return Err{Errc::inval};
    Reservation wanted;
    wanted.period = {static_cast<int64_t>(p.period)};
    wanted.slice = {static_cast<int64_t>(p.slice)};
    wanted.latency = {static_cast<int64_t>(p.latency)};
    wanted.extra = p.xtratime != 0;
    const Nanos now = clock::now();
    settle(now);
    for (SharedUnit& e : members_)
        if (&e.unit.group == &g) reserve(e, wanted, now);
    return base::ok;
}

AtroposScheduler first;

}  // namespace

Scheduler& sched::atropos = first;

}  // namespace hv
