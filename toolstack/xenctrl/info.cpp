// SPDX-License-Identifier: Apache-2.0
// What there is: domains, the machine, the hypervisor.
#include <algorithm>
#include <cstring>

#include "abi/xen/sysctl.hpp"
#include "abi/xen/version.hpp"
#include "toolstack/xenctrl/call.hpp"
#include "toolstack/xenctrl/control.hpp"

namespace xenctrl {

using base::Errc;
using base::Unit;

namespace {

DomainInfo decode(const xen::DomctlGetDomainInfo& raw) {
    DomainInfo d;
    const auto flag = [&](uint32_t bit) { return (raw.flags & bit) != 0; };
    d.id = DomId{raw.domain};
    d.dying = flag(xen::XEN_DOMINF_dying);
    d.hvm = flag(xen::XEN_DOMINF_hvm_guest);
    d.shutdown = flag(xen::XEN_DOMINF_shutdown);
    d.paused = flag(xen::XEN_DOMINF_paused);
    d.blocked = flag(xen::XEN_DOMINF_blocked);
    d.running = flag(xen::XEN_DOMINF_running);
    d.debugged = flag(xen::XEN_DOMINF_debugged);
    d.hap = flag(xen::XEN_DOMINF_hap);
    d.reason = static_cast<ShutdownReason>((raw.flags >> xen::XEN_DOMINF_shutdownshift) & xen::XEN_DOMINF_shutdownmask);
    d.pages = raw.tot_pages;
    d.max_pages = raw.max_pages;
    d.outstanding_pages = raw.outstanding_pages;
    d.shared_pages = raw.shr_pages;
    d.paged_pages = raw.paged_pages;
    d.cpu_time = Nanos{static_cast<int64_t>(raw.cpu_time)};
    d.online_vcpus = raw.nr_online_vcpus;
    d.vcpus = raw.max_vcpu_id == xen::XEN_INVALID_MAX_VCPU_ID ? 0 : raw.max_vcpu_id + 1;
    d.ssidref = raw.ssidref;
    d.cpupool = raw.cpupool;
    std::memcpy(d.handle.data(), raw.handle.bytes, d.handle.size());
    d.shared_info = Mfn{raw.shared_info_frame};
    return d;
}

/// A text field that the hypervisor may or may not have terminated.
std::string text_of(const char* at, size_t size) { return std::string(at, strnlen(at, size)); }

}  // namespace

std::string DomainInfo::state() const {
    std::string s = "------";
    const bool crashed = shutdown && reason == ShutdownReason::crash;
    if (running) s[0] = 'r';
    if (blocked) s[1] = 'b';
    if (paused) s[2] = 'p';
    if (shutdown && !crashed) s[3] = 's';
    if (crashed) s[4] = 'c';
    if (dying) s[5] = 'd';
    return s;
}

const char* shutdown_reason_name(ShutdownReason reason) {
    switch (reason) {
        case ShutdownReason::poweroff: return "poweroff";
        case ShutdownReason::reboot: return "reboot";
        case ShutdownReason::suspend: return "suspend";
        case ShutdownReason::crash: return "crash";
        case ShutdownReason::watchdog: return "watchdog";
        case ShutdownReason::soft_reset: return "soft_reset";
    }
    return "unknown";
}

const char* scheduler_name(Scheduler scheduler) {
    switch (scheduler) {
        case Scheduler::credit: return "credit";
        case Scheduler::credit2: return "credit2";
        case Scheduler::arinc653: return "arinc653";
        case Scheduler::rtds: return "rtds";
        case Scheduler::null: return "null";
        case Scheduler::bvt: return "bvt";
        case Scheduler::atropos: return "atropos";
        case Scheduler::rrobin: return "rrobin";
        case Scheduler::sedf: return "sedf";
    }
    return "unknown";
}

std::string error_text(base::Errc code) {
    switch (code) {
        case Errc::srch: return "No such domain";
        case Errc::nomem: return "Not enough free memory in the hypervisor";
        case Errc::nosys:
        case Errc::opnotsupp: return "Not supported by this hypervisor";
        case Errc::access: return "The hypervisor speaks another version of the control interface";
        default: return std::strerror(static_cast<int>(code));
    }
}

Outcome<Control::Buffer<xen::Sysctl>> Control::sysctl_buffer(uint32_t command) {
    auto op = OTRY(Buffer<xen::Sysctl>::make(backend_));
    op->cmd = command;
    op->interface_version = xen::XEN_SYSCTL_INTERFACE_VERSION;
    return op;
}

Outcome<> Control::sysctl(Buffer<xen::Sysctl>& op, const char* what) {
    const int64_t r = call(xen::HYPERVISOR_sysctl, op.address());
    if (r < 0) return failure_of(r, std::string("Cannot ") + what);
    return Unit{};
}

Outcome<std::vector<DomainInfo>> Control::list(DomId first) {
    constexpr uint32_t chunk = 128;
    auto records = OTRY(Buffer<xen::DomctlGetDomainInfo>::make(backend_, chunk));
    auto op = OTRY(sysctl_buffer(xen::XEN_SYSCTL_getdomaininfolist));
    std::vector<DomainInfo> found;
    for (uint32_t next = first.raw; next < xen::DOMID_FIRST_RESERVED;) {
        op->u.getdomaininfolist.first_domain = static_cast<uint16_t>(next);
        op->u.getdomaininfolist.max_domains = chunk;
        op->u.getdomaininfolist.buffer.addr = records.address();
        OTRY(sysctl(op, "list the domains"));
        const uint32_t count = std::min(op->u.getdomaininfolist.num_domains, chunk);
        for (uint32_t i = 0; i < count; ++i) found.push_back(decode(records[i]));
        if (count < chunk) break;
        next = found.back().id.raw + 1U;
    }
    return found;
}

Outcome<DomainInfo> Control::info(DomId domain) {
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_getdomaininfo));
    OTRY(domctl(op, "read the state"));
    // The call finds the next domain when this one does not exist.
    if (op->u.getdomaininfo.domain != domain.raw)
        return base::fail(Errc::srch, "Domain " + std::to_string(domain.raw) + " does not exist");
    return decode(op->u.getdomaininfo);
}

