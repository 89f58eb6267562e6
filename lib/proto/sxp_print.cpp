// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "lib/proto/sxp.hpp"

namespace proto {

namespace {

constexpr std::array<bool, 256> bare = [] {
    std::array<bool, 256> out{};
    for (const char c : std::string_view("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:/~"))
        out[static_cast<unsigned char>(c)] = true;
    return out;
}();

bool is_bare(char c) { return bare[static_cast<unsigned char>(c)]; }

/// The letter of the escape that stands for `c`, or 0.
char escape_letter(char c) {
    switch (c) {
        case '\a': return 'a';
        case '\b': return 'b';
        case '\t': return 't';
        case '\n': return 'n';
        case '\v': return 'v';
        case '\f': return 'f';
        case '\r': return 'r';
        case '\\':
        case '\'': return c;
        default: return 0;
    }
}

void print_quoted(std::string_view text, std::string& out) {
    constexpr char digits[] = "0123456789abcdef";
    out += '\'';
    for (const char c : text) {
        const auto code = static_cast<unsigned char>(c);
        if (const char letter = escape_letter(c)) {
            out += '\\';
            out += letter;
        } else if (code < 0x20 || code == 0x7f) {
            out += "\\x";
            out += digits[code >> 4];
            out += digits[code & 15];
        } else {
            out += c;
        }
    }
    out += '\'';
}

void print_atom(std::string_view text, std::string& out) {
    const bool plain = text == "@" || (!text.empty() && std::all_of(text.begin(), text.end(), is_bare));
    if (plain) out += text;
    else print_quoted(text, out);
}

void print(const Sxp& value, std::string& out) {
    if (value.is_atom()) return print_atom(value.text(), out);
    out += '(';
    bool first = true;
    for (const Sxp& item : value.items()) {
        if (!first) out += ' ';
        first = false;
        print(item, out);
    }
    out += ')';
}

/// Puts what fits on one line there; breaks other lists after their leading atoms, one item per line.
void pretty(const Sxp& value, std::size_t indent, std::size_t width, std::string& out) {
    std::string flat;
    print(value, flat);
    if (value.is_atom() || indent + flat.size() <= width) {
        out += flat;
        return;
    }
    out += '(';
    bool leading = true;
    bool first = true;
    for (const Sxp& item : value.items()) {
        leading = leading && item.is_atom();
        if (!leading) {
            out += '\n';
            out.append(indent + 4, ' ');
        } else if (!first) {
            out += ' ';
        }
        first = false;
        pretty(item, indent + 4, width, out);
    }
    out += '\n';
    out.append(indent, ' ');
    out += ')';
}

}  // namespace

std::string to_string(const Sxp& value) {
    std::string out;
    print(value, out);
    return out;
}

void SxpWriter::separate() {
    if (!out_.empty() && out_.back() != '(') out_ += ' ';
}

void SxpWriter::open() {
    separate();
    out_ += '(';
}

void SxpWriter::close() { out_ += ')'; }

void SxpWriter::atom(std::string_view text) {
    separate();
    print_atom(text, out_);
}

void SxpWriter::pair(std::string_view name, std::string_view value) {
    open();
    atom(name);
    atom(value);
    close();
}

void SxpWriter::add(const Sxp& value) {
    separate();
    print(value, out_);
}

std::string to_pretty_string(const Sxp& value, std::size_t width) {
    std::string out;
    pretty(value, 0, width, out);
    return out;
}

}  // namespace proto
