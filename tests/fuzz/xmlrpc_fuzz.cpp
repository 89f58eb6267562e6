// SPDX-License-Identifier: Apache-2.0
// link: xendxmlrpc
// A call that is read has values within the limits, and is a request for one place or a fault of one line; what it says can be printed.
#include <cstdint>
#include <cstdlib>

#include "toolstack/xend/server/xmlrpc_methods.hpp"

namespace {

using namespace xend::xmlrpc;

constexpr Limits limits{.bytes = 1U << 16U, .depth = 16, .values = 500};

size_t count(const Value& value, size_t depth) {
    if (depth > limits.depth) std::abort();
    size_t out = 1;
    for (const Value& item : value.items) out += count(item, depth + 1);
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto call = parse_call({reinterpret_cast<const char*>(data), size}, limits);
    if (!call) {
        if (call.failure().text.empty()) std::abort();
        return 0;
    }
    size_t values = 0;
    for (const Value& param : call->params) {
        values += count(param, 1);
        std::string printed = print_answer(param);
        if (printed.find('\0') != std::string::npos) std::abort();
    }
    if (values > limits.values) std::abort();
    Fault fault;
    static_cast<void>(introspect(*call, fault));
    const auto translated = translate(*call, fault);
    if (!translated) {
        if (fault.text.empty() ||
            (fault.code != Fault::internal && fault.code != Fault::generic && fault.code != Fault::invalid_domain))
            std::abort();
        static_cast<void>(print_fault(fault.code, fault.text));
        return 0;
    }
    if (!translated->request.path.starts_with("/xend/")) std::abort();
    static_cast<void>(answer(*translated, {200, "application/sxp", {}, "(xend.err 'no')"}));
    static_cast<void>(answer(*translated, {200, "application/sxp", {}, "((domain (domid 1) (name a) (state r-----)))"}));
    return 0;
}
