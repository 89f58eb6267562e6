// SPDX-License-Identifier: Apache-2.0
#pragma once

// What routers ask of a request, and the answers that all of them give. Internal to the server.

#include <string>

#include "toolstack/xend/api.hpp"

namespace xend {

/// Errors: inval: there is no such field.
inline base::Outcome<std::string> field(const Request& request, const char* name) {
    const auto at = request.fields.find(name);
    if (at == request.fields.end()) return base::fail(base::Errc::inval, std::string("Missing parameter: ") + name);
    return at->second;
}

inline std::string field_or(const Request& request, const char* name, const char* otherwise) {
    const auto at = request.fields.find(name);
    return at == request.fields.end() ? otherwise : at->second;
}

inline Reply text_reply(int status, std::string text) { return {status, "text/plain", {}, std::move(text)}; }

/// There is no such operation.
inline Reply no_operation(const std::string& op) { return text_reply(501, "Operation not implemented: " + op.substr(0, 100)); }

}  // namespace xend
