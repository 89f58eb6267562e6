// SPDX-License-Identifier: Apache-2.0
#pragma once

// JSON that comes from outside, read strictly, and JSON that goes there.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "lib/base/outcome.hpp"

namespace xend::rest {

using Json = nlohmann::ordered_json;

struct JsonLimits {
    size_t bytes = 1U << 20U;
    size_t depth = 24;       // of lists and objects in each other
    size_t values = 20'000;  // all together
    size_t members = 512;    // of one object
};

/// What is wrong with a text or a value, and where.
struct JsonFault {
    base::Errc code = base::Errc::inval;  // toobig: beyond a limit
    std::string at;                       // a JSON pointer: "/config/disks/0"; empty: the whole
    std::string text;                     // one line
};

/// Reads one value. Refused beside what JSON refuses: a name that an object has twice, numbers that are not whole or have more than 64
/// bits, U+0000. Nothing: `fault` says why.
std::optional<Json> parse_json(std::string_view text, JsonFault& fault, const JsonLimits& limits = {});

/// On one line; bytes that are no UTF-8 become U+FFFD.
std::string print_json(const Json& value);

/// A pointer one step longer.
std::string pointer_to(const std::string& at, std::string_view name);

}  // namespace xend::rest
