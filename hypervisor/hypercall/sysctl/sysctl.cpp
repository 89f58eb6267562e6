// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_sysctl: what tools ask of the machine.
#include "hypervisor/hypercall/sysctl/sysctl.hpp"

#include <algorithm>

#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/rt/log_ring.hpp"
#include "hypervisor/sched/scheduler.hpp"

namespace hv {

namespace sysctl {
namespace {

using Answer = Result<uint64_t>;

Answer readconsole(const Call& c) {
    xen::SysctlReadConsole& r = c.op.u.readconsole;
    uint32_t index = r.incremental ? r.index : 0;
    uint32_t copied = 0;
    char chunk[512];
    while (copied < r.count) {
        const size_t n = log_read(chunk, std::min<size_t>(sizeof chunk, r.count - copied), index, r.clear != 0);
        if (n == 0) break;
        if (!arch::copy_to_guest(r.buffer.addr + copied, chunk, n)) return Err{Errc::fault};
        copied += static_cast<uint32_t>(n);
        // Cleared text is gone: the rest begins where the ring now begins.
        if (r.clear && !r.incremental) index = 0;
    }
    r.count = copied;
    r.index = index;
    return c.done();
}

/// There are no trace buffers: their size is 0 and stays so.
Answer tbuf_op(const Call& c) {
    xen::SysctlTbufOp& t = c.op.u.tbuf_op;
    switch (t.cmd) {
        case xen::XEN_SYSCTL_TBUFOP_get_info:
            t.evt_mask = 0;
            t.buffer_mfn = 0;
            t.size = 0;
            return c.done();
        case xen::XEN_SYSCTL_TBUFOP_disable: return 0;
        default: return Err{Errc::opnotsupp};
    }
}

Answer getdomaininfolist(const Call& c) {
    xen::SysctlGetDomainInfoList& l = c.op.u.getdomaininfolist;
    const auto out = GuestPtr<xen::DomctlGetDomainInfo>::of(l.buffer);
    // Progress: how many were stored, and above that where the next begins. There are fewer domains than 2^16.
    uint32_t n = c.progress & 0xffff;
    DomId from = c.progress ? DomId::from_reg(c.progress >> 16) : DomId(l.first_domain);
    while (n < l.max_domains) {
        DomainRef d = next_domain(from);
        if (!d) break;
        TRY(out.store(domain_info(*d), n));
        ++n;
        from = DomId::from_reg(d->id.raw + 1u);
        if (n < l.max_domains && arch::preempt_wanted()) return c.again(n | uint32_t{from.raw} << 16);
    }
    l.num_domains = n;
    return c.done();
}

Answer dispatch(const Call& c) {
    switch (c.op.cmd) {
        case xen::XEN_SYSCTL_readconsole: return readconsole(c);
        case xen::XEN_SYSCTL_tbuf_op: return tbuf_op(c);
        case xen::XEN_SYSCTL_physinfo: return physinfo(c);
        case xen::XEN_SYSCTL_sched_id: c.op.u.sched_id.sched_id = sched::pool0().policy->abi_id(); return c.done();
        case xen::XEN_SYSCTL_getdomaininfolist: return getdomaininfolist(c);
        case xen::XEN_SYSCTL_debug_keys: return debug_keys(c);
        case xen::XEN_SYSCTL_getcpuinfo: return getcpuinfo(c);
        case xen::XEN_SYSCTL_availheap: return availheap(c);
        case xen::XEN_SYSCTL_cputopoinfo: return cputopoinfo(c);
        case xen::XEN_SYSCTL_numainfo: return numainfo(c);
        case xen::XEN_SYSCTL_pcitopoinfo: return pcitopoinfo(c);
        case xen::XEN_SYSCTL_cpupool_op: return cpupool_op(c);
        case xen::XEN_SYSCTL_scheduler_op: return scheduler_op(c);
        case xen::XEN_SYSCTL_get_cpu_policy: return get_cpu_policy(c);
        case xen::XEN_SYSCTL_get_cpu_featureset: return get_cpu_featureset(c);
        case xen::XEN_SYSCTL_get_cpu_levelling_caps:
            c.op.u.cpu_levelling_caps.caps = 0;  // CPUID faulting is not used to level guests
            return c.done();
        case xen::XEN_SYSCTL_get_pmstat:
        case xen::XEN_SYSCTL_pm_op:
        case xen::XEN_SYSCTL_psr_cmt_op:
        case xen::XEN_SYSCTL_psr_alloc: return Err{Errc::nodev};  // no frequency or idle driver, no cache monitor
        case xen::XEN_SYSCTL_perfc_op:
        case xen::XEN_SYSCTL_lockprof_op:
        case xen::XEN_SYSCTL_coverage_op:
        case xen::XEN_SYSCTL_livepatch_op:
        case xen::XEN_SYSCTL_cpu_hotplug:
        case xen::XEN_SYSCTL_page_offline_op: return Err{Errc::opnotsupp};
        default:
            guest_log(LogLevel::debug, "d%u: unknown sysctl %u", unsigned{c.v.domain.id.raw}, c.op.cmd);
            return Err{Errc::nosys};
    }
}

}  // namespace
}  // namespace sysctl

Result<uint64_t> hypercall_sysctl(Vcpu& v, const uint64_t (&args)[6]) {
    if (!v.domain.privileged) return Err{Errc::perm};
    const auto arg = GuestPtr<xen::Sysctl>::from_reg(args[0]);
    xen::Sysctl op = TRY(arg.fetch());
    if (op.interface_version != xen::XEN_SYSCTL_INTERFACE_VERSION) return Err{Errc::access};
    ControlTurn turn;
    if (!turn) return restart_with(v, args[0]);
    return sysctl::dispatch({v, op, arg, sysctl::Call::progress_in(args[1])});
}

}  // namespace hv
