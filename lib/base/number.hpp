// SPDX-License-Identifier: Apache-2.0
/// Numbers in text, for programs with the standard library: one idea of what a number is, for files, options and the store alike.
#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string_view>

namespace base {

/// Takes the number that `text` begins with off it. Nothing, and `text` as it was, when it begins with none or with one
/// that T cannot hold. No space and no '+' before it; '-' for signed types alone.
template <class T>
requires(std::integral<T> || std::floating_point<T>) std::optional<T> take_number(std::string_view& text, int base = 10) {
    T value{};
    std::from_chars_result end{};
    if constexpr (std::floating_point<T>) end = std::from_chars(text.data(), text.data() + text.size(), value);
    else end = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (end.ec != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end.ptr - text.data()));
    return value;
}

/// All of `text` as a number; nothing when it is none, is followed by anything, or T cannot hold it.
template <class T>
std::optional<T> parse_number(std::string_view text, int base = 10) {
    const std::optional<T> value = take_number<T>(text, base);
    return text.empty() ? value : std::nullopt;
}

/// As parse_number, and "0x1f" is 31.
template <class T>
std::optional<T> parse_number_or_hex(std::string_view text) {
    if (!text.starts_with("0x") && !text.starts_with("0X")) return parse_number<T>(text);
    text.remove_prefix(2);
    return text.starts_with('-') ? std::nullopt : parse_number<T>(text, 16);
}

}  // namespace base
