// SPDX-License-Identifier: Apache-2.0
// link: xendrest
// A request below /api/v1 is one of the table's, with a body that is what its row says, or a problem of one line; what is read can be
// printed and is the same when it is read again. The first byte is the method, the rest up to a line's end the target, then comes the body.
#include <cstdint>
#include <cstdlib>

#include "toolstack/xend/rest/etag.hpp"
#include "toolstack/xend/rest/server.hpp"

namespace {

using namespace xend::rest;

void check_text(std::string_view text) {
    JsonFault fault;
    const JsonLimits limits{.bytes = 1U << 16U, .depth = 12, .values = 400, .members = 50};
    const auto value = parse_json(text, fault, limits);
    if (!value) {
        if (fault.text.empty()) std::abort();
        return;
    }
    const std::string printed = print_json(*value);
    const auto again = parse_json(printed, fault);
    if (!again || *again != *value || print_json(*again) != printed) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    const size_t end = std::min(text.find('\n'), text.size());
    xend::HttpRequest request;
    request.method = std::string(verb_names[data[0] % verb_names.size()]);
    request.target = root + std::string(text.substr(0, end));
    request.content_type = "application/json";
    request.body = std::string(text.substr(std::min(end + 1, text.size())));
    check_text(request.body);
    static_cast<void>(names_etag(request.body, "\"x\"", Compare::weak));
    const Route* route = nullptr;
    xend::Reply reply;
    const auto call = judge(request, route, reply);
    if (!call) {
        JsonFault fault;
        const auto problem = parse_json(reply.body, fault);
        if (reply.status < 400 || !problem || !conforms(problem_schema, *problem, fault)) std::abort();
        if ((*problem)["detail"].get<std::string>().find('\n') != std::string::npos) std::abort();
        return 0;
    }
    if (route == nullptr || (route->change == nullptr) == (route->look == nullptr)) std::abort();
    JsonFault fault;
    if (route->change != nullptr && !conforms(route->change->body, call->body, fault)) std::abort();
    return 0;
}