Outcome<VcpuInfo> Control::vcpu_info(DomId domain, VcpuId vcpu) {
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_getvcpuinfo));
    op->u.getvcpuinfo.vcpu = vcpu.raw;
    OTRY(domctl(op, "read the state of a CPU"));
    const auto& v = op->u.getvcpuinfo;
    return VcpuInfo{vcpu, v.online != 0, v.blocked != 0, v.running != 0, Nanos{static_cast<int64_t>(v.cpu_time)}, v.cpu};
}

Outcome<PhysInfo> Control::physinfo() {
    auto op = OTRY(sysctl_buffer(xen::XEN_SYSCTL_physinfo));
    OTRY(sysctl(op, "read the machine's data"));
    const xen::SysctlPhysInfo& raw = op->u.physinfo;
    const auto cap = [&](uint32_t bit) { return (raw.capabilities & bit) != 0; };
    PhysInfo p;
    p.threads_per_core = raw.threads_per_core;
    p.cores_per_socket = raw.cores_per_socket;
    p.cpus = raw.nr_cpus;
    p.max_cpu = raw.max_cpu_id;
    p.nodes = raw.nr_nodes;
    p.max_node = raw.max_node_id;
    p.cpu_khz = raw.cpu_khz;
    p.hvm = cap(xen::XEN_SYSCTL_PHYSCAP_hvm);
    p.pv = cap(xen::XEN_SYSCTL_PHYSCAP_pv);
    p.directio = cap(xen::XEN_SYSCTL_PHYSCAP_directio);
    p.hap = cap(xen::XEN_SYSCTL_PHYSCAP_hap);
    p.shadow = cap(xen::XEN_SYSCTL_PHYSCAP_shadow);
    p.vpmu = cap(xen::XEN_SYSCTL_PHYSCAP_vpmu);
    p.grant_v1 = cap(xen::XEN_SYSCTL_PHYSCAP_gnttab_v1);
    p.grant_v2 = cap(xen::XEN_SYSCTL_PHYSCAP_gnttab_v2);
    p.total_pages = raw.total_pages;
    p.free_pages = raw.free_pages;
    p.scrub_pages = raw.scrub_pages;
    p.outstanding_pages = raw.outstanding_pages;
    p.max_mfn = raw.max_mfn;
    std::ranges::copy(raw.hw_cap, p.hw_caps.begin());
    return p;
}

