// SPDX-License-Identifier: Apache-2.0
// xl's tables, and its JSON.
#include <ctime>

#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/config/libxl_json.hpp"
#include "toolstack/xm/app.hpp"
#include "toolstack/xm/show.hpp"

namespace xm {

using base::Outcome;
using proto::Sxp;

namespace {

Outcome<std::vector<Sxp>> chosen(Call& call, bool full) {
    std::vector<Sxp> out;
    for (const std::string& who : call.line.arguments) out.push_back(OTRY(call.xend.domain(who)));
    if (!call.line.arguments.empty()) return out;
    std::map<std::string, std::string> fields = {{"detail", "1"}};
    if (full) fields.emplace("full", "1");
    const Sxp all = OTRY(call.xend.get("/xend/domain", std::move(fields)));
    return all.items();
}

/// Domains that xend made; of others it does not know how.
Outcome<> print_json(Call& call, const std::vector<Sxp>& domains) {
    std::string out;
    for (const Sxp& sxp : domains) {
        const auto config = config::from_sxp(sxp);
        if (!config) continue;
        std::string one = config::to_libxl_json(*config, number_in<uint32_t>(sxp, "domid"));
        for (size_t at = 0; (at = one.find('\n', at)) != std::string::npos; at += 5) one.insert(at + 1, "    ");
        out += (out.empty() ? "    " : ",\n    ") + one;
    }
    call.out << "[\n" << out << (out.empty() ? "" : "\n") << "]\n\n";
    return base::ok;
}

/// "all", or "0-1,3".
std::string cpu_set(const Sxp& vcpu, size_t cpus) {
    const std::vector<int64_t> set = cpus_of(vcpu);
    return set.empty() ? "none" : set.size() >= cpus ? "all" : ranges_of(set, '-');
}

void print_vcpu(std::ostream& out, const Sxp& domain, const Sxp& vcpu) {
    out << format("%-32s %5s %5s %5s %5s %9.1f  %s / all", domain.child_value("name", "").c_str(),
                  domain.child_value("domid", "").c_str(), vcpu.child_value("number", "").c_str(), cpu_of(vcpu).c_str(),
                  state_of_vcpu(vcpu).c_str(), number_in<double>(vcpu, "cpu_time"),
                  cpu_set(vcpu, number_in<size_t>(domain, "nr_cpus", 1)).c_str())
        << "\n";
}

std::string uptime_text(int64_t up, bool brief) {
    const int64_t days = up / 86400;
    std::string out;
    if (days != 0) out = std::to_string(days) + (days == 1 ? " day, " : " days, ");
    const auto part = [](int64_t n) { return static_cast<int>(n); };
    return out + (brief ? format("%2d:%02d", part(up / 3600 % 24), part(up / 60 % 60))
                        : format("%2d:%02d:%02d", part(up / 3600 % 24), part(up / 60 % 60), part(up % 60)));
}

Outcome<std::vector<Sxp>> devices(Call& call, const std::string& who, const char* kind) {
    const Sxp all = OTRY(call.xend.operate(who, "devices", {{"type", kind}}));
    return all.items();
}

/// The names of pools by their numbers.
Outcome<std::map<std::string, std::string>> pool_names(Call& call) {
    std::map<std::string, std::string> out;
    const Sxp pools = OTRY(call.xend.get("/xend/node/pools"));
    for (const Sxp* pool : pools.children("pool")) out[pool->child_value("id", "")] = pool->child_value("name", "");
    return out;
}

}  // namespace

Outcome<> xl_list(Call& call) {
    const bool is_long = call.line.has("long"), verbose = call.line.has("verbose");
    const std::vector<Sxp> domains = OTRY(chosen(call, is_long));
    if (is_long) return print_json(call, domains);
    std::map<std::string, std::string> pools;
    if (call.line.has("cpupool")) pools = OTRY(pool_names(call));
    call.out << "Name                                        ID   Mem VCPUs\tState\tTime(s)";
    if (verbose) call.out << "   UUID                            Reason-Code\tSecurity Label";
    if (call.line.has("cpupool")) call.out << "         Cpupool";
    call.out << "\n";
    for (const Sxp& sxp : domains) {
        call.out << format("%-40s %5s %5llu %5llu     %s  %8.1f", sxp.child_value("name", "").c_str(),
                           sxp.child_value("domid", "").c_str(),
                           static_cast<unsigned long long>(number_in<uint64_t>(sxp, "memory")),
                           static_cast<unsigned long long>(number_in<uint64_t>(sxp, "online_vcpus")),
                           sxp.child_value("state", "------").c_str(), number_in<double>(sxp, "cpu_time"));
        const std::string reason = sxp.child_value("shutdown_reason", "-");
        if (verbose) call.out << format(" %s %8s %16s", sxp.child_value("uuid", "").c_str(), reason.c_str(), "-");
        if (call.line.has("cpupool")) call.out << format("%16s", pools[sxp.child_value("cpupool", "0")].c_str());
        call.out << "\n";
    }
    return base::ok;
}

Outcome<> xl_vcpu_list(Call& call) {
    const std::vector<Sxp> domains = OTRY(chosen(call, false));
    call.out << format("%-32s %5s %5s %5s %5s %9s %s", "Name", "ID", "VCPU", "CPU", "State", "Time(s)", "Affinity (Hard / Soft)")
             << "\n";
    for (const Sxp& sxp : domains) {
        const Sxp vcpus = OTRY(call.xend.get("/xend/domain/" + sxp.child_value("domid", ""), {{"op", "vcpuinfo"}}));
        for (const Sxp* vcpu : vcpus.children("vcpu")) print_vcpu(call.out, vcpus, *vcpu);
    }
    return base::ok;
}

Outcome<> xl_uptime(Call& call) {
    const std::vector<Sxp> domains = OTRY(chosen(call, false));
    const bool brief = call.line.has("short");
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    ::localtime_r(&now, &local);
    if (!brief) call.out << format("%-33s %4s %s\n", "Name", "ID", "Uptime");
    for (const Sxp& sxp : domains) {
        const std::string name = sxp.child_value("name", ""), id = sxp.child_value("domid", "");
        const int64_t up = uptime_of(sxp);
        if (brief) {
            call.out << format(" %02d:%02d:%02d up %s, %s (%s)\n", local.tm_hour, local.tm_min, local.tm_sec,
                               uptime_text(up, true).c_str(), name.c_str(), id.c_str());
        } else {
            call.out << format("%-33s %4s %s\n", name.c_str(), id.c_str(), uptime_text(up, false).c_str());
        }
    }
    return base::ok;
}

Outcome<> xl_info(Call& call) {
    static constexpr const char* lines[] = {"host",
                                            "release",
                                            "version",
                                            "machine",
                                            "nr_cpus",
                                            "max_cpu_id",
                                            "nr_nodes",
                                            "cores_per_socket",
                                            "threads_per_core",
                                            "cpu_mhz",
                                            "hw_caps",
                                            "virt_caps",
                                            "total_memory",
                                            "free_memory",
                                            "sharing_freed_memory",
                                            "sharing_used_memory",
                                            "outstanding_claims",
                                            "free_cpus",
                                            "xen_major",
                                            "xen_minor",
                                            "xen_extra",
                                            "xen_version",
                                            "xen_caps",
                                            "xen_scheduler",
                                            "xen_pagesize",
                                            "platform_params",
                                            "xen_changeset",
                                            "xen_commandline",
                                            "cc_compiler",
                                            "cc_compile_by",
                                            "cc_compile_domain",
                                            "cc_compile_date",
                                            "xend_config_format"};
    const Sxp node = OTRY(call.xend.get("/xend/node"));
    for (const char* name : lines) {
        // Pages are not shared between domains, and each CPU is in a pool.
        const bool none = std::string_view(name).starts_with("sharing_") || std::string_view(name) == "free_cpus";
        call.out << format("%-23s: %s\n", name, none ? "0" : node.child_value(name, "").c_str());
    }
    if (call.line.has("numa")) print_topology(call.out, node);
    return base::ok;
}

Outcome<> xl_block_list(Call& call) {
    call.out << format("%-5s %-3s %-6s %-5s %-6s %-8s %-30s\n", "Vdev", "BE", "handle", "state", "evt-ch", "ring-ref", "BE-path");
    for (const std::string& who : call.line.arguments) {
        for (const Sxp& sxp : OTRY(devices(call, who, "vbd"))) {
            call.out << format("%-5d %-3d %-6d %-5d %-6d %-8d %-30s\n", number_in<int>(sxp, "devid"),
                               number_in<int>(sxp, "backend-id"), number_in<int>(sxp, "handle", 1), number_in<int>(sxp, "state"),
                               number_in<int>(sxp, "event-channel", -1), number_in<int>(sxp, "ring-ref", -1),
                               sxp.child_value("backend", "").c_str());
        }
    }
    return base::ok;
}

Outcome<> xl_network_list(Call& call) {
    call.out << format("%-3s %-2s %-17s %-6s %-5s %-8s %-15s %-30s\n", "Idx", "BE", "Mac Addr.", "handle", "state", "evt-ch",
                       "tx-/rx-ring-ref", "BE-path");
    for (const std::string& who : call.line.arguments) {
        for (const Sxp& sxp : OTRY(devices(call, who, "vif"))) {
            const int event = number_in<int>(sxp, "event-channel", number_in<int>(sxp, "event-channel-tx", -1));
            call.out << format("%-3d %-2d %-17s %6d %5d %6d %5d/%-11d %-30s\n", number_in<int>(sxp, "devid"),
                               number_in<int>(sxp, "backend-id"), sxp.child_value("mac", "").c_str(),
                               number_in<int>(sxp, "handle"), number_in<int>(sxp, "state"), event,
                               number_in<int>(sxp, "tx-ring-ref", -1), number_in<int>(sxp, "rx-ring-ref", -1),
                               sxp.child_value("backend", "").c_str());
        }
    }
    return base::ok;
}

}  // namespace xm
