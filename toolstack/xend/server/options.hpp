// SPDX-License-Identifier: Apache-2.0
#pragma once

// The one table of xend-config.sxp's options: options.cpp. Reading, warnings and `xm info -c` are made from it.

#include <span>

#include "toolstack/xend/server/settings.hpp"

namespace xend {

/// What a value must look like.
enum class OptionType : uint8_t {
    text,    // one word, or one quoted text
    number,  // decimal
    flag,    // yes or no
    level,   // of the log
    list,    // anything
};

/// What becomes of an option.
enum class OptionStanding : uint8_t {
    effective,
    harmless,  // the same machine with and without it: said, when it asks for anything
    refused,   // it asks for another machine than we would run: xend does not start with it
};

struct Option {
    std::string_view name;  // one that ends in '-' stands for all that begin so
    OptionType type;
    std::string_view fallback;  // the value when it is not given
    OptionStanding standing;
    std::string_view what = {};  // of harmless ones, why they change nothing; of refused ones, what they ask for
    uint64_t most = 0;           // of numbers
    /// Takes a value of the right type; null unless effective. Errors: inval, what is wrong with it.
    base::Outcome<> (*take)(ServerSettings&, std::string_view name, const std::string& value) = nullptr;
};

std::span<const Option> options();
/// Null for a name that nobody knows.
const Option* find_option(std::string_view name);

}  // namespace xend
