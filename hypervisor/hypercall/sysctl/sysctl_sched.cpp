// SPDX-License-Identifier: Apache-2.0
/// CPU pools and scheduler parameters. There is one pool, 0, with every CPU and every domain.
#include "hypervisor/hypercall/sysctl/sysctl.hpp"
#include "hypervisor/sched/scheduler.hpp"

namespace hv::sysctl {

namespace {

uint32_t count_domains() {
    uint32_t n = 0;
    for (DomainRef d = next_domain(DomId(0)); d; d = next_domain(DomId::from_reg(d->id.raw + 1u))) ++n;
    return n;
}

Status pool_info(const Call& c) {
    xen::SysctlCpuPoolOp& p = c.op.u.cpupool_op;
    // Asks for the first pool at or above the id: how tools walk over all.
    if (p.cpupool_id != 0) return Err{Errc::noent};
    p.sched_id = sched::pool0().policy->abi_id();
    p.n_dom = count_domains();
    TRY(store_bitmap(p.cpumap, sched::pool0().cpus.load()));
    return c.done();
}

Status move_domain(const xen::SysctlCpuPoolOp& p) {
    TRY(find_domain(DomId::from_reg(p.domid)));
    if (p.cpupool_id != 0) return Err{Errc::noent};
    return ok;
}

}  // namespace

Status cpupool_op(const Call& c) {
    xen::SysctlCpuPoolOp& p = c.op.u.cpupool_op;
    switch (p.op) {
        case xen::XEN_SYSCTL_CPUPOOL_OP_INFO: return pool_info(c);
        case xen::XEN_SYSCTL_CPUPOOL_OP_FREEINFO: TRY(store_bitmap(p.cpumap, {})); return c.done();
        case xen::XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN: return move_domain(p);
        case xen::XEN_SYSCTL_CPUPOOL_OP_DESTROY:
        case xen::XEN_SYSCTL_CPUPOOL_OP_RMCPU: return Err{p.cpupool_id == 0 ? Errc::busy : Errc::noent};
        case xen::XEN_SYSCTL_CPUPOOL_OP_CREATE:
        case xen::XEN_SYSCTL_CPUPOOL_OP_ADDCPU: return Err{Errc::opnotsupp};
        default: return Err{Errc::nosys};
    }
}

Status scheduler_op(const Call& c) {
    xen::SysctlSchedulerOp& s = c.op.u.scheduler_op;
    if (s.cpupool_id != 0) return Err{Errc::srch};
    Scheduler& policy = *sched::pool0().policy;
    if (s.sched_id != policy.abi_id()) return Err{Errc::inval};
    TRY(policy.policy_params(s));
    return c.done();
}

}  // namespace hv::sysctl
