// SPDX-License-Identifier: Apache-2.0
#include "lib/parse/cmdline.hpp"

#include "lib/parse/bytes.hpp"

namespace parse {

namespace {

using base::Errc;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_quote(char c) { return c == '"' || c == '\''; }

bool starts_with_no(std::string_view key) { return key.size() > 3 && key[0] == 'n' && key[1] == 'o' && key[2] == '-'; }

std::string_view unquoted(std::string_view text) {
    if (text.size() >= 2 && is_quote(text[0]) && text[text.size() - 1] == text[0]) return cut(text, 1, text.size() - 2);
    return text;
}

/// Length of the word at the front: blanks inside quotes belong to it.
std::size_t word_length(std::string_view text) {
    char quote = 0;
    std::size_t n = 0;
    for (; n < text.size(); ++n) {
        const char c = text[n];
        if (quote != 0) {
            if (c == quote) quote = 0;
        } else if (is_quote(c)) {
            quote = c;
        } else if (is_blank(c)) {
            break;
        }
    }
    return n;
}

Option split(std::string_view word) {
    Option option;
    option.raw = word;
    std::size_t equals = 0;
    while (equals < word.size() && word[equals] != '=') ++equals;
    option.key = cut(word, 0, equals);
    option.has_value = equals < word.size();
    if (option.has_value) {
        option.value = unquoted(cut(word, equals + 1));
    } else if (starts_with_no(option.key)) {
        option.negated = true;
        option.key = cut(option.key, 3);
    }
    return option;
}

/// Digit value, or 255.
unsigned digit_value(char c) {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
    if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
    return 255;
}

/// Power of two that a suffix multiplies with; 255 when the character is no suffix.
unsigned suffix_shift(char c) {
    switch (c) {
        case 'b':
        case 'B': return 0;
        case 'k':
        case 'K': return 10;
        case 'm':
        case 'M': return 20;
        case 'g':
        case 'G': return 30;
        case 't':
        case 'T': return 40;
        default: return 255;
    }
}

constexpr std::string_view yes_words[] = {"1", "yes", "on", "true", "enable"};
constexpr std::string_view no_words[] = {"0", "no", "off", "false", "disable"};

}  // namespace

std::optional<Option> CommandLine::next() {
    std::size_t blanks = 0;
    while (blanks < rest_.size() && is_blank(rest_[blanks])) ++blanks;
    rest_ = cut(rest_, blanks);
    if (rest_.empty()) return std::nullopt;
    const std::size_t length = word_length(rest_);
    const Option option = split(unquoted(cut(rest_, 0, length)));
    rest_ = cut(rest_, length);
    return option;
}

std::optional<Option> CommandLine::find(std::string_view text, std::string_view key) {
    std::optional<Option> found;
    CommandLine line(text);
    while (const auto option = line.next())
        if (option->key == key) found = option;
    return found;
}

base::Result<bool> Option::boolean() const {
    if (has_value) return parse_boolean(value);
    return !negated;
}

std::optional<std::string_view> ValueList::next() {
    if (done_) return std::nullopt;
    std::size_t end = 0;
    while (end < rest_.size() && rest_[end] != separator_) ++end;
    const std::string_view item = cut(rest_, 0, end);
    done_ = end == rest_.size();
    rest_ = cut(rest_, end + 1);
    return item;
}

base::Result<std::uint64_t> parse_integer(std::string_view text) {
    unsigned radix = 10;
    if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        radix = 16;
        text = cut(text, 2);
    } else if (text.size() > 1 && text[0] == '0') {
        radix = 8;
        text = cut(text, 1);
    }
    if (text.empty()) return base::Err{Errc::inval};
    std::uint64_t value = 0;
    for (const char c : text) {
        const unsigned digit = digit_value(c);
        if (digit >= radix) return base::Err{Errc::inval};
        if (value > (UINT64_MAX - digit) / radix) return base::Err{Errc::range};
        value = value * radix + digit;
    }
    return value;
}

base::Result<std::uint64_t> parse_size(std::string_view text, std::uint64_t default_unit) {
    if (text.empty()) return base::Err{Errc::inval};
    // In hexadecimal a final B is a digit.
    const bool hexadecimal = text.size() > 1 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char last = text[text.size() - 1];
    const unsigned shift = hexadecimal && digit_value(last) < 16 ? 255 : suffix_shift(last);
    std::uint64_t unit = default_unit;
    if (shift != 255) {
        unit = std::uint64_t{1} << shift;
        text = cut(text, 0, text.size() - 1);
    }
    const std::uint64_t count = TRY(parse_integer(text));
    if (unit != 0 && count > UINT64_MAX / unit) return base::Err{Errc::range};
    return count * unit;
}

base::Result<bool> parse_boolean(std::string_view text) {
    for (const std::string_view word : yes_words)
        if (text == word) return true;
    for (const std::string_view word : no_words)
        if (text == word) return false;
    return base::Err{Errc::inval};
}

}  // namespace parse
