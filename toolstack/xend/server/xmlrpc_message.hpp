// SPDX-License-Identifier: Apache-2.0
#pragma once

// XML-RPC as text: calls in, answers out. Source: the XML-RPC specification of 1999, with <nil/> as everybody has it.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/outcome.hpp"
#include "lib/proto/sxp.hpp"

namespace xend::xmlrpc {

/// A value: text for a scalar, items for the others.
struct Value {
    enum class Kind : uint8_t { text, integer, boolean, real, time, nil, array, structure };
    Kind kind = Kind::nil;
    std::string text{};                // as it is written: "1" and "0" for booleans
    std::vector<Value> items{};        // of an array or a structure
    std::vector<std::string> names{};  // of a structure, beside its items

    static Value of_text(std::string text) { return {Kind::text, std::move(text), {}, {}}; }
    static Value of_integer(int32_t number) { return {Kind::integer, std::to_string(number), {}, {}}; }
    static Value of_flag(bool flag) { return {Kind::boolean, flag ? "1" : "0", {}, {}}; }
    static Value list() { return {Kind::array, {}, {}, {}}; }
    static Value record() { return {Kind::structure, {}, {}, {}}; }
    bool is_scalar() const { return kind < Kind::nil; }
    Value& add(Value item) {
        items.push_back(std::move(item));
        return *this;
    }
    Value& add(std::string name, Value item) {
        names.push_back(std::move(name));
        return add(std::move(item));
    }
    /// Of a structure; null: it has none of that name.
    const Value* find(std::string_view name) const;
    bool operator==(const Value&) const = default;
};

struct Call {
    std::string method;
    std::vector<Value> params;
};

/// What a reader takes before it gives up on its peer.
struct Limits {
    size_t bytes = 1U << 20U;
    size_t depth = 64;  // of values in each other
    size_t values = 20'000;
};

/// Reads a <methodCall>. No document type, no entities but XML's own five. Errors: inval, toobig: one line that says what is wrong.
base::Outcome<Call> parse_call(std::string_view text, const Limits& limits = {});

/// A <methodResponse>. What XML cannot say is written as '?'.
std::string print_answer(const Value& value);
std::string print_fault(int code, const std::string& text);

/// Lists as arrays, atoms as text.
Value from_sxp(const proto::Sxp& sxp);
/// The other way round. Errors: inval: a structure or nil is no s-expression.
base::Outcome<proto::Sxp> to_sxp(const Value& value);

}  // namespace xend::xmlrpc
