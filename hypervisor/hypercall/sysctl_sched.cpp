// SPDX-License-Identifier: Apache-2.0
/// CPU pools and scheduler parameters. There is one pool, 0, with every CPU and every domain.
#include "hypervisor/hypercall/sysctl.hpp"
#include "hypervisor/sched/scheduler.hpp"

namespace hv::sysctl {

namespace {

using Answer = Result<uint64_t>;

uint32_t count_domains() {
    uint32_t n = 0;
    for (DomainRef d = next_domain(DomId(0)); d; d = next_domain(DomId::from_reg(d->id.raw + 1u))) ++n;
    return n;
}

Answer pool_info(const Call& c) {
    xen::SysctlCpuPoolOp& p = c.op.u.cpupool_op;
    // Asks for the first pool at or above the id: how tools walk over all.
    if (p.cpupool_id != 0) return Err{Errc::noent};
    p.sched_id = sched::scheduler().abi_id();
    p.n_dom = count_domains();
    TRY(store_bitmap(p.cpumap, online_cpus()));
    return c.done();
}

Answer move_domain(const xen::SysctlCpuPoolOp& p) {
    TRY(find_domain(DomId::from_reg(p.domid)));
    if (p.cpupool_id != 0) return Err{Errc::noent};
    return 0;
}

}  // namespace

Answer cpupool_op(const Call& c) {
    xen::SysctlCpuPoolOp& p = c.op.u.cpupool_op;
    switch (p.op) {
        case xen::XEN_SYSCTL_CPUPOOL_OP_INFO:
            return pool_info(c);
        case xen::XEN_SYSCTL_CPUPOOL_OP_FREEINFO:
            TRY(store_bitmap(p.cpumap, 0));
            return c.done();
        case xen::XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN:
            return move_domain(p);
        case xen::XEN_SYSCTL_CPUPOOL_OP_DESTROY:
        case xen::XEN_SYSCTL_CPUPOOL_OP_RMCPU:
            return Err{p.cpupool_id == 0 ? Errc::busy : Errc::noent};
        case xen::XEN_SYSCTL_CPUPOOL_OP_CREATE:
        case xen::XEN_SYSCTL_CPUPOOL_OP_ADDCPU:
            return Err{Errc::opnotsupp};
        default:
            return Err{Errc::nosys};
    }
}

Answer scheduler_op(const Call& c) {
    xen::SysctlSchedulerOp& s = c.op.u.scheduler_op;
    if (s.cpupool_id != 0) return Err{Errc::srch};
    if (s.sched_id != sched::scheduler().abi_id()) return Err{Errc::inval};
    xen::SysctlCredit2Schedule& p = s.u.sched_credit2;
    switch (s.cmd) {
        case xen::XEN_SYSCTL_SCHEDOP_getinfo:
            p.ratelimit_us = sched::ratelimit_us();
            return c.done();
        case xen::XEN_SYSCTL_SCHEDOP_putinfo:
            if (p.ratelimit_us && (p.ratelimit_us > xen::XEN_SYSCTL_SCHED_RATELIMIT_MAX ||
                                   p.ratelimit_us < xen::XEN_SYSCTL_SCHED_RATELIMIT_MIN))
                return Err{Errc::inval};
            sched::set_ratelimit_us(p.ratelimit_us);
            return c.done();
        default:
            return Err{Errc::inval};
    }
}

}  // namespace hv::sysctl
