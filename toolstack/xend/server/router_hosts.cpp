// SPDX-License-Identifier: Apache-2.0
// Requests about the hosts that this one is paired with.
#include <array>

#include "lib/base/number.hpp"
#include "toolstack/xend/server/request_fields.hpp"
#include "toolstack/xend/server/router.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using proto::Sxp;

namespace {

/// In the order of KnownHost::Standing.
constexpr std::array<const char*, 3> standings = {"asks", "asked", "paired"};

Sxp host_sxp(const KnownHost& host) {
    return Sxp::named("host")
        .add("name", host.name)
        .add("address", host.address)
        .add("state", standings[static_cast<size_t>(host.standing)])
        .add("words", host.words);
}

}  // namespace

Outcome<Reply> Router::hosts(const Request& request) {
    if (hosts_ == nullptr) return base::fail(Errc::opnotsupp, "This xend knows no other hosts");
    if (request.method == Request::Method::get) {
        Sxp out = Sxp::named("hosts");
        for (const KnownHost& host : OTRY(hosts_->list())) out.add(host_sxp(host));
        return sxp_reply(out);
    }
    const std::string op = OTRY(field(request, "op"));
    if (op == "pair") {
        const std::string host = OTRY(field(request, "host"));
        const auto port = base::parse_number<uint16_t>(OTRY(field(request, "port")));
        if (!port || *port == 0) return base::fail(Errc::inval, "Invalid parameter: port");
        return sxp_reply(host_sxp(OTRY(hosts_->pair(host, *port))));
    }
    if (op == "accept") {
        const std::string words = OTRY(field(request, "words"));
        return sxp_reply(host_sxp(OTRY(hosts_->accept(words))));
    }
    if (op == "forget") {
        const std::string host = OTRY(field(request, "host"));
        OTRY(hosts_->forget(host));
        return sxp_reply(Sxp::list());
    }
    return base::fail(Errc::inval, "Operation not implemented: " + op.substr(0, 100));
}

}  // namespace xend
