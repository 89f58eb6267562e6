// SPDX-License-Identifier: Apache-2.0
/// The machine's CPUs and memory, as tools see them: one node.
#include <algorithm>
#include <iterator>

#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/hypercall/sysctl/sysctl.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/sched/scheduler.hpp"

namespace hv::sysctl {

namespace {

/// CPUs whose number without its low bits is that of the first one.
uint32_t beside_the_first(unsigned bits) {
    return static_cast<uint32_t>(
        std::count_if(cpus, cpus + cpu_count, [bits](const Cpu& c) { return c.apic_id >> bits == cpus[0].apic_id >> bits; }));
}

}  // namespace

Status physinfo(const Call& c) {
    xen::SysctlPhysInfo& p = c.op.u.physinfo;
    p = xen::zeroed<xen::SysctlPhysInfo>();
    // As Xen has it: those that are there in the place of CPU 0.
    p.threads_per_core = beside_the_first(cpu_features.topology.thread_bits);
    p.cores_per_socket = beside_the_first(cpu_features.topology.package_bits) / p.threads_per_core;
    p.nr_cpus = cpu_count;
    p.max_cpu_id = cpu_count - 1;
    p.nr_nodes = 1;
    p.max_node_id = 0;
    p.cpu_khz = static_cast<uint32_t>(clock::tsc_khz);
    p.capabilities = xen::XEN_SYSCTL_PHYSCAP_pv | xen::XEN_SYSCTL_PHYSCAP_gnttab_v1 | xen::XEN_SYSCTL_PHYSCAP_gnttab_v2;
    p.total_pages = heap::total_pages().n;
    p.free_pages = heap::free_pages().n;
    p.outstanding_pages = claimed_pages().n;
    p.max_mfn = max_frame - 1;
    for (uint32_t i = 0; i < std::size(p.hw_cap); ++i) p.hw_cap[i] = x86::shown_feature_word(raw_policy, i, cpu_features.amd);
    return c.done();
}

Status getcpuinfo(const Call& c) {
    xen::SysctlGetCpuInfo& g = c.op.u.getcpuinfo;
    const uint32_t n = std::min(g.max_cpus, cpu_count);
    const auto out = GuestPtr<xen::SysctlCpuInfo>::of(g.info);
    for (uint32_t i = 0; i < n; ++i) {
        const uint64_t idle = cpus[i].idle ? static_cast<uint64_t>(sched::runtime(*cpus[i].idle).n) : 0;
        TRY(out.store({idle}, i));
    }
    g.nr_cpus = n;
    return c.done();
}

Status availheap(const Call& c) {
    xen::SysctlAvailHeap& a = c.op.u.availheap;
    if (a.node > 0) return Err{Errc::inval};
    const bool all = a.min_bitwidth == 0 && a.max_bitwidth == 0;
    const unsigned top = a.max_bitwidth ? std::min(a.max_bitwidth, 64u) : 64u;
    a.avail_bytes = (all ? heap::free_pages() : heap::free_pages_between(a.min_bitwidth, top)).bytes();
    return c.done();
}

Status cputopoinfo(const Call& c) {
    xen::SysctlCpuTopoInfo& t = c.op.u.cputopoinfo;
    const auto out = GuestPtr<xen::SysctlCpuTopo>::of(t.cputopo);
    if (!out.null()) {
        const uint32_t n = std::min(t.num_cpus, cpu_count);
        for (uint32_t i = 0; i < n; ++i) {
            const x86::Topology& place = cpu_features.topology;
            TRY(out.store({place.core(cpus[i].apic_id), place.socket(cpus[i].apic_id), 0}, i));
        }
        t.num_cpus = n;
    } else {
        t.num_cpus = cpu_count;
    }
    return c.done();
}

Status numainfo(const Call& c) {
    xen::SysctlNumaInfo& i = c.op.u.numainfo;
    const auto memory = GuestPtr<xen::SysctlMemInfo>::of(i.meminfo);
    const auto distance = GuestPtr<uint32_t>::of(i.distance);
    const bool counts_only = memory.null() && distance.null();
    if (!counts_only && i.num_nodes > 0) {
        if (!memory.null()) TRY(memory.store({heap::total_pages().bytes(), heap::free_pages().bytes()}));
        constexpr uint32_t to_itself = 10;
        if (!distance.null()) TRY(distance.store(to_itself));
    }
    i.num_nodes = counts_only ? 1 : std::min(i.num_nodes, 1u);
    return c.done();
}

Status pcitopoinfo(const Call& c) {
    xen::SysctlPciTopoInfo& t = c.op.u.pcitopoinfo;
    if (t.devs.is_null() || t.nodes.is_null()) return Err{Errc::inval};
    const auto nodes = GuestPtr<uint32_t>::of(t.nodes);
    // dom0 does not tell us where a device is near; one node makes the question idle. The answer says how many devices
    // were done, and callers ask again for the rest.
    constexpr uint32_t most_at_once = 1024;
    t.num_devs = std::min(t.num_devs, most_at_once);
    for (uint32_t i = 0; i < t.num_devs; ++i) TRY(nodes.store(xen::XEN_INVALID_NODE_ID, i));
    return c.done();
}

}  // namespace hv::sysctl
