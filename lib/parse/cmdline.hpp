// SPDX-License-Identifier: Apache-2.0
/// The hypervisor's command line: words, key=value, quotes. Freestanding; views point into the text.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "lib/base/result.hpp"

namespace parse {

/// One word. `no-key` and `key` without value tell a boolean.
struct Option {
    std::string_view raw;    ///< the whole word
    std::string_view key;    ///< before '='; a "no-" prefix is cut off when there is no value
    std::string_view value;  ///< after '=', quotes around it removed; empty without '='
    bool has_value = false;
    bool negated = false;  ///< was written "no-key"

    /// Yes or no: "key", "no-key", and the values 1/0 yes/no on/off true/false enable/disable. Errors: inval.
    base::Result<bool> boolean() const;
};

/// Walks the words of a command line. Double or single quotes keep blanks together.
class CommandLine {
public:
    constexpr explicit CommandLine(std::string_view text) : rest_(text) {}
    /// The next word; nothing at the end.
    std::optional<Option> next();
    /// The value of the last word with this key (later words win, as people expect).
    static std::optional<Option> find(std::string_view text, std::string_view key);

private:
    std::string_view rest_;
};

/// Walks a list inside a value ("115200,8n1"); empty items are items.
class ValueList {
public:
    constexpr explicit ValueList(std::string_view text, char separator = ',') : rest_(text), separator_(separator) {}
    std::optional<std::string_view> next();

private:
    std::string_view rest_;
    char separator_;
    bool done_ = false;
};

/// Decimal, 0x hexadecimal or 0-prefixed octal; nothing around it. Errors: inval, range.
base::Result<std::uint64_t> parse_integer(std::string_view text);

/// A size in bytes: a number with suffix B, K, M, G or T (either case). Without a suffix it counts units of
/// `default_unit` bytes (dom0_mem counts KiB). Errors: inval, range.
base::Result<std::uint64_t> parse_size(std::string_view text, std::uint64_t default_unit = 1);

/// "yes/no" words as Option::boolean. Errors: inval.
base::Result<bool> parse_boolean(std::string_view text);

}  // namespace parse
