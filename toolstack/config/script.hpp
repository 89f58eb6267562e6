// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/outcome.hpp"
#include "toolstack/config/value.hpp"

namespace config {

/// The variables of a configuration file in the order of their first assignment.
class Variables {
    std::vector<std::pair<std::string, Value>> items_;

public:
    const Value* find(std::string_view name) const;
    void set(std::string_view name, Value value);
    const std::vector<std::pair<std::string, Value>>& items() const { return items_; }
};

/// What a file may cost at most; beyond it parsing ends with a clear error.
struct Limits {
    size_t bytes = 1U << 20U;  // of the file, and of all text made from it
    size_t depth = 64;         // of nested brackets and operators
    size_t values = 100'000;   // of list elements and the like
};

/// Evaluates the declarative grammar of classic xm files: assignments of strings, numbers, lists, tuples, dicts,
/// None/True/False, names assigned before, `+`, `*`, `%`, `-`, indexing, comments. `preset` are known from the start.
/// Errors: Errc::inval "FILE:LINE:COL: what is wrong"; a file that is a Python program (statements, calls, imports)
/// says so in the same form with Errc::nosys; Errc::toobig beyond a limit.
base::Outcome<Variables> evaluate(std::string_view text, const std::string& file, const Variables& preset = {},
                                  const Limits& limits = {});

/// Evaluates one expression, as `disk=['phy:…']` on a command line has it behind the equals sign.
base::Outcome<Value> evaluate_expression(std::string_view text, const std::string& file, const Limits& limits = {});

}  // namespace config