Outcome<std::vector<CpuTopology>> Control::cpu_topology() {
    auto op = OTRY(sysctl_buffer(xen::XEN_SYSCTL_cputopoinfo));
    OTRY(sysctl(op, "count the CPUs"));
    const uint32_t wanted = std::min(op->u.cputopoinfo.num_cpus, 65536U);
    auto records = OTRY(Buffer<xen::SysctlCpuTopo>::make(backend_, wanted));
    op->u.cputopoinfo.num_cpus = wanted;
    op->u.cputopoinfo.cputopo.addr = records.address();
    OTRY(sysctl(op, "read the CPU topology"));
    std::vector<CpuTopology> cpus;
    for (uint32_t i = 0; i < std::min(op->u.cputopoinfo.num_cpus, wanted); ++i)
        cpus.push_back({records[i].core, records[i].socket, records[i].node});
    return cpus;
}

Outcome<NumaInfo> Control::numa() {
    auto op = OTRY(sysctl_buffer(xen::XEN_SYSCTL_numainfo));
    OTRY(sysctl(op, "count the NUMA nodes"));
    const uint32_t wanted = std::min(op->u.numainfo.num_nodes, 256U);
    auto memory = OTRY(Buffer<xen::SysctlMemInfo>::make(backend_, wanted));
    auto distances = OTRY(Buffer<uint32_t>::make(backend_, size_t{wanted} * wanted));
    op->u.numainfo.num_nodes = wanted;
    op->u.numainfo.meminfo.addr = memory.address();
    op->u.numainfo.distance.addr = distances.address();
    OTRY(sysctl(op, "read the NUMA nodes"));
    NumaInfo n;
    const uint32_t count = std::min(op->u.numainfo.num_nodes, wanted);
    for (uint32_t i = 0; i < count; ++i) n.nodes.push_back({memory[i].memsize, memory[i].memfree});
    n.distances.assign(distances.get(), distances.get() + size_t{count} * count);
    return n;
}

Outcome<std::vector<Nanos>> Control::cpu_idle_times() {
    const PhysInfo machine = OTRY(physinfo());
    const uint32_t wanted = std::min(machine.max_cpu + 1, 65536U);
    auto records = OTRY(Buffer<xen::SysctlCpuInfo>::make(backend_, wanted));
    auto op = OTRY(sysctl_buffer(xen::XEN_SYSCTL_getcpuinfo));
    op->u.getcpuinfo.max_cpus = wanted;
    op->u.getcpuinfo.info.addr = records.address();
    OTRY(sysctl(op, "read the CPUs' idle times"));
    std::vector<Nanos> times;
    for (uint32_t i = 0; i < std::min(op->u.getcpuinfo.nr_cpus, wanted); ++i)
        times.push_back(Nanos{static_cast<int64_t>(records[i].idletime)});
    return times;
}

Outcome<Scheduler> Control::scheduler() {
    auto op = OTRY(sysctl_buffer(xen::XEN_SYSCTL_sched_id));
    OTRY(sysctl(op, "read the scheduler"));
    return static_cast<Scheduler>(op->u.sched_id.sched_id);
}

Outcome<std::string> Control::version_text(uint32_t command, size_t size) {
    auto text = OTRY(Buffer<char>::make(backend_, size));
    const int64_t r = call(xen::HYPERVISOR_xen_version, command, text.address());
    if (r < 0) return failure_of(r, "Cannot read the hypervisor's version");
    return text_of(text.get(), size);
}

