// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_sysctl: what tools ask of the machine.
#include "hypervisor/hypercall/sysctl/sysctl.hpp"

#include <algorithm>

#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/row.hpp"
#include "hypervisor/rt/log_ring.hpp"
#include "hypervisor/sched/scheduler.hpp"

namespace hv {

namespace sysctl {
namespace {

Status readconsole(const Call& c) {
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

Status getdomaininfolist(const Call& c) {
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

Status sched_id(const Call& c) {
    c.op.u.sched_id.sched_id = sched::pool0().policy->abi_id();
    return c.done();
}

/// CPUID faulting is not used to level guests.
Status get_cpu_levelling_caps(const Call& c) {
    c.op.u.cpu_levelling_caps.caps = 0;
    return c.done();
}

/// `refused`: no driver for frequencies or idle states, no monitor of caches; no patches, CPUs or pages that come and go.
// clang-format off
using OnMachine = Operations<
    Op<xen::XEN_SYSCTL_readconsole,            readconsole>,
    Op<xen::XEN_SYSCTL_tbuf_op,                tbuf_op,           Who::anyone, Runs::in_parts>,
    Op<xen::XEN_SYSCTL_physinfo,               physinfo>,
    Op<xen::XEN_SYSCTL_sched_id,               sched_id>,
    Op<xen::XEN_SYSCTL_getdomaininfolist,      getdomaininfolist, Who::anyone, Runs::in_parts>,
    Op<xen::XEN_SYSCTL_debug_keys,             debug_keys,        Who::anyone, Runs::in_parts>,
    Op<xen::XEN_SYSCTL_getcpuinfo,             getcpuinfo>,
    Op<xen::XEN_SYSCTL_availheap,              availheap>,
    Op<xen::XEN_SYSCTL_cputopoinfo,            cputopoinfo>,
    Op<xen::XEN_SYSCTL_numainfo,               numainfo>,
    Op<xen::XEN_SYSCTL_pcitopoinfo,            pcitopoinfo>,
    Op<xen::XEN_SYSCTL_cpupool_op,             cpupool_op,        Who::anyone, Runs::in_parts>,
    Op<xen::XEN_SYSCTL_scheduler_op,           scheduler_op>,
    Op<xen::XEN_SYSCTL_get_cpu_policy,         get_cpu_policy>,
    Op<xen::XEN_SYSCTL_get_cpu_featureset,     get_cpu_featureset>,
    Op<xen::XEN_SYSCTL_get_cpu_levelling_caps, get_cpu_levelling_caps>,
    Op<xen::XEN_SYSCTL_get_pmstat,             refused<Errc::nodev>>,
    Op<xen::XEN_SYSCTL_pm_op,                  refused<Errc::nodev>>,
    Op<xen::XEN_SYSCTL_psr_cmt_op,             refused<Errc::nodev>>,
    Op<xen::XEN_SYSCTL_psr_alloc,              refused<Errc::nodev>>,
    Op<xen::XEN_SYSCTL_perfc_op,               perfc_op,          Who::anyone, Runs::in_parts>,
    Op<xen::XEN_SYSCTL_lockprof_op,            lockprof_op>,
    Op<xen::XEN_SYSCTL_coverage_op,            refused<Errc::opnotsupp>>,
    Op<xen::XEN_SYSCTL_livepatch_op,           refused<Errc::opnotsupp>>,
    Op<xen::XEN_SYSCTL_cpu_hotplug,            refused<Errc::opnotsupp>>,
    Op<xen::XEN_SYSCTL_page_offline_op,        refused<Errc::opnotsupp>>>;
// clang-format on

}  // namespace
}  // namespace sysctl

Answer hypercall_sysctl(Vcpu& v, GuestPtr<xen::Sysctl> arg, uint64_t progress) {
    xen::Sysctl op = TRY(arg.fetch());
    if (op.interface_version != xen::XEN_SYSCTL_INTERFACE_VERSION) return Err{Errc::access};
    ControlTurn turn;
    if (!turn) return restart_with(v, arg);
    const sysctl::Call c{v, op, arg, sysctl::Call::progress_in(progress)};
    return sysctl::OnMachine::run("sysctl", op.cmd, c);
}

}  // namespace hv
