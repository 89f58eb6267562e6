// SPDX-License-Identifier: Apache-2.0
/// rtds: each vCPU has a budget in each period, by the earliest deadline; with extratime, when the budget is used up, another one, below those
/// who have not used up as many.
#include "abi/xen/domctl.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/sched/policies.hpp"
#include "hypervisor/sched/reserved.hpp"
#include "hypervisor/sched/unit_data.hpp"

namespace hv {

namespace {

using base::Err;
using base::Errc;
using base::Nanos;
using base::Status;

// Xen's.
constexpr uint32_t usual_period_us = 10'000;
constexpr uint32_t usual_budget_us = 4'000;
constexpr uint32_t least_us = 10;

class RtdsScheduler final : public ReservedScheduler {
public:
    const char* name() const override { return "rtds"; }
    const char* title() const override { return "Real time: budgets in periods, earliest deadline first (rtds)"; }
    uint32_t abi_id() const override { return xen::XEN_SCHEDULER_RTDS; }
    base::Result<Scheduler*> another() const override { return static_cast<Scheduler*>(TRY(make<RtdsScheduler>())); }
    Status group_params(SchedGroup& g, xenolith::SchedGroupOp& op) override;
    bool has_unit_params() const override { return true; }
    Status unit_params(SchedUnit& u, uint32_t cmd, xen::DomctlSchedParamVcpu& p) override;

private:
    Reservation usual(const SchedUnit&) const override REQUIRES(lock_) {
        Reservation r;
        r.period = Nanos::us(usual_period_us);
        r.slice = Nanos::us(usual_budget_us);
        r.extra = true;
        return r;
    }
    void begin_extra(Reservation& r) override REQUIRES(lock_) {
        ++r.level;
        r.left = {r.slice.n + std::max<int64_t>(r.left.n, -r.slice.n + 1)};
    }
    Key key(const SharedUnit& e) const override REQUIRES(lock_) { return {e.reserved.level, e.reserved.deadline.n}; }
};

bool makes_sense(const xen::DomctlSchedRtds& p) { return p.budget >= least_us && p.period >= least_us && p.budget <= p.period; }

Reservation reservation(const xen::DomctlSchedRtds& p, bool extra) {
    Reservation r;
    r.period = Nanos::us(p.period);
    r.slice = Nanos::us(p.budget);
    r.extra = extra;
    return r;
}

Status RtdsScheduler::group_params(SchedGroup& g, xenolith::SchedGroupOp& op) {
    xen::DomctlSchedRtds& p = op.u.rtds;
    switch (op.cmd) {
        case xen::XEN_DOMCTL_SCHEDOP_getinfo:
            // As on Xen: the vCPUs may differ, so what is told of the domain is what one begins with.
            p.period = usual_period_us;
            p.budget = usual_budget_us;
            return base::ok;
        case xen::XEN_DOMCTL_SCHEDOP_putinfo: {
            if (!makes_sense(p)) return Err{Errc::inval};
            Guard guard(lock_);
            const Nanos now = clock::now();
            settle(now);
            for (SharedUnit& e : members_)
                if (&e.unit.group == &g) reserve(e, reservation(p, e.reserved.extra), now);
            return base::ok;
        }
        default: return Err{Errc::inval};
    }
}

Status RtdsScheduler::unit_params(SchedUnit& u, uint32_t cmd, xen::DomctlSchedParamVcpu& p) {
    Guard guard(lock_);
    SharedUnit& e = shared_data(u);
    if (!e.is_of(this)) return Err{Errc::inval};
    if (cmd == xen::XEN_DOMCTL_SCHEDOP_getvcpuinfo) {
        p.u.rtds = {static_cast<uint32_t>(e.reserved.period.n / 1000), static_cast<uint32_t>(e.reserved.slice.n / 1000),
                    e.reserved.extra ? xen::XEN_DOMCTL_SCHEDRT_extra : 0};
        return base::ok;
    }
    if (!makes_sense(p.u.rtds)) return Err{Errc::inval};
    const Nanos now = clock::now();
    settle(now);
    reserve(e, reservation(p.u.rtds, p.u.rtds.flags & xen::XEN_DOMCTL_SCHEDRT_extra), now);
    return base::ok;
}

RtdsScheduler first;

}  // namespace

Scheduler& sched::rtds = first;

}  // namespace hv
