// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/lexer.hpp"

#include "lib/base/number.hpp"

namespace config {

using base::Outcome;
using Kind = Token::Kind;

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_name(char c) { return is_name_start(c) || is_digit(c); }

int digit_of(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 99;
}

void append_utf8(std::string& out, uint32_t code) {
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xc0U | (code >> 6U));
        out += static_cast<char>(0x80U | (code & 0x3fU));
    } else {
        out += static_cast<char>(0xe0U | (code >> 12U));
        out += static_cast<char>(0x80U | ((code >> 6U) & 0x3fU));
        out += static_cast<char>(0x80U | (code & 0x3fU));
    }
}

/// The character as an error text can show it.
std::string shown(char c) {
    const auto u = static_cast<unsigned char>(c);
    if (u >= 0x20 && u < 0x7f) return std::string("'") + c + "'";
    static const char* const hex = "0123456789abcdef";
    return std::string("byte 0x") + hex[u >> 4U] + hex[u & 15U];
}

}  // namespace

base::Failure fail_at(const std::string& file, Position where, const std::string& text, base::Errc code) {
    return base::fail(code, file + ":" + std::to_string(where.line) + ":" + std::to_string(where.column) + ": " + text);
}

void Lexer::advance(size_t count) {
    for (; count != 0 && more(); --count, ++at_) {
        if (text_[at_] == '\n') {
            ++where_.line;
            where_.column = 1;
        } else {
            ++where_.column;
        }
    }
}

void Lexer::skip_comment() {
    while (more() && peek() != '\n') advance();
}

/// Skips blanks, comments, joined lines, and line ends inside brackets. True: blanks stood at the start of a line.
Outcome<bool> Lexer::skip_blanks() {
    bool indented = false;
    while (more()) {
        const char c = peek();
        if (c == ' ' || c == '\t' || c == '\f' || (c == '\r' && (peek(1) == '\n' || at_ + 1 == text_.size()))) {
            indented = indented || (line_start_ && c != '\r');
            advance();
        } else if (c == '#') {
            skip_comment();
        } else if (c == '\\' && peek(1) == '\n') {
            advance(2);
        } else if (c == '\\' && peek(1) == '\r' && peek(2) == '\n') {
            advance(3);
        } else if (c == '\n' && (brackets_ != 0 || line_start_)) {
            indented = false;
            advance();
        } else {
            break;
        }
    }
    return indented;
}

Outcome<Token> Lexer::next() {
    const bool indented = OTRY(skip_blanks());
    Token token;
    token.where = where_;
    if (!more()) {
        // A last line without its line end still ends.
        if (!line_start_ && brackets_ == 0) token.kind = Kind::newline;
        line_start_ = true;
        return token;
    }
    if (indented) return fail_at(*file_, where_, "unexpected indentation");
    const char c = peek();
    if (c == '\n') {
        advance();
        line_start_ = true;
        token.kind = Kind::newline;
        return token;
    }
    line_start_ = false;
    if (is_name_start(c)) return name_or_string(std::move(token));
    if (is_digit(c) || (c == '.' && is_digit(peek(1)))) return number_token(std::move(token));
    if (c == '"' || c == '\'') return string_token(std::move(token), false);
    return operator_token(std::move(token));
}

Outcome<Token> Lexer::name_or_string(Token token) {
    size_t length = 0;
    while (is_name(peek(length))) ++length;
    const std::string_view word = text_.substr(at_, length);
    const char after = peek(length);
    if ((after == '"' || after == '\'') && length <= 2) {
        bool raw = false, prefix = true;
        for (char c : word) {
            const char low = static_cast<char>(c | 0x20);
            if (low == 'f') {
                return fail_at(*file_, token.where, "f-strings are Python programs, which are not supported yet; use % or +",
                               base::Errc::nosys);
            }
            raw = raw || low == 'r';
            prefix = prefix && (low == 'r' || low == 'u' || low == 'b');
        }
        if (prefix) {
            advance(length);
            return string_token(std::move(token), raw);
        }
    }
    token.kind = Kind::name;
    token.text = word;
    advance(length);
    return token;
}

Outcome<Token> Lexer::string_token(Token token, bool raw) {
    const Position start = token.where;
    const char quote = peek();
    const bool triple = peek(1) == quote && peek(2) == quote;
    advance(triple ? 3 : 1);
    token.kind = Kind::string;
    for (;;) {
        if (!more()) return fail_at(*file_, start, "the string that begins here is never closed");
        const char c = peek();
        if (c == '\0') return fail_at(*file_, where_, "a zero byte in a string");
        if (c == '\n' && !triple) return fail_at(*file_, start, "the string that begins here is not closed on its line");
        if (c == quote && (!triple || (peek(1) == quote && peek(2) == quote))) {
            advance(triple ? 3 : 1);
            return token;
        }
        if (c != '\\') {
            token.text += c;
            advance();
        } else if (raw) {
            token.text += c;
            advance();
            if (more()) token.text += peek();
            advance();
        } else {
            OTRY(escape(token.text, where_));
        }
    }
}

