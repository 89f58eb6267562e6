// SPDX-License-Identifier: Apache-2.0
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>

#include "toolstack/xend/server/router.hpp"

namespace xend {

using base::Outcome;
using proto::Sxp;

namespace {

std::string text(uint64_t value) { return std::to_string(value); }

std::string hw_caps(const std::array<uint32_t, 8>& caps) {
    std::string out;
    for (const uint32_t word : caps) {
        std::array<char, 12> buffer{};
        std::snprintf(buffer.data(), buffer.size(), "%s%08x", out.empty() ? "" : ":", word);
        out += buffer.data();
    }
    return out;
}

/// As xl names them.
std::string virt_caps(const xenctrl::PhysInfo& phys) {
    const std::pair<bool, std::string_view> all[] = {{phys.pv, "pv"},
                                                     {phys.hvm, "hvm"},
                                                     {phys.hvm && phys.directio, "hvm_directio"},
                                                     {phys.pv && phys.directio, "pv_directio"},
                                                     {phys.hap, "hap"},
                                                     {phys.shadow, "shadow"},
                                                     {phys.vpmu, "vpmu"},
                                                     {phys.grant_v1, "gnttab-v1"},
                                                     {phys.grant_v2, "gnttab-v2"}};
    std::string out;
    for (const auto& [has, name] : all) {
        if (has) out += (out.empty() ? "" : " ") + std::string(name);
    }
    return out;
}

/// "node0:0-3" for each node.
std::string node_to_cpu(const HostState& host) {
    std::string out;
    std::set<uint32_t> nodes;
    for (const auto& cpu : host.cpus) nodes.insert(cpu.node);
    if (nodes.empty() && host.phys.cpus != 0) return "node0:0-" + text(host.phys.cpus - 1);
    for (const uint32_t node : nodes) {
        out += (out.empty() ? "" : "\n") + ("node" + text(node)) + ":";
        bool first = true;
        for (size_t i = 0; i < host.cpus.size(); ++i) {
            if (host.cpus[i].node != node) continue;
            size_t end = i;
            while (end + 1 < host.cpus.size() && host.cpus[end + 1].node == node) ++end;
            out += (first ? "" : ",") + text(i) + (end > i ? "-" + text(end) : "");
            first = false;
            i = end;
        }
    }
    return out;
}

/// (numa (MEMSIZE MEMFREE DISTANCE …) …), a list a node, sizes in MiB.
Sxp numa_sxp(const xenctrl::NumaInfo& numa) {
    Sxp out = Sxp::named("numa");
    const size_t count = numa.nodes.size();
    for (size_t i = 0; i < count; ++i) {
        Sxp node = Sxp::list({Sxp::atom(text(numa.nodes[i].bytes >> 20U)), Sxp::atom(text(numa.nodes[i].free_bytes >> 20U))});
        for (size_t j = 0; j < count; ++j) node.add(Sxp::atom(text(numa.distances[i * count + j])));
        out.add(std::move(node));
    }
    return out;
}

}  // namespace

Outcome<Sxp> node_sxp(Manager& manager) {
    const HostState host = OTRY(manager.hypervisor().host());
    struct utsname uts {};
    ::uname(&uts);
    Sxp out = Sxp::named("node");
    out.add("system", uts.sysname);
    out.add("host", uts.nodename);
    out.add("release", uts.release);
    out.add("version", uts.version);
    out.add("machine", uts.machine);
    out.add("nr_cpus", text(host.phys.cpus));
    out.add("max_cpu_id", text(host.phys.max_cpu));
    out.add("nr_nodes", text(std::max(host.phys.nodes, 1U)));
    out.add("cores_per_socket", text(host.phys.cores_per_socket));
    out.add("threads_per_core", text(host.phys.threads_per_core));
    out.add("cpu_mhz", text(host.phys.cpu_khz / 1000));
    out.add("hw_caps", hw_caps(host.phys.hw_caps));
    out.add("total_memory", text(host.phys.total_pages / 256));
    out.add("free_memory", text(host.phys.free_pages / 256));
    out.add("outstanding_claims", text(host.phys.outstanding_pages / 256));
    out.add("virt_caps", virt_caps(host.phys));
    out.add("node_to_cpu", node_to_cpu(host));
    out.add("xen_major", text(host.version.major));
    out.add("xen_minor", text(host.version.minor));
    out.add("xen_extra", host.version.extra);
    out.add("xen_caps", host.version.capabilities);
    out.add("xen_scheduler", xenctrl::scheduler_name(host.scheduler));
    out.add("xen_pagesize", text(host.version.page_size));
    std::array<char, 40> virt{};
    std::snprintf(virt.data(), virt.size(), "virt_start=0x%llx", static_cast<unsigned long long>(host.version.virt_start));
    out.add("platform_params", virt.data());
    out.add("xen_version", text(host.version.major) + "." + text(host.version.minor) + host.version.extra);
    out.add("xen_commandline", host.version.command_line);
    out.add("xen_changeset", host.version.changeset);
    out.add("cc_compiler", host.version.compiler);
    out.add("cc_compile_by", host.version.compiled_by);
    out.add("cc_compile_domain", host.version.compile_domain);
    out.add("cc_compile_date", host.version.compile_date);
    out.add("xend_config_format", "4");
    Sxp topology = Sxp::named("cpu_topology");
    for (const auto& cpu : host.cpus)
        topology.add(Sxp::list({Sxp::atom(text(cpu.core)), Sxp::atom(text(cpu.socket)), Sxp::atom(text(cpu.node))}));
    out.add(std::move(topology));
    out.add(numa_sxp(host.numa));
    // For programs: exact, in pages.
    out.add("free_pages", text(host.phys.free_pages));
    return out;
}

Outcome<std::string> log_text(const std::string& file) {
    constexpr std::streamoff most = 1 << 20;
    std::ifstream in(file, std::ios::binary);
    if (!in) return base::fail(base::Errc::noent, "cannot read " + file + ": " + std::strerror(errno));
    in.seekg(0, std::ios::end);
    const std::streamoff size = in.tellg();
    in.seekg(std::max<std::streamoff>(0, size - most));
    return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace xend
