// SPDX-License-Identifier: Apache-2.0
/// vCPUs: registers, places, shares.
#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/hypercall/domctl/domctl.hpp"
#include "hypervisor/sched/scheduler.hpp"
#include "hypervisor/trace/trace.hpp"

namespace hv::domctl {

Status setvcpucontext(const Call& c) {
    const xen::DomctlVcpuContext& a = c.op.u.vcpucontext;
    Vcpu& v = *TRY(c.vcpu(a.vcpu));
    if (a.ctxt.is_null()) return Err{Errc::inval};  // resetting a vCPU is for HVM guests
    Paused p(c);
    const auto online = c.d.kind.set_context(v, a.ctxt.addr);
    if (!online) return online.error() == Errc::restart ? c.again() : Err{online.error()};
    // The builder has cleared the shared page since the domain was made: the clock is told to the guest that starts here.
    if (v.id == VcpuId(0)) domain_update_wallclock(c.d);
    if (online.value()) v.pause_flags.fetch_and(~uint32_t{vpf_down}, std::memory_order_acq_rel);
    else v.pause_flags.fetch_or(vpf_down, std::memory_order_acq_rel);
    return ok;
}

Status getvcpucontext(const Call& c) {
    const xen::DomctlVcpuContext& a = c.op.u.vcpucontext;
    Vcpu& v = *TRY(c.vcpu(a.vcpu));
    if (!v.initialised) return Err{Errc::nodata};
    Paused p(c);
    return c.d.kind.get_context(v, a.ctxt.addr);
}

Status getvcpuinfo(const Call& c) {
    xen::DomctlGetVcpuInfo& i = c.op.u.getvcpuinfo;
    const Vcpu& v = *TRY(c.vcpu(i.vcpu));
    const uint32_t flags = v.pause_flags.load(std::memory_order_acquire);
    i.online = !(flags & vpf_down);
    i.blocked = (flags & vpf_blocked) != 0;
    i.running = v.running_on.load(std::memory_order_acquire) >= 0;
    i.cpu_time = static_cast<uint64_t>(sched::runtime(v).n);
    i.cpu = v.cpu.load(std::memory_order_acquire);
    return c.done();
}

namespace {

/// All CPUs asked for, online or not, when the map names all online ones: so that "any" stays any.
Result<CpuSet> wanted_cpus(const xen::XenctlBitmap& map) {
    const CpuSet named = TRY(fetch_bitmap(map));
    return named.covers(online_cpus()) ? CpuSet::any() : named;
}

CpuSet pool_cpus(const Vcpu& v) { return v.domain.sched.pool.load(std::memory_order_relaxed)->cpus.load() & online_cpus(); }

Status set_affinity(Vcpu& v, xen::DomctlVcpuAffinity& a) {
    if (a.flags & xen::XEN_VCPUAFFINITY_HARD) {
        const CpuSet hard = TRY(wanted_cpus(a.cpumap_hard));
        const CpuSet usable = hard & pool_cpus(v);
        if (usable.empty()) return Err{Errc::inval};
        v.affinity.store(hard);
        TRY(store_bitmap(a.cpumap_hard, usable));
    }
    if (a.flags & xen::XEN_VCPUAFFINITY_SOFT) {
        v.soft_affinity.store(TRY(wanted_cpus(a.cpumap_soft)));
        TRY(store_bitmap(a.cpumap_soft, v.soft_affinity.load() & pool_cpus(v) & v.affinity.load()));
    }
    sched::policy_of(v).affinity_changed(v);
    return ok;
}

Status get_affinity(const Vcpu& v, const xen::DomctlVcpuAffinity& a) {
    if (a.flags & xen::XEN_VCPUAFFINITY_HARD) TRY(store_bitmap(a.cpumap_hard, v.affinity.load()));
    if (a.flags & xen::XEN_VCPUAFFINITY_SOFT) TRY(store_bitmap(a.cpumap_soft, v.soft_affinity.load()));
    return ok;
}

}  // namespace

Status vcpu_affinity(const Call& c) {
    xen::DomctlVcpuAffinity& a = c.op.u.vcpuaffinity;
    constexpr uint32_t maps = xen::XEN_VCPUAFFINITY_HARD | xen::XEN_VCPUAFFINITY_SOFT;
    const bool set = c.op.cmd == xen::XEN_DOMCTL_setvcpuaffinity;
    const uint32_t known = set ? maps | xen::XEN_VCPUAFFINITY_FORCE : maps;
    if (!(a.flags & maps) || (a.flags & ~known)) return Err{Errc::inval};
    Vcpu& v = *TRY(c.vcpu(a.vcpu));
    return set ? set_affinity(v, a) : get_affinity(v, a);
}

/// One node: a domain is near it or nowhere.
Status node_affinity(const Call& c) {
    const xen::XenctlBitmap& map = c.op.u.nodeaffinity.nodemap;
    if (c.op.cmd == xen::XEN_DOMCTL_getnodeaffinity) {
        TRY(store_bitmap(map, CpuSet::of(0)));
        return ok;
    }
    if (!TRY(fetch_bitmap(map)).has(0)) return Err{Errc::inval};
    return ok;
}

namespace {

/// Parameters of single vCPUs: at most so many at a time, and the caller is told how many.
Status vcpu_params(const Call& c, Scheduler& policy) {
    constexpr uint32_t most = 64;
    auto& list = c.op.u.scheduler_op.u.v;
    const uint32_t cmd = c.op.u.scheduler_op.cmd;
    const auto at = GuestPtr<xen::DomctlSchedParamVcpu>::of(list.vcpus);
    const uint32_t count = std::min(list.nr_vcpus, most);
    for (uint32_t i = 0; i < count; ++i) {
        xen::DomctlSchedParamVcpu p = TRY(at.fetch(i));
        const auto v = c.vcpu(p.vcpuid);
        if (!v) return Err{Errc::inval};
        TRY(policy.unit_params(*v.value(), cmd, p));
        if (cmd == xen::XEN_DOMCTL_SCHEDOP_getvcpuinfo) TRY(at.store(p, i));
    }
    list.nr_vcpus = count;
    return c.done();
}

}  // namespace

Status scheduler_op(const Call& c) {
    xen::DomctlSchedulerOp& s = c.op.u.scheduler_op;
    Scheduler& policy = *c.d.sched.pool.load(std::memory_order_relaxed)->policy;
    if (s.sched_id != policy.abi_id()) return Err{Errc::inval};
    const bool of_vcpus = s.cmd == xen::XEN_DOMCTL_SCHEDOP_getvcpuinfo || s.cmd == xen::XEN_DOMCTL_SCHEDOP_putvcpuinfo;
    if (of_vcpus && policy.has_unit_params()) return vcpu_params(c, policy);
    // Those that Xen does not have any more have larger ones: there is room in the union of the whole.
    xenolith::SchedGroupOp params;
    static_assert(sizeof params <= sizeof c.op.u);
    memcpy(&params, &c.op.u, sizeof params);
    TRY(policy.group_params(c.d.sched, params));
    trace::event(xen::TRC_SCHED_ADJDOM, uint32_t{c.d.id.raw});
    memcpy(&c.op.u, &params, sizeof params);
    return c.done();
}

}  // namespace hv::domctl
