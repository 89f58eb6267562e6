// SPDX-License-Identifier: Apache-2.0
// Whether a request is one of the table's.
#include <algorithm>

#include "toolstack/xend/rest/server.hpp"

namespace xend::rest {

namespace {

/// What the query says, each word once and one of the route's. False: `problem` says why not.
bool take_query(const Route& route, std::string_view text, Call& call, Problem& problem) {
    if (text.empty()) return true;
    if (!decode_form(text, call.query)) {
        problem = {400, "The query is malformed"};
        return false;
    }
    const auto words = static_cast<size_t>(std::ranges::count(text, '&')) + 1;
    for (const auto& [name, value] : call.query) {
        const auto at = std::ranges::find(route.query, name, &Parameter::name);
        JsonFault fault;
        if (at == route.query.end()) {
            problem = {400, "Invalid query: there is no such parameter", name.substr(0, 60)};
        } else if (words != call.query.size()) {
            problem = {400, "Invalid query: each parameter is given once", name};
        } else if (!conforms(at->schema, Json(value), fault)) {
            problem = {400, "Invalid query: " + name + ": " + fault.text, name};
        } else {
            continue;
        }
        return false;
    }
    return true;
}

bool is_json(std::string_view type) {
    constexpr std::string_view json = "application/json";
    const std::string_view bare = type.substr(0, type.find(';'));
    return bare.starts_with(json) && bare.find_first_not_of(' ', json.size()) == std::string_view::npos;
}

Problem wrong_body(const JsonFault& fault) {
    const int status = fault.code == base::Errc::toobig ? 413 : 400;
    return {status, "Invalid body: " + (fault.at.empty() ? "" : fault.at + ": ") + fault.text, fault.at};
}

/// The body of a change; an empty one is an object without members.
bool take_body(const Schema& schema, const HttpRequest& request, Call& call, Problem& problem) {
    call.body = Json::object();
    if (!request.body.empty()) {
        if (!is_json(request.content_type)) {
            problem = {415, "A body of the type application/json is wanted"};
            return false;
        }
        JsonFault fault;
        auto body = parse_json(request.body, fault);
        if (!body) {
            problem = wrong_body(fault);
            return false;
        }
        call.body = std::move(*body);
    }
    JsonFault fault;
    if (conforms(schema, call.body, fault)) return true;
    problem = wrong_body(fault);
    return false;
}

}  // namespace

std::optional<Call> judge(const HttpRequest& request, const Route*& route, Reply& reply) {
    const auto refuse = [&reply](const Problem& problem) {
        reply = problem_reply(problem);
        return std::nullopt;
    };
    const std::string_view target(request.target);
    const std::string_view path = target.substr(0, target.find('?'));
    auto found = find_route(request.method, path.substr(std::min(std::string_view(root).size(), path.size())));
    if (!found) return refuse({400, "The path is malformed"});
    if (found->allowed.empty()) return refuse({404, "Not found: " + std::string(path.substr(0, 200))});
    if (found->route == nullptr) {
        reply = problem_reply({405, "Only " + found->allowed + " is understood here"});
        reply.fields.emplace_back("Allow", found->allowed);
        return std::nullopt;
    }
    route = found->route;
    Call call;
    call.words = std::move(found->words);
    call.if_match = request.if_match;
    Problem problem;
    if (!take_query(*route, path.size() < target.size() ? target.substr(path.size() + 1) : "", call, problem))
        return refuse(problem);
    if (route->verb != Verb::post) {
        if (!request.body.empty()) return refuse({400, "This request has no body"});
        call.body = Json::object();
    } else if (!take_body(route->change->body, request, call, problem)) {
        return refuse(problem);
    }
    return call;
}

}  // namespace xend::rest
