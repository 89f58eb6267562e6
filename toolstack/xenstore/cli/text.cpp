// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xenstore/cli/text.hpp"

#include <algorithm>

namespace xenstore::cli {

namespace {

constexpr size_t permission_column = 60;
constexpr size_t frame = 8;  // what ` = "..."` takes around a cut value

int digit(char c, int base) {
    int v = -1;
    if (c >= '0' && c <= '9') v = c - '0';
    if (c >= 'a' && c <= 'f') v = c - 'a' + 10;
    if (c >= 'A' && c <= 'F') v = c - 'A' + 10;
    return v < base ? v : -1;
}

/// Up to `most` digits at `at`, which is moved behind them; -1 if there is none.
int number(std::string_view text, size_t& at, int base, size_t most) {
    int v = 0;
    size_t n = 0;
    for (; n < most && at < text.size() && digit(text[at], base) >= 0; ++n) v = v * base + digit(text[at++], base);
    return n == 0 ? -1 : v;
}

}  // namespace

std::string escaped(std::string_view raw) {
    std::string out;
    for (const char c : raw) {
        const auto u = static_cast<unsigned char>(c);
        if (c == '\n') out += "\\n";
        else if (c == '\t') out += "\\t";
        else if (c == '\r') out += "\\r";
        else if (c == '\\') out += "\\\\";
        else if (u >= ' ' && u <= '~') out += c;
        else
            out.append({'\\', static_cast<char>('0' + (u >> 6)), static_cast<char>('0' + ((u >> 3) & 7)),
                        static_cast<char>('0' + (u & 7))});
    }
    return out;
}

std::optional<std::string> unescaped(std::string_view typed) {
    std::string out;
    for (size_t at = 0; at < typed.size();) {
        if (typed[at] != '\\') {
            out += typed[at++];
            continue;
        }
        if (++at == typed.size()) return std::nullopt;
        constexpr std::string_view letters = "ntr\\";
        constexpr std::string_view meanings = "\n\t\r\\";
        int v = -1;
        if (const size_t letter = letters.find(typed[at]); letter != std::string_view::npos) {
            out += meanings[letter];
            ++at;
            continue;
        }
        if (typed[at] == 'x') {
            v = number(typed, ++at, 16, 2);
        } else {
            v = number(typed, at, 8, 3);
        }
        if (v < 0 || v > 255) return std::nullopt;
        out += static_cast<char>(v);
    }
    return out;
}

std::string listing_line(const Layout& layout, size_t depth, std::string_view name, const std::string& value,
                         std::string_view permissions) {
    std::string line = layout.full_path ? std::string() : std::string(depth, ' ');
    line += name;
    // A full path does not count towards the width.
    const size_t used = layout.full_path ? 0 : line.size();
    if (used + value.size() + frame > layout.width) {
        const size_t room = layout.width > frame + used ? layout.width - frame - used : 0;
        line += " = \"" + value.substr(0, room) + "\\...\"";
    } else {
        line += " = \"" + value + "\"";
        const size_t end = layout.full_path ? 0 : std::min(permission_column, layout.width);
        if (layout.permissions) line += ' ';
        for (size_t column = line.size(); layout.permissions && column < end; ++column) line += (column & 1) != 0 ? '.' : ' ';
    }
    if (layout.permissions) line.append("  (").append(permissions).append(")");
    return line;
}

}  // namespace xenstore::cli
