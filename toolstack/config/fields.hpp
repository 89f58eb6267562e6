// SPDX-License-Identifier: Apache-2.0
#pragma once

// Internal to config/: the one table of fields. Configuration file, s-expression and JSON, reading and printing, all walk
// it; a new field is a member of DomainConfig, a row in fields.cpp and a value in tests/host/config_fields_test.cpp.

#include <span>

#include "toolstack/config/domain_config.hpp"

namespace config {

/// How a value is written where that makes a difference: in files and in JSON.
enum class Form : uint8_t {
    text,
    number,
    mib,   // a number, which a file may also give with its unit: "2G"
    list,  // text, which a file may also give as a list of texts: they are joined by ';'
};

/// Where its element stands in (vm … (image (KIND …)) …).
enum class Place : uint8_t {
    vm,
    image,
    image_kind,  // it is KIND itself
};

enum class Shown : uint8_t { always, unless_default };

/// Types of guests that have a field, as a set.
enum class Guests : uint8_t { pv = 1, hvm = 2, pvh = 4, all = 7 };

struct Field {
    std::string_view file;  // the variable; empty: put together from several (variables.cpp)
    std::string_view sxp;
    std::string_view json;
    Place place;
    Form form;
    Shown shown;
    Guests guests;
    std::string (*print)(const DomainConfig&);  // numbers in decimal; empty: not set
    /// Checks a value and takes it. Errors: inval; the text begins with the value or names the field, the caller adds where.
    base::Outcome<> (*read)(DomainConfig&, const Field&, const std::string& text);
    uint64_t low = 0, high = 0;  // of numbers

    bool is_number() const { return form == Form::number || form == Form::mib; }

    bool has(const Guest& guest) const { return ((static_cast<unsigned>(guests) >> guest.index()) & 1U) != 0; }
    /// Whether it is printed for this configuration.
    bool wanted(const DomainConfig& config) const;
};

/// In the order in which a configuration is written; what another row depends on comes before it.
std::span<const Field> fields();

}  // namespace config
