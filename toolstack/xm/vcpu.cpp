// SPDX-License-Identifier: Apache-2.0
// The verbs about a domain's vCPUs, and what is in its memory.
#include <filesystem>

#include "lib/base/number.hpp"
#include "toolstack/xm/app.hpp"

namespace xm {

using base::Errc;
using base::Outcome;

namespace {

Outcome<> pin(Call& call, const std::string& vcpu, const std::string& cpus) {
    if (vcpu != "all" && !base::parse_number<uint32_t>(vcpu)) return base::fail(Errc::inval, "Invalid argument.");
    OTRY(call.xend.operate(call.line.arguments[0], "pincpu", {{"vcpu", vcpu}, {"cpumap", cpus}}));
    return base::ok;
}

Outcome<> vcpu_pin(Call& call) { return pin(call, call.line.arguments[1], call.line.arguments[2]); }

/// A domain of 2.0 had one vCPU, and -1 meant any CPU.
Outcome<> pincpu(Call& call) {
    const std::string& cpu = call.line.arguments[1];
    return pin(call, "all", cpu == "-1" ? "all" : cpu);
}

Outcome<> vcpu_set(Call& call) {
    const std::string& count = call.line.arguments[1];
    if (!base::parse_number<uint32_t>(count)) return base::fail(Errc::inval, "Invalid argument.");
    OTRY(call.xend.operate(call.line.arguments[0], "set_vcpus", {{"vcpus", count}}));
    return base::ok;
}

Outcome<> trigger(Call& call) {
    std::map<std::string, std::string> fields = {{"type", call.line.arguments[1]}};
    if (call.line.arguments.size() > 2) fields["vcpu"] = call.line.arguments[2];
    OTRY(call.xend.operate(call.line.arguments[0], "send_trigger", std::move(fields)));
    return base::ok;
}

Outcome<> dump_core(Call& call) {
    const std::vector<std::string>& words = call.line.arguments;
    std::map<std::string, std::string> fields;
    if (words.size() > 1) fields["file"] = std::filesystem::absolute(words[1]).string();
    if (call.line.has("live")) fields.emplace("live", "1");
    call.out << "Dumping core of domain: " << words[0] << " ..." << std::endl;
    OTRY(call.xend.operate(words[0], "dump", std::move(fields)));
    if (!call.line.has("crash")) return base::ok;
    call.out << "Destroying domain: " << words[0] << " ..." << std::endl;
    OTRY(call.xend.operate(words[0], "destroy"));
    return base::ok;
}

}  // namespace

std::vector<Verb> vcpu_verbs() {
    const std::vector<Option> help = {{'h', "help", "", "Print this help."}};
    return {
        {"vcpu-pin", "<Domain> <VCPU|all> <CPUs|all>", "Set which CPUs a VCPU can use.", help, 3, 3, false, vcpu_pin},
        {"vcpu-set", "<Domain> <vCPUs>", "Set the number of active VCPUs for allowed for the domain.", help, 2, 2, false,
         vcpu_set},
        {"pincpu", "<Domain> <CPU>", "Pin a domain to a CPU; -1: to none.", help, 2, 2, false, pincpu},
        {"dump-core",
         "[-L|--live] [-C|--crash] <Domain> [Filename]",
         "Dump core for a specific domain.",
         {{'L', "live", "", "Dump core without pausing the domain."},
          {'C', "crash", "", "Destroy domain after dumping core."},
          help[0]},
         1,
         2,
         false,
         dump_core},
        {"trigger", "<Domain> <nmi|reset|init> [<VCPU>]", "Send a trigger to a domain.", help, 2, 3, false, trigger},
    };
}

}  // namespace xm
