// SPDX-License-Identifier: Apache-2.0
// The verbs for virtual networks, which span hosts.
#include "toolstack/config/load.hpp"
#include "toolstack/config/vnet_id.hpp"
#include "toolstack/xm/app.hpp"

namespace xm {

using base::Errc;
using base::Outcome;
using proto::Sxp;

namespace {

const std::string vnets_path = "/xend/vnet";

/// As it stands in a path. What is no id the server need not see. Errors: inval.
Outcome<std::string> path_of(const std::string& id) {
    const auto parsed = config::VnetId::parse(id);
    if (!parsed) return base::fail(Errc::inval, "'" + id.substr(0, 64) + "' " + parsed.failure().text);
    return vnets_path + "/" + parsed->text();
}

Outcome<> vnet_list(Call& call) {
    std::vector<std::string> ids = call.line.arguments;
    const bool all = ids.empty();
    if (all) {
        const Sxp listed = OTRY(call.xend.get(vnets_path));
        for (const Sxp& id : listed.items()) ids.push_back(id.text());
    }
    for (const std::string& id : ids) {
        const std::string path = OTRY(path_of(id));
        if (all && !call.line.has("long")) call.out << id << "\n";
        else call.out << proto::to_pretty_string(OTRY(call.xend.get(path))) << "\n";
    }
    return base::ok;
}

Outcome<> vnet_create(Call& call) {
    const std::string& file = call.line.arguments[0];
    const auto text = config::read_file(file, 1U << 16U);
    if (!text && text.failure().code == Errc::noent) return base::fail(Errc::noent, "File not found: " + file);
    if (!text) return base::Failure(text.failure()).with(file);
    const Sxp description = OTRY(proto::parse_sxp(*text).context(file));
    OTRY(call.xend.post(vnets_path, "create", {{"config", proto::to_string(description)}}));
    return base::ok;
}

Outcome<> vnet_delete(Call& call) {
    const std::string path = OTRY(path_of(call.line.arguments[0]));
    OTRY(call.xend.post(path, "delete", {}));
    return base::ok;
}

}  // namespace

std::vector<Verb> vnet_verbs() {
    const Option help{'h', "help", "", "Print this help."};
    return {
        {"vnet-list",
         "[-l|--long] [VnetId, ...]",
         "List Vnets.",
         {{'l', "long", "", "Their descriptions, as s-expressions."}, help},
         0,
         1000,
         false,
         vnet_list},
        {"vnet-create", "<ConfigFile>", "Create a vnet from ConfigFile.", {help}, 1, 1, false, vnet_create},
        {"vnet-delete", "<VnetId>", "Delete a Vnet.", {help}, 1, 1, false, vnet_delete},
    };
}

}  // namespace xm
