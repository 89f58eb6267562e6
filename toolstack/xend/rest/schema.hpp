// SPDX-License-Identifier: Apache-2.0
#pragma once

// What requests and answers are made of, as tables: they check what comes, and docs/openapi.json is made of them.

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include "toolstack/xend/rest/json_text.hpp"

namespace xend::rest {

struct Schema;

enum class Need : uint8_t { wanted, optional };

struct Member {
    std::string_view name;
    const Schema& schema;
    Need need = Need::wanted;
    std::string_view what = {};
};

struct Schema {
    enum class Kind : uint8_t {
        object,
        list,
        text,
        number,  // whole
        flag,
        config,  // of a domain: an object whose members are the rows of config/fields.cpp and config/device_kinds.cpp
        any
    };
    Kind kind;
    std::string_view name = {};  // of its own in the description; empty: it stands where it is used
    std::string_view what = {};
    std::span<const Member> members = {};
    const Schema* item = nullptr;                  // of a list
    std::span<const std::string_view> words = {};  // the texts that there are; empty: any
    int64_t low = 0;                               // of numbers
    uint64_t high = std::numeric_limits<int64_t>::max();
    size_t most = 4096;  // bytes of a text, items of a list
};

/// Whether `value` is one of `schema`: members that are missing, too many, or of another type are not. False: `fault` says where.
bool conforms(const Schema& schema, const Json& value, JsonFault& fault);

/// The same for others' programs: JSON Schema, draft 2020-12. Those with a name are put into `named` and referred to. An answer may have
/// more members one day, a request none that is not known.
enum class Side : uint8_t { request, answer };
Json json_schema(const Schema& schema, Side side, Json& named);

// What tables need again and again.
inline constexpr Schema a_text{.kind = Schema::Kind::text};
inline constexpr Schema a_flag{.kind = Schema::Kind::flag};
inline constexpr Schema a_number{.kind = Schema::Kind::number};

}  // namespace xend::rest
