// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdio>

#include "lib/base/number.hpp"
#include "toolstack/config/evaluator.hpp"

namespace config {

using base::Errc;
using base::Outcome;

namespace {

constexpr size_t max_width = 4096;

struct Spec {
    std::string flags;
    size_t width = 0;
    std::string precision;  // with its dot
    char letter = 0;
    std::string name;  // of %(name)s
};

Outcome<size_t> read_number(std::string_view format, size_t& at) {
    size_t value = 0;
    for (; at < format.size() && format[at] >= '0' && format[at] <= '9'; ++at) {
        value = value * 10 + static_cast<size_t>(format[at] - '0');
        if (value > max_width) return base::fail(Errc::inval, "a field of the format string is too wide");
    }
    return value;
}

/// Reads what stands behind a '%'; `at` is left behind the letter.
Outcome<Spec> read_spec(std::string_view format, size_t& at) {
    Spec spec;
    if (at < format.size() && format[at] == '(') {
        const size_t close = format.find(')', at);
        if (close == std::string_view::npos) return base::fail(Errc::inval, "the format string ends inside %(name)");
        spec.name = format.substr(at + 1, close - at - 1);
        at = close + 1;
    }
    while (at < format.size() && std::string_view("-+ 0#").find(format[at]) != std::string_view::npos) {
        if (spec.flags.find(format[at]) == std::string::npos) spec.flags += format[at];
        ++at;
    }
    spec.width = OTRY(read_number(format, at));
    if (at < format.size() && format[at] == '.') {
        ++at;
        spec.precision = "." + std::to_string(OTRY(read_number(format, at)));
    }
    while (at < format.size() && (format[at] == 'l' || format[at] == 'h')) ++at;
    if (at >= format.size()) return base::fail(Errc::inval, "the format string ends inside a %");
    spec.letter = format[at++];
    return spec;
}

std::string pad(const Spec& spec, std::string text) {
    if (text.size() >= spec.width) return text;
    const std::string blanks(spec.width - text.size(), ' ');
    return spec.flags.find('-') != std::string::npos ? text + blanks : blanks + text;
}

template <class T>
std::string print(const std::string& format, T value) {
    std::array<char, max_width + 512> buffer{};
    // The format is put together above from checked parts: flags, a bounded width and precision, one letter.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    const int length = std::snprintf(buffer.data(), buffer.size(), format.c_str(), value);
#pragma GCC diagnostic pop
    return std::string(buffer.data(), length < 0 ? 0 : std::min(static_cast<size_t>(length), buffer.size() - 1));
}

Outcome<std::string> one_field(const Spec& spec, const Value& value) {
    const auto* integer = value.as<int64_t>();
    const auto* real = value.as<double>();
    const auto* flag = value.as<bool>();
    const std::string head = "%" + spec.flags + (spec.width != 0 ? std::to_string(spec.width) : std::string());
    switch (spec.letter) {
        case 's':
        case 'r': {
            if (value.data.index() > 4) {
                return base::fail(Errc::inval, "a " + std::string(value.kind()) + " cannot be put into a text");
            }
            std::string text = value.text();
            if (spec.letter == 'r' && value.as<std::string>() != nullptr) text = "'" + text + "'";
            if (!spec.precision.empty()) {
                text = text.substr(0, base::parse_number<size_t>(std::string_view(spec.precision).substr(1)).value_or(max_width));
            }
            return pad(spec, std::move(text));
        }
        case 'c':
            if (integer == nullptr || *integer < 1 || *integer > 127) {
                return base::fail(Errc::inval, "%c needs a character code");
            }
            return pad(spec, std::string(1, static_cast<char>(*integer)));
        case 'd':
        case 'i':
        case 'u':
        case 'x':
        case 'X':
        case 'o': {
            const bool decimal = spec.letter == 'd' || spec.letter == 'i' || spec.letter == 'u';
            long long number = integer != nullptr ? *integer : 0;
            if (flag != nullptr) number = *flag ? 1 : 0;
            if (real != nullptr && *real > -9e18 && *real < 9e18) {
                number = static_cast<long long>(*real);
            } else if (integer == nullptr && flag == nullptr) {
                return base::fail(Errc::inval,
                                  std::string("%") + spec.letter + " needs a number, not a " + std::string(value.kind()));
            }
            return print(head + spec.precision + "ll" + (decimal ? 'd' : spec.letter), number);
        }
        case 'e':
        case 'f':
        case 'g':
        case 'F':
        case 'G':
            if (integer == nullptr && real == nullptr) return base::fail(Errc::inval, "%f needs a number");
            return print(head + spec.precision + spec.letter, real != nullptr ? *real : static_cast<double>(*integer));
        default: break;
    }
    return base::fail(Errc::inval, "the format string has an unknown % code");
}

const Value* by_name(const Value& value, const std::string& name) {
    const auto* dict = value.as<Value::Dict>();
    if (dict == nullptr) return nullptr;
    for (size_t i = 0; i < dict->keys.size(); ++i) {
        if (const auto* text = dict->keys[i].as<std::string>(); text != nullptr && *text == name) return &dict->values[i];
    }
    return nullptr;
}

}  // namespace

Outcome<std::string> format_percent(std::string_view format, const Value& value) {
    const auto* tuple = value.as<Value::Tuple>();
    const size_t given = tuple != nullptr ? tuple->items.size() : 1;
    size_t used = 0;
    bool named = false;
    std::string out;
    for (size_t at = 0; at < format.size();) {
        if (format[at] != '%') {
            out += format[at++];
            continue;
        }
        ++at;
        const Spec spec = OTRY(read_spec(format, at));
        if (spec.letter == '%') {
            out += '%';
            continue;
        }
        const Value* field = nullptr;
        if (!spec.name.empty()) {
            named = true;
            field = by_name(value, spec.name);
            if (field == nullptr) return base::fail(Errc::inval, "the dictionary has no '" + spec.name.substr(0, 60) + "'");
        } else {
            if (used >= given) return base::fail(Errc::inval, "the format string wants more values than there are");
            field = tuple != nullptr ? &tuple->items[used] : &value;
            ++used;
        }
        out += OTRY(one_field(spec, *field));
        if (out.size() > (1U << 20U)) return base::fail(Errc::toobig, "the text made by % is too long");
    }
    if (!named && used < given) return base::fail(Errc::inval, "the format string does not use all its values");
    return out;
}

}  // namespace config
