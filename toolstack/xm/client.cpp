// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xm/app.hpp"

namespace xm {

using base::Errc;
using base::Outcome;
using proto::Sxp;
using xend::Request;

namespace {

std::string domain_path(const std::string& who) { return "/xend/domain/" + who; }

/// A body that is (xend.err 'text') is a failure, whatever the status says.
Outcome<Sxp> value_of(const xend::Reply& reply) {
    if (reply.status >= 300) {
        std::string text = reply.body.substr(0, 500);
        while (!text.empty() && text.back() == '\n') text.pop_back();
        return base::fail(Errc::inval, text.empty() ? "xend answered with status " + std::to_string(reply.status) : text);
    }
    Sxp sxp = OTRY(proto::parse_sxp(reply.body).context("Xend has probably crashed!  Its answer is not understood"));
    if (sxp.name() == "xend.err") {
        const std::string text = sxp.items().size() > 1 ? sxp.items()[1].text() : "unknown error";
        const bool absent = text.find("does not exist.") != std::string::npos;
        return base::fail(absent ? Errc::noent : Errc::inval, text);
    }
    return sxp;
}

}  // namespace

Outcome<std::string> Client::text(const std::string& path, std::map<std::string, std::string> fields) {
    const auto method = fields.contains("op") ? Request::Method::post : Request::Method::get;
    const xend::Reply reply = OTRY(world_.xend.call({method, path, std::move(fields)}));
    if (reply.status == 200 && reply.type == "text/plain") return reply.body;
    OTRY(value_of(reply));
    return reply.body;
}

Outcome<Sxp> Client::get(const std::string& path, std::map<std::string, std::string> fields) {
    const xend::Reply reply = OTRY(world_.xend.call({Request::Method::get, path, std::move(fields)}));
    return value_of(reply);
}

Outcome<Sxp> Client::post(const std::string& path, const std::string& op, std::map<std::string, std::string> fields) {
    fields["op"] = op;
    const xend::Reply reply = OTRY(world_.xend.call({Request::Method::post, path, std::move(fields)}));
    return value_of(reply);
}

Outcome<std::vector<Sxp>> Client::domains() {
    const Sxp all = OTRY(get("/xend/domain", {{"detail", "1"}}));
    return all.items();
}

Outcome<Sxp> Client::domain(const std::string& who) { return get(domain_path(who)); }

Outcome<Sxp> Client::operate(const std::string& who, const std::string& op, std::map<std::string, std::string> fields) {
    return post(domain_path(who), op, std::move(fields));
}

}  // namespace xm
