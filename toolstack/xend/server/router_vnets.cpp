// SPDX-License-Identifier: Apache-2.0
// Requests about virtual networks.
#include "toolstack/xend/server/request_fields.hpp"
#include "toolstack/xend/server/router.hpp"

namespace xend {

using base::Outcome;
using proto::Sxp;

namespace {

Outcome<Reply> look(Manager& manager, const std::string& id) {
    if (!id.empty()) return sxp_reply(OTRY(manager.find_vnet(id)).sxp());
    Sxp out = Sxp::list();
    for (const Vnet& vnet : OTRY(manager.vnets())) out.add(Sxp::atom(vnet.id.text()));
    return sxp_reply(out);
}

Outcome<Reply> change(Manager& manager, const Request& request, const std::string& id, const std::string& op) {
    if (id.empty() && op == "create") {
        const std::string config = OTRY(field(request, "config"));
        const Sxp description = OTRY(proto::parse_sxp(config).context("Invalid parameter: config"));
        const Vnet vnet = OTRY(manager.create_vnet(description));
        Reply reply = sxp_reply(vnet.sxp());
        reply.status = 201;
        reply.location = "/xend/vnet/" + vnet.id.text();
        return reply;
    }
    if (!id.empty() && op == "delete") {
        OTRY(manager.delete_vnet(id));
        return sxp_reply(Sxp::list());
    }
    return no_operation(op);
}

}  // namespace

Reply Router::vnet(const Request& request, const std::string& id) {
    const std::string op = field_or(request, "op", "");
    const bool post = request.method == Request::Method::post;
    if (post && op.empty()) return text_reply(406, "Invalid request");
    auto reply = post ? change(manager_, request, id, op) : look(manager_, id);
    return reply ? std::move(reply).take() : error_reply(reply.failure());
}

}  // namespace xend
