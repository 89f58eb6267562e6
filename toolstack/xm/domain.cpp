// SPDX-License-Identifier: Apache-2.0
// The verbs that do something to a domain.
#include <algorithm>

#include "lib/base/number.hpp"
#include "toolstack/xm/app.hpp"
#include "toolstack/xm/show.hpp"

namespace xm {

using base::Errc;
using base::Outcome;
using proto::Sxp;

namespace {

Outcome<> simple(Call& call, const char* op, std::map<std::string, std::string> fields = {}) {
    OTRY(call.xend.operate(call.line.arguments[0], op, std::move(fields)));
    return base::ok;
}

/// "256", "256M", "1g", "524288k": MiB.
Outcome<uint64_t> mebibytes(Call& call, const std::string& text) {
    std::string_view unit = text;
    const auto value = base::take_number<uint64_t>(unit);
    if (!value || *value > (1ULL << 40U)) return base::fail(Errc::inval, "Invalid argument.");
    if (unit == "k" || unit == "K") return *value / 1024;
    if (unit == "g" || unit == "G") return *value * 1024;
    if (!unit.empty() && unit != "m" && unit != "M") call.world.err << "ignoring unknown unit\n";
    return *value;
}

struct Target {
    std::string name;
    std::string domid;
};

/// The domains a shutdown is for: those named, or with -a all but dom0.
Outcome<std::vector<Target>> targets(Call& call) {
    std::vector<Target> out;
    if (call.line.has("all")) {
        if (!call.line.arguments.empty()) return base::fail(Errc::inval, "-a and a domain's name do not go together");
        for (const Sxp& sxp : OTRY(call.xend.domains())) {
            if (may_be_stopped(sxp)) out.push_back({sxp.child_value("name", ""), sxp.child_value("domid", "")});
        }
        return out;
    }
    if (call.line.arguments.empty()) return base::fail(Errc::inval, "'xm shutdown' requires at least 1 argument.");
    for (const std::string& who : call.line.arguments) {
        const Sxp sxp = OTRY(call.xend.domain(who));
        out.push_back({sxp.child_value("name", who), sxp.child_value("domid", "")});
    }
    return out;
}

/// Waits until none of these domain ids is left; a domain that is restarted gets a new one. One that stopped and stays
/// is preserved: it will not go.
Outcome<> wait_for_end(Call& call, std::vector<Target> left) {
    constexpr unsigned preserved_after = 20;  // looks, half a second apart
    std::map<std::string, unsigned> stopped;
    while (!left.empty()) {
        const std::vector<Sxp> now = OTRY(call.xend.domains());
        std::erase_if(left, [&](const Target& target) {
            const auto at = std::find_if(now.begin(), now.end(),
                                         [&](const Sxp& sxp) { return sxp.child_value("domid", "") == target.domid; });
            const bool stays = at != now.end() && at->child_value("state", "").find_first_of("sc") != std::string::npos &&
                               ++stopped[target.domid] >= preserved_after;
            if (at != now.end() && !stays) return false;
            call.out << "Domain " << target.name << " terminated" << std::endl;
            return true;
        });
        if (!left.empty()) call.world.sleep(500);
    }
    call.out << "All domains terminated" << std::endl;
    return base::ok;
}

Outcome<> stop(Call& call, const std::string& reason) {
    const std::vector<Target> all = OTRY(targets(call));
    Outcome<> asked = base::ok;
    for (const Target& target : all) {
        auto one = call.xend.operate(target.domid, "shutdown", {{"reason", reason}});
        if (!one) asked = std::move(one).take_failure();  // the others are to hear of it all the same
    }
    if (!asked) return asked;
    if (!call.line.has("wait")) return base::ok;
    return wait_for_end(call, all);
}

}  // namespace

Outcome<> pause(Call& call) { return simple(call, "pause"); }
Outcome<> unpause(Call& call) { return simple(call, "unpause"); }
Outcome<> destroy(Call& call) { return simple(call, "destroy"); }
Outcome<> rename(Call& call) { return simple(call, "rename", {{"name", call.line.arguments[1]}}); }
Outcome<> sysrq(Call& call) { return simple(call, "sysrq", {{"key", call.line.arguments[1]}}); }
Outcome<> reboot(Call& call) { return stop(call, "reboot"); }

Outcome<> shutdown(Call& call) {
    if (call.line.has("reboot") && call.line.has("halt")) return base::fail(Errc::inval, "-R and -H do not go together");
    return stop(call, call.line.has("reboot") ? "reboot" : call.line.has("halt") ? "halt" : "poweroff");
}

Outcome<> domid(Call& call) {
    const std::string& who = call.line.arguments[0];
    const Sxp sxp = OTRY(call.xend.domain(who));
    call.out << sxp.child_value("domid", "") << "\n";
    return base::ok;
}

Outcome<> domname(Call& call) {
    const std::string& who = call.line.arguments[0];
    if (!std::all_of(who.begin(), who.end(), [](char c) { return c >= '0' && c <= '9'; }))
        return base::fail(Errc::inval, "Invalid argument.");
    const Sxp sxp = OTRY(call.xend.domain(who));
    call.out << sxp.child_value("name", "") << "\n";
    return base::ok;
}

Outcome<> mem_set(Call& call) {
    const uint64_t mib = OTRY(mebibytes(call, call.line.arguments[1]));
    return simple(call, "mem_target_set", {{"target", std::to_string(mib)}});
}

Outcome<> mem_max(Call& call) {
    const uint64_t mib = OTRY(mebibytes(call, call.line.arguments[1]));
    return simple(call, "maxmem_set", {{"memory", std::to_string(mib)}});
}

}  // namespace xm
