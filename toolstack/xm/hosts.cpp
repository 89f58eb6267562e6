// SPDX-License-Identifier: Apache-2.0
// The verbs for other hosts: whom domains go to and come from.
#include "toolstack/xm/app.hpp"

namespace xm {

using base::Outcome;
using proto::Sxp;

namespace {

constexpr const char* hosts_path = "/xend/node/hosts";

Outcome<> host_pair(Call& call) {
    const std::string& host = call.line.arguments[0];
    const std::string port = call.line.has("port") ? call.line.value("port") : "8002";
    const Sxp made = OTRY(call.xend.post(hosts_path, "pair", {{"host", host}, {"port", port}}));
    const std::string words = made.child_value("words", "");
    call.out << "These words stand for the keys of this host and " << host << ":\n    " << words << "\n"
             << "If 'xm host-list' there shows the same, type on both:\n    xm host-accept " << words << "\n";
    return base::ok;
}

Outcome<> host_accept(Call& call) {
    std::string words;
    for (const std::string& word : call.line.arguments) words += (words.empty() ? "" : " ") + word;
    const Sxp host = OTRY(call.xend.post(hosts_path, "accept", {{"words", words}}));
    call.out << "Paired with " << host.child_value("name", "") << ".\n";
    return base::ok;
}

Outcome<> host_list(Call& call) {
    const Sxp all = OTRY(call.xend.get(hosts_path));
    call.out << "Name                           State    Words\n";
    for (const Sxp* host : all.children())
        call.out << format("%-30s %-8s %s", host->child_value("name", "").c_str(), host->child_value("state", "").c_str(),
                           host->child_value("words", "").c_str())
                 << "\n";
    return base::ok;
}

Outcome<> host_forget(Call& call) {
    OTRY(call.xend.post(hosts_path, "forget", {{"host", call.line.arguments[0]}}));
    return base::ok;
}

}  // namespace

std::vector<Verb> host_verbs() {
    const Option help{'h', "help", "", "Print this help."};
    return {
        {"host-pair",
         "[-p PORT] <Host>",
         "Exchange keys with another host.",
         {{'p', "port", "PORTNUM", "Where its xend takes domains (8002)."}, help},
         1,
         1,
         false,
         host_pair},
        {"host-accept", "<Words>", "Pair with the host whose six words are the same on both.", {help}, 1, 6, false, host_accept},
        {"host-list", "", "List other hosts, and the words of those to be paired.", {help}, 0, 0, false, host_list},
        {"host-forget", "<Host>", "Be paired with a host no more.", {help}, 1, 1, false, host_forget},
    };
}

}  // namespace xm
