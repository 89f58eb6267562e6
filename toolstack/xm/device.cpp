// SPDX-License-Identifier: Apache-2.0
// The verbs that change devices of domains that run.
#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/xm/app.hpp"

namespace xm {

using base::Errc;
using base::Outcome;

namespace {

/// What follows the domain's name, as one specifier: classic `phy:/dev/x xvdb w`, and xl's `/dev/x,raw,xvdb,w` or `vdev=xvdb …`.
std::string specifier(const Call& call) {
    const std::vector<std::string>& words = call.line.arguments;
    std::string out = words.size() > 1 ? words[1] : "";
    for (size_t i = 2; i < words.size(); ++i) out.append(",").append(words[i]);
    return out;
}

/// The request's form of it. Errors: inval, as a configuration file's.
Outcome<std::string> device(const char* kind_name, const std::string& specifier) {
    const config::DeviceKind& kind = *config::device_kind(kind_name);
    config::DomainConfig alone;
    OTRY(kind.add(alone, specifier));
    return proto::to_string(config::device_sxp(kind, alone, 0));
}

Outcome<> attach(Call& call, const char* op, const char* kind) {
    const std::string config = OTRY(device(kind, specifier(call)));
    OTRY(call.xend.operate(call.line.arguments[0], op, {{"config", config}}));
    return base::ok;
}

Outcome<> detach(Call& call, const char* kind) {
    std::map<std::string, std::string> fields = {{"type", kind}, {"dev", call.line.arguments[1]}};
    if (call.line.has("force")) fields.emplace("force", "1");
    OTRY(call.xend.operate(call.line.arguments[0], "device_destroy", std::move(fields)));
    return base::ok;
}

Outcome<> block_attach(Call& call) { return attach(call, "device_create", "vbd"); }
Outcome<> block_configure(Call& call) { return attach(call, "device_configure", "vbd"); }
Outcome<> block_detach(Call& call) { return detach(call, "vbd"); }
Outcome<> network_attach(Call& call) { return attach(call, "device_create", "vif"); }
Outcome<> network_detach(Call& call) { return detach(call, "vif"); }

}  // namespace

std::vector<Verb> device_verbs() {
    const Option help{'h', "help", "", "Print this help."};
    const Option force{'f', "force", "", "Do not ask the guest."};
    constexpr std::string_view disk = "<Domain> <BackDev> <FrontDev> <Mode> [BackDomain]";
    return {
        {"block-attach", disk, "Create a new virtual block device.", {help}, 2, 12, false, block_attach},
        {"block-configure", disk, "Change block device configuration", {help}, 2, 12, false, block_configure},
        {"block-detach",
         "<Domain> <DevId> [-f|--force]",
         "Destroy a domain's virtual block device.",
         {force, help},
         2,
         2,
         false,
         block_detach},
        {"network-attach",
         "<Domain> [type=<type>] [mac=<mac>] [bridge=<bridge>] [ip=<ip>] [script=<script>] [backend=<BackDomain>] "
         "[vifname=<name>] [rate=<rate>] [model=<model>] [accel=<accel>]",
         "Create a new virtual network device.",
         {help},
         1,
         12,
         false,
         network_attach},
        {"network-detach",
         "<Domain> <DevId> [-f|--force]",
         "Destroy a domain's virtual network device.",
         {force, help},
         2,
         2,
         false,
         network_detach},
    };
}

}  // namespace xm
