// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace config {

/// Where something stands in a configuration file; both count from 1.
struct Position {
    uint32_t line = 1;
    uint32_t column = 1;
};

/// A value of the declarative grammar: what a plain Python literal can be.
struct Value {
    struct None {
        bool operator==(const None&) const = default;
    };
    using List = std::vector<Value>;
    struct Tuple {
        List items;
    };
    struct Dict {  // keys[i] belongs to values[i], in the order written
        List keys;
        List values;
    };
    struct Opaque {  // what a program left that is no plain value
        std::string type;
    };
    std::variant<None, bool, int64_t, double, std::string, List, Tuple, Dict, Opaque> data;
    Position where;

    template <class T>
    const T* as() const {
        return std::get_if<T>(&data);
    }
    /// "string", "number", "list", …: for error texts.
    std::string_view kind() const;
    /// str(value) for scalars as Python would print it; lists and dicts print their kind only.
    std::string text() const;
    /// Elements below this value, itself included: what the size limit counts.
    size_t weight() const;
};

}  // namespace config
