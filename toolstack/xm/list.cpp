// SPDX-License-Identifier: Apache-2.0
// The verbs that print tables. Scripts parse these: widths and words are classic xm's.
#include <algorithm>
#include <ctime>

#include "toolstack/xm/app.hpp"
#include "toolstack/xm/show.hpp"

namespace xm {

using base::Errc;
using base::Outcome;
using proto::Sxp;

namespace {

int64_t number(const Sxp& sxp, const char* name, int64_t otherwise = 0) { return number_in(sxp, name, otherwise); }

double seconds(const Sxp& sxp) { return number_in<double>(sxp, "cpu_time"); }

/// The domains named on the command line, or all.
Outcome<std::vector<Sxp>> chosen(Call& call) {
    if (call.line.arguments.empty()) return call.xend.domains();
    std::vector<Sxp> out;
    for (const std::string& who : call.line.arguments) {
        Sxp sxp = OTRY(call.xend.domain(who));
        out.push_back(std::move(sxp));
    }
    return out;
}

bool in_state(const Sxp& sxp, const std::string& wanted) {
    const std::string state = sxp.child_value("state", "------");
    if (wanted == "all") return true;
    const std::string status = sxp.child_value("status", "");
    if (status == "suspended") return wanted == status;
    if (status == "failed" || status == "halted") return wanted == "halted";
    if (wanted == "paused") return state.find('p') != std::string::npos;
    if (wanted == "shutdown" || wanted == "halted") return state.find_first_of("sc") != std::string::npos;
    if (wanted == "running") return state.find_first_of("pscd") == std::string::npos;
    return false;
}

/// "0,1" or "0-2,4"; "any cpu" when it is all of them.
std::string cpu_map(const Sxp& vcpu, int64_t cpus) {
    const std::vector<int64_t> set = cpus_of(vcpu);
    if (set.empty()) return "no cpus";
    return static_cast<int64_t>(set.size()) >= cpus ? "any cpu" : ranges_of(set, ',');
}

void print_vcpus(std::ostream& out, const Sxp& domain) {
    const std::string name = domain.child_value("name", "");
    const int64_t domid = number(domain, "domid");
    const int64_t cpus = number(domain, "nr_cpus", 1);
    for (const Sxp* vcpu : domain.children("vcpu")) {
        out << format("%-32s %5lld %5lld %5s %5s %9.1f %s", name.c_str(), static_cast<long long>(domid),
                      static_cast<long long>(number(*vcpu, "number")), cpu_of(*vcpu).c_str(), state_of_vcpu(*vcpu).c_str(),
                      seconds(*vcpu), cpu_map(*vcpu, cpus).c_str())
            << "\n";
    }
}

std::string field(const Sxp& sxp, const char* name, const char* otherwise) {
    const std::string value = sxp.child_value(name, "");
    return value.empty() ? otherwise : value;
}

Outcome<Sxp> device_list(Call& call, const char* kind) {
    return call.xend.operate(call.line.arguments[0], "devices", {{"type", kind}});
}

/// True when the devices were printed in full.
bool printed_long(Call& call, const Sxp& devices) {
    if (!call.line.has("long")) return false;
    for (const Sxp& device : devices.items()) call.out << proto::to_pretty_string(device) << "\n";
    return true;
}

std::string uptime_text(int64_t up) {
    const int64_t days = up / 86400, hours = up / 3600 % 24, minutes = up / 60 % 60, rest = up % 60;
    std::string out;
    if (days != 0) out = std::to_string(days) + (days == 1 ? " day, " : " days, ");
    return out + format("%lld:%02lld:%02lld", static_cast<long long>(hours), static_cast<long long>(minutes),
                        static_cast<long long>(rest));
}

}  // namespace

Outcome<> list(Call& call) {
    if (call.line.has("vcpus")) {
        call.world.err << "xm list -v is deprecated.  Please use xm vcpu-list.\n";
        return vcpu_list(call);
    }
    const std::string state = call.line.value("state");
    static const std::vector<std::string> states = {"running", "paused", "halted", "suspended", "shutdown", "unknown", "all"};
    if (!state.empty() && std::find(states.begin(), states.end(), state) == states.end()) {
        return base::fail(Errc::inval, "'" + state + "' is not a valid state");
    }
    if (!state.empty() && !call.line.arguments.empty()) {
        return base::fail(Errc::inval, "You may specify either a state or a particular VM, but not both");
    }
    std::vector<Sxp> domains;
    if (call.line.arguments.empty()) {
        std::map<std::string, std::string> fields = {{"detail", "1"}, {"failed", "1"}};
        fields.emplace(call.line.has("long") ? "full" : "columns", "1");
        if (call.line.has("all") || state == "all" || state == "halted" || state == "suspended") fields.emplace("managed", "1");
        Sxp all = OTRY(call.xend.get("/xend/domain", std::move(fields)));
        if (all.is_list()) domains = std::move(all.items());
    } else {
        domains = OTRY(chosen(call));
    }
    if (!state.empty()) std::erase_if(domains, [&](const Sxp& sxp) { return !in_state(sxp, state); });
    if (call.line.has("long")) {
        for (const Sxp& sxp : domains) call.out << proto::to_pretty_string(sxp) << "\n";
        return base::ok;
    }
    call.out << format("%-40s %5s %5s %5s %10s %9s", "Name", "ID", "Mem", "VCPUs", "State", "Time(s)") << "\n";
    for (const Sxp& sxp : domains) {
        call.out << format("%-40s %5s %5lld %5lld %10s %9.1f", sxp.child_value("name", "").c_str(),
                           sxp.child_value("domid", "-").c_str(), static_cast<long long>(number(sxp, "memory")),
                           static_cast<long long>(number(sxp, "online_vcpus")), sxp.child_value("state", "------").c_str(),
                           seconds(sxp))
                 << "\n";
    }
    for (const Sxp& sxp : domains) {
        const std::string reason = sxp.child_value("reason", "");
        if (!reason.empty() && sxp.child("domid") != nullptr) {
            call.world.err << "Warning: Domain '" << sxp.child_value("name", "") << "' is not gone: " << reason
                           << "; xend tries again\n";
        }
        if (sxp.child_value("status", "") != "failed") continue;
        call.world.err << "Warning: Domain '" << sxp.child_value("name", "")
                       << "' could not be restarted: " << sxp.child_value("reason", "") << " " << sxp.child_value("remedy", "")
                       << "\n";
    }
    return base::ok;
}

Outcome<> vcpu_list(Call& call) {
    const std::vector<Sxp> domains = OTRY(chosen(call));
    call.out << format("%-32s %5s %5s %5s %5s %9s %s", "Name", "ID", "VCPU", "CPU", "State", "Time(s)", "CPU Affinity") << "\n";
    for (const Sxp& sxp : domains) {
        const Sxp vcpus = OTRY(call.xend.get("/xend/domain/" + sxp.child_value("domid", ""), {{"op", "vcpuinfo"}}));
        print_vcpus(call.out, vcpus);
    }
    return base::ok;
}

Outcome<> block_list(Call& call) {
    const Sxp devices = OTRY(device_list(call, "vbd"));
    if (printed_long(call, devices)) return base::ok;
    call.out << "Vdev  BE handle state evt-ch ring-ref BE-path\n";
    for (const Sxp& sxp : devices.items()) {
        call.out << format("%-5s %-2s %-6s %-5s %-6s %-8s %-30s", field(sxp, "devid", "?").c_str(),
                           field(sxp, "backend-id", "?").c_str(), field(sxp, "handle", "0").c_str(),
                           field(sxp, "state", "?").c_str(), field(sxp, "event-channel", "-1").c_str(),
                           field(sxp, "ring-ref", "-1").c_str(), field(sxp, "backend", "??").c_str())
                 << "\n";
    }
    return base::ok;
}

Outcome<> network_list(Call& call) {
    const Sxp devices = OTRY(device_list(call, "vif"));
    if (printed_long(call, devices)) return base::ok;
    call.out << "Idx BE     MAC Addr.     handle state evt-ch tx-/rx-ring-ref BE-path\n";
    for (const Sxp& sxp : devices.items()) {
        const std::string event = field(sxp, "event-channel", field(sxp, "event-channel-tx", "-1").c_str());
        call.out << format("%-3s %-2s %-17s %-6s %-5s %-6s %5s/%-9s %-30s", field(sxp, "devid", "?").c_str(),
                           field(sxp, "backend-id", "?").c_str(), field(sxp, "mac", "??").c_str(),
                           field(sxp, "handle", "0").c_str(), field(sxp, "state", "?").c_str(), event.c_str(),
                           field(sxp, "tx-ring-ref", "-1").c_str(), field(sxp, "rx-ring-ref", "-1").c_str(),
                           field(sxp, "backend", "??").c_str())
                 << "\n";
    }
    return base::ok;
}

Outcome<> uptime(Call& call) {
    const std::vector<Sxp> domains = OTRY(chosen(call));
    const bool brief = call.line.has("short");
    if (!brief) call.out << format("%-33s %4s %s ", "Name", "ID", "Uptime") << "\n";
    const std::time_t now = std::time(nullptr);
    for (const Sxp& sxp : domains) {
        const std::string name = sxp.child_value("name", "");
        const int64_t domid = number(sxp, "domid");
        const int64_t up = uptime_of(sxp);
        if (brief) {
            std::tm local{};
            ::localtime_r(&now, &local);
            call.out << format(" %02d:%02d:%02d up %s, %s (%lld)", local.tm_hour, local.tm_min, local.tm_sec,
                               uptime_text(up).c_str(), name.c_str(), static_cast<long long>(domid))
                     << "\n";
        } else {
            call.out << format("%-33s %4lld %s", name.c_str(), static_cast<long long>(domid), uptime_text(up).c_str()) << "\n";
        }
    }
    return base::ok;
}

}  // namespace xm
