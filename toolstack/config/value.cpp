// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/value.hpp"

#include <array>
#include <cstdio>

namespace config {

std::string_view Value::kind() const {
    static constexpr std::array<std::string_view, 8> names = {"None",   "True or False", "number", "number",
                                                              "string", "list",          "tuple",  "dictionary"};
    if (const auto* opaque = as<Opaque>()) return opaque->type;
    return names[data.index()];
}

std::string Value::text() const {
    if (const auto* b = as<bool>()) return *b ? "True" : "False";
    if (const auto* i = as<int64_t>()) return std::to_string(*i);
    if (const auto* s = as<std::string>()) return *s;
    if (const auto* d = as<double>()) {
        std::array<char, 40> buffer{};
        std::snprintf(buffer.data(), buffer.size(), "%.12g", *d);
        std::string out = buffer.data();
        if (out.find_first_of(".en") == std::string::npos) out += ".0";  // Python shows that it is a float
        return out;
    }
    return std::string(kind());
}

size_t Value::weight() const {
    size_t sum = 1;
    if (const auto* l = as<List>()) {
        for (const Value& v : *l) sum += v.weight();
    } else if (const auto* t = as<Tuple>()) {
        for (const Value& v : t->items) sum += v.weight();
    } else if (const auto* d = as<Dict>()) {
        for (const Value& v : d->keys) sum += v.weight();
        for (const Value& v : d->values) sum += v.weight();
    } else if (const auto* s = as<std::string>()) {
        sum += s->size() / 16;
    }
    return sum;
}

}  // namespace config