Outcome<> Lexer::escape(std::string& out, Position start) {
    advance();
    if (!more()) return fail_at(*file_, start, "the file ends inside a string");
    const char c = peek();
    static constexpr std::string_view letters = "abtnvfr\\'\"";
    static constexpr std::string_view meanings = "\a\b\t\n\v\f\r\\'\"";
    if (const size_t i = letters.find(c); i != std::string_view::npos) {
        out += meanings[i];
        advance();
        return base::ok;
    }
    if (c == '\n') {
        advance();
        return base::ok;
    }
    if (c == '\r' && peek(1) == '\n') {
        advance(2);
        return base::ok;
    }
    if (c >= '0' && c <= '7') return numeric_escape(out, 3, 8, start);
    if (c == 'x' || c == 'u') {
        advance();
        return numeric_escape(out, c == 'x' ? 2 : 4, 16, start);
    }
    out += '\\';  // Python keeps what it does not know
    return base::ok;
}

Outcome<> Lexer::numeric_escape(std::string& out, unsigned digits, unsigned base, Position start) {
    uint32_t value = 0;
    unsigned seen = 0;
    for (; seen < digits; ++seen) {
        const int digit = digit_of(peek());
        if (digit >= static_cast<int>(base)) break;
        value = value * base + static_cast<uint32_t>(digit);
        advance();
    }
    if (base == 16 && seen != digits) return fail_at(*file_, start, "an incomplete \\x or \\u escape");
    if (value == 0) return fail_at(*file_, start, "a zero byte in a string");
    if (digits == 4) {
        append_utf8(out, value);
    } else {
        out += static_cast<char>(value & 0xffU);
    }
    return base::ok;
}

Outcome<Token> Lexer::number_token(Token token) {
    size_t length = 0;
    bool real = false;
    const bool hex = peek() == '0' && (peek(1) | 0x20) == 'x';
    while (is_name(peek(length)) || (!hex && peek(length) == '.')) {
        const char c = peek(length++);
        real = real || (!hex && (c == '.' || (c | 0x20) == 'e'));
        const char sign = peek(length);
        if (!hex && (c | 0x20) == 'e' && (sign == '-' || sign == '+')) ++length;
    }
    token.text = text_.substr(at_, length);
    advance(length);
    std::string digits = token.text;
    std::erase(digits, '_');
    if (!real && !digits.empty() && (digits.back() | 0x20) == 'l') digits.pop_back();  // Python 2's long
    if (real) {
        token.kind = Kind::real;
        if (const auto value = base::parse_number<double>(digits)) {
            token.real = *value;
            return token;
        }
    } else {
        const bool octal = !hex && digits.size() > 1 && digits[0] == '0';
        const size_t skip = hex ? 2 : (octal && (digits[1] | 0x20) == 'o' ? 2 : 0);
        token.kind = Kind::integer;
        const std::string_view plain = std::string_view(digits).substr(skip);
        if (const auto value = base::parse_number<int64_t>(plain, hex ? 16 : (octal ? 8 : 10))) {
            token.integer = *value;
            return token;
        }
        const char* const known = hex ? "0123456789abcdefABCDEF" : (octal ? "01234567" : "0123456789");
        if (!plain.empty() && plain.find_first_not_of(known) == std::string_view::npos) {
            return fail_at(*file_, token.where, "the number " + token.text.substr(0, 40) + " is too large");
        }
    }
    return fail_at(*file_, token.where, "'" + token.text.substr(0, 40) + "' is not a number");
}

Outcome<Token> Lexer::operator_token(Token token) {
    static constexpr std::string_view pairs[] = {
        "==", "!=", "<=", ">=", "+=", "-=", "*=", "/=", "%=", "**", "//", "<<", ">>", "->"};
    token.kind = Kind::op;
    for (const std::string_view pair : pairs) {
        if (text_.substr(at_, 2) == pair) {
            token.text = pair;
            advance(2);
            return token;
        }
    }
    const char c = peek();
    if (std::string_view("=+-*/%()[]{},:;.<>&|^~@").find(c) == std::string_view::npos) {
        return fail_at(*file_, where_, shown(c) + " has no meaning here");
    }
    if (c == '(' || c == '[' || c == '{') ++brackets_;
    if ((c == ')' || c == ']' || c == '}') && brackets_ != 0) --brackets_;
    token.text = c;
    advance();
    return token;
}

}  // namespace config