Outcome<VersionInfo> Control::version() {
    VersionInfo v;
    const int64_t number = call(xen::HYPERVISOR_xen_version, xen::XENVER_version);
    if (number < 0) return failure_of(number, "Cannot read the hypervisor's version");
    v.major = static_cast<uint32_t>(number >> 16);
    v.minor = static_cast<uint32_t>(number & 0xffff);
    v.extra = OTRY(version_text(xen::XENVER_extraversion, xen::XEN_EXTRAVERSION_LEN));
    v.capabilities = OTRY(version_text(xen::XENVER_capabilities, xen::XEN_CAPABILITIES_INFO_LEN));
    while (v.capabilities.ends_with(' ')) v.capabilities.pop_back();
    v.changeset = OTRY(version_text(xen::XENVER_changeset, xen::XEN_CHANGESET_INFO_LEN));
    v.command_line = OTRY(version_text(xen::XENVER_commandline, xen::XEN_COMMANDLINE_LEN));
    auto compile = OTRY(Buffer<xen::CompileInfo>::make(backend_));
    if (const int64_t r = call(xen::HYPERVISOR_xen_version, xen::XENVER_compile_info, compile.address()); r < 0)
        return failure_of(r, "Cannot read how the hypervisor was built");
    v.compiler = text_of(compile->compiler, sizeof compile->compiler);
    v.compiled_by = text_of(compile->compile_by, sizeof compile->compile_by);
    v.compile_domain = text_of(compile->compile_domain, sizeof compile->compile_domain);
    v.compile_date = text_of(compile->compile_date, sizeof compile->compile_date);
    auto platform = OTRY(Buffer<xen::PlatformParameters>::make(backend_));
    if (const int64_t r = call(xen::HYPERVISOR_xen_version, xen::XENVER_platform_parameters, platform.address()); r < 0)
        return failure_of(r, "Cannot read the hypervisor's platform parameters");
    v.virt_start = platform->virt_start;
    const int64_t page = call(xen::HYPERVISOR_xen_version, xen::XENVER_pagesize);
    v.page_size = page > 0 ? static_cast<uint32_t>(page) : static_cast<uint32_t>(base::page_size);
    return v;
}

Outcome<std::string> Control::console_ring(Ring then) {
    for (uint32_t size = 64 << 10;; size *= 2) {
        auto text = OTRY(Buffer<char>::make(backend_, size));
        auto op = OTRY(sysctl_buffer(xen::XEN_SYSCTL_readconsole));
        op->u.readconsole.buffer.addr = text.address();
        op->u.readconsole.count = size;
        OTRY(sysctl(op, "read the hypervisor's messages"));
        // A full buffer may have cut the ring short: look again with a larger one before anything is cleared.
        if (op->u.readconsole.count >= size && size < (16U << 20)) continue;
        if (then == Ring::clear) {
            op->u.readconsole.clear = 1;
            op->u.readconsole.count = size;
            OTRY(sysctl(op, "clear the hypervisor's messages"));
        }
        return std::string(text.get(), std::min(op->u.readconsole.count, size));
    }
}

Outcome<std::string> Control::console_ring_since(uint32_t& position) {
    constexpr uint32_t size = 16 << 10;
    auto text = OTRY(Buffer<char>::make(backend_, size));
    auto op = OTRY(sysctl_buffer(xen::XEN_SYSCTL_readconsole));
    op->u.readconsole.incremental = 1;
    op->u.readconsole.index = position;
    op->u.readconsole.buffer.addr = text.address();
    op->u.readconsole.count = size;
    OTRY(sysctl(op, "read the hypervisor's messages"));
    position = op->u.readconsole.index;
    return std::string(text.get(), std::min(op->u.readconsole.count, size));
}

Outcome<> Control::debug_keys(const std::string& keys) {
    auto text = OTRY(Buffer<char>::copy_of(backend_, {keys.data(), keys.size()}));
    auto op = OTRY(sysctl_buffer(xen::XEN_SYSCTL_debug_keys));
    op->u.debug_keys.keys.addr = text.address();
    op->u.debug_keys.nr_keys = static_cast<uint32_t>(keys.size());
    return sysctl(op, "send debug keys");
}

}  // namespace xenctrl
