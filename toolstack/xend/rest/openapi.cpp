// SPDX-License-Identifier: Apache-2.0
// The description of the table of routes for other programs.
#include <algorithm>

#include "toolstack/xend/rest/problem.hpp"
#include "toolstack/xend/rest/routes.hpp"

namespace xend::rest {

namespace {

constexpr const char* intro =
    "xend's interface for programs, over its unix sockets and, where xend-config.sxp opens them, over ports of loopback "
    "addresses; "
    "root alone may use it. docs/api.md says more.";

Json parameter(std::string_view name, const char* in, const Json& schema, std::string_view what) {
    Json out{{"name", name}, {"in", in}, {"required", std::string_view(in) == "path"}, {"schema", schema}};
    if (!what.empty()) out["description"] = what;
    return out;
}

std::string_view what_is(std::string_view word) {
    if (word == "domain") return "Name, number or uuid";
    if (word == "pool") return "Name or number";
    return word == "device" ? "Number, name in the guest, or MAC address" : "";
}

Json parameters_of(const Route& route, Json& named) {
    Json out = Json::array();
    for (std::string_view rest = route.path; rest.find('{') != std::string_view::npos;) {
        rest.remove_prefix(rest.find('{') + 1);
        const std::string_view word = rest.substr(0, rest.find('}'));
        out.push_back(parameter(word, "path", {{"type", "string"}}, what_is(word)));
    }
    for (const Parameter& one : route.query)
        out.push_back(parameter(one.name, "query", json_schema(one.schema, Side::request, named), one.what));
    if (route.change != nullptr) {
        out.push_back(parameter("If-Match", "header", {{"type", "string"}},
                                "The domain's ETag: 412 when it is another one, also later when the job begins"));
        out.push_back(parameter("Idempotency-Key", "header", {{"type", "string"}, {"minLength", 1}, {"maxLength", 200}},
                                "The same request with the same key begins no other job: the answer is the one it began"));
    }
    if (route.verb == Verb::get)
        out.push_back(
            parameter("If-None-Match", "header", {{"type", "string"}}, "ETags of what is known already: 304 when it is that"));
    return out;
}

Json body_of(const char* type, const Json& schema) { return {{"content", {{type, {{"schema", schema}}}}}}; }

Json operation(const Route& route, Json& named) {
    Json out{{"operationId", route.operation}, {"summary", route.what}};
    if (Json parameters = parameters_of(route, named); !parameters.empty()) out["parameters"] = std::move(parameters);
    if (route.change != nullptr && route.verb == Verb::post) {
        out["requestBody"] = body_of("application/json", json_schema(route.change->body, Side::request, named));
    }
    Json& answers = out["responses"] = Json::object();
    Json good = body_of("application/json",
                        route.answer == nullptr ? Json{{"type", "object"}} : json_schema(*route.answer, Side::answer, named));
    good["description"] = route.change != nullptr ? "There is a job" : "It is";
    const char* const field = route.change != nullptr ? "Location" : "ETag";
    if (route.verb == Verb::get || route.change != nullptr) good["headers"] = {{field, {{"schema", {{"type", "string"}}}}}};
    answers[route.change != nullptr ? "202" : "200"] = std::move(good);
    if (route.verb == Verb::get) answers["304"] = {{"description", "It is what If-None-Match says"}};
    answers["default"] = {{"$ref", "#/components/responses/Problem"}};
    return out;
}

/// The one answer that goes on.
Json events_operation() {
    Json good = body_of("text/event-stream", {{"type", "string"}});
    good["description"] =
        "domain.created, started, paused, unpaused, shutdown, dying, gone, renamed; device.attached, detached; job; reset";
    return {{"operationId", "events"},
            {"summary", "What happens from now on, as server-sent events"},
            {"parameters",
             {parameter("Last-Event-ID", "header", {{"type", "string"}}, "From behind this one on, if it is still known")}},
            {"responses", {{"200", std::move(good)}, {"default", {{"$ref", "#/components/responses/Problem"}}}}}};
}

}  // namespace

Json openapi() {
    Json named = Json::object(), paths = Json::object();
    for (const Route& route : routes()) {
        std::string verb(verb_names[static_cast<size_t>(route.verb)]);
        std::ranges::transform(verb, verb.begin(), [](char c) { return static_cast<char>(c - 'A' + 'a'); });
        paths[root + std::string(route.path)][verb] = operation(route, named);
    }
    paths[root + std::string(events_path)]["get"] = events_operation();
    Json problem = body_of(problem_type, json_schema(problem_schema, Side::answer, named));
    std::string statuses = "What went wrong:";
    for (const Title& title : titles()) {
        statuses += statuses.ends_with(':') ? " " : "; ";
        statuses += std::to_string(title.status) + " " + std::string(title.type);
    }
    problem["description"] = statuses;
    return {{"openapi", "3.1.0"},
            {"info",
             {{"title", "xend"},
              {"version", "1"},
              {"description", intro},
              {"license", {{"name", "Apache-2.0"}, {"identifier", "Apache-2.0"}}}}},
            {"servers", {{{"url", "/"}}}},
            {"paths", std::move(paths)},
            {"components", {{"schemas", std::move(named)}, {"responses", {{"Problem", std::move(problem)}}}}}};
}

}  // namespace xend::rest
