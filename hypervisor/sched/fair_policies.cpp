// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/sched/fair_policies.hpp"

#include "abi/xen/domctl.hpp"
#include "hypervisor/mm/heap.hpp"

namespace hv {

using base::Err;
using base::Errc;
using base::Nanos;
using base::Status;

namespace {

constexpr Nanos credit2_slice = Nanos::ms(10);

bool is_ratelimit(uint32_t us) {
    return us == 0 || (us >= xen::XEN_SYSCTL_SCHED_RATELIMIT_MIN && us <= xen::XEN_SYSCTL_SCHED_RATELIMIT_MAX);
}

}  // namespace

// -- credit2 ----------------------------------------------------------------------------------------------------------

uint32_t Credit2Scheduler::abi_id() const { return xen::XEN_SCHEDULER_CREDIT2; }

base::Result<Scheduler*> Credit2Scheduler::another() const { return static_cast<Scheduler*>(TRY(make<Credit2Scheduler>())); }

void Credit2Scheduler::begin(const SchedSettings& settings) {
    ratelimit_us.store(settings.ratelimit_us, std::memory_order_relaxed);
    set_slice(credit2_slice);
}

Status Credit2Scheduler::group_params(SchedGroup& g, xenolith::SchedGroupOp& op) {
    return weight_and_cap(g, op.cmd, op.u.credit2.weight, op.u.credit2.cap);
}

Status Credit2Scheduler::policy_params(xenolith::SchedPolicyOp& op) {
    uint32_t& us = op.u.sched_credit2.ratelimit_us;
    switch (op.cmd) {
        case xen::XEN_SYSCTL_SCHEDOP_getinfo: us = ratelimit_us.load(std::memory_order_relaxed); return base::ok;
        case xen::XEN_SYSCTL_SCHEDOP_putinfo:
            if (!is_ratelimit(us)) return Err{Errc::inval};
            ratelimit_us.store(us, std::memory_order_relaxed);
            return base::ok;
        default: return Err{Errc::inval};
    }
}

// -- credit -----------------------------------------------------------------------------------------------------------

uint32_t CreditScheduler::abi_id() const { return xen::XEN_SCHEDULER_CREDIT; }

base::Result<Scheduler*> CreditScheduler::another() const { return static_cast<Scheduler*>(TRY(make<CreditScheduler>())); }

void CreditScheduler::begin(const SchedSettings& settings) {
    const uint64_t slice_us = settings.tslice_ms * uint64_t{1000};
    ratelimit_us.store(settings.ratelimit_us > slice_us ? static_cast<uint32_t>(slice_us) : settings.ratelimit_us,
                       std::memory_order_relaxed);
    set_slice(Nanos::ms(settings.tslice_ms));
    set_migration_delay(Nanos{});
}

Status CreditScheduler::group_params(SchedGroup& g, xenolith::SchedGroupOp& op) {
    return weight_and_cap(g, op.cmd, op.u.credit.weight, op.u.credit.cap);
}

Status CreditScheduler::policy_params(xenolith::SchedPolicyOp& op) {
    xen::SysctlCreditSchedule& p = op.u.sched_credit;
    if (op.cmd == xen::XEN_SYSCTL_SCHEDOP_putinfo) {
        if (p.tslice_ms < xen::XEN_SYSCTL_CSCHED_TSLICE_MIN || p.tslice_ms > xen::XEN_SYSCTL_CSCHED_TSLICE_MAX ||
            !is_ratelimit(p.ratelimit_us) || p.ratelimit_us > p.tslice_ms * 1000 ||
            p.vcpu_migr_delay_us > xen::XEN_SYSCTL_CSCHED_MGR_DLY_MAX_US)
            return Err{Errc::inval};
        set_slice(Nanos::ms(p.tslice_ms));
        ratelimit_us.store(p.ratelimit_us, std::memory_order_relaxed);
        set_migration_delay(Nanos::us(p.vcpu_migr_delay_us));
        return base::ok;
    }
    if (op.cmd != xen::XEN_SYSCTL_SCHEDOP_getinfo) return Err{Errc::inval};
    p.tslice_ms = static_cast<uint32_t>(slice().n / 1'000'000);
    p.ratelimit_us = ratelimit_us.load(std::memory_order_relaxed);
    p.vcpu_migr_delay_us = static_cast<uint32_t>(migration_delay().n / 1000);
    return base::ok;
}

}  // namespace hv
