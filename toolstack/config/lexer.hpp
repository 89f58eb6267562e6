// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "lib/base/outcome.hpp"
#include "toolstack/config/value.hpp"

namespace config {

struct Token {
    enum class Kind : uint8_t { end, newline, name, string, integer, real, op };
    Kind kind = Kind::end;
    std::string text;  // name, decoded string, operator, or the number as written
    int64_t integer = 0;
    double real = 0;
    Position where;

    bool is(std::string_view oper) const { return kind == Kind::op && text == oper; }
};

/// Cuts a configuration file into tokens; inside brackets line ends are blanks, as in Python.
class Lexer {
    std::string_view text_;
    const std::string* file_;
    size_t at_ = 0;
    Position where_;
    size_t brackets_ = 0;
    bool line_start_ = true;

    char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
    bool more() const { return at_ < text_.size(); }
    void advance(size_t count = 1);
    base::Outcome<bool> skip_blanks();
    void skip_comment();
    base::Outcome<Token> string_token(Token token, bool raw);
    base::Outcome<> escape(std::string& out, Position start);
    base::Outcome<> numeric_escape(std::string& out, unsigned digits, unsigned base, Position start);
    base::Outcome<Token> number_token(Token token);
    base::Outcome<Token> name_or_string(Token token);
    base::Outcome<Token> operator_token(Token token);

public:
    Lexer(std::string_view text, const std::string& file) : text_(text), file_(&file) {}
    /// The next token. Errors: Errc::inval "FILE:LINE:COL: …".
    base::Outcome<Token> next();
};

/// "FILE:LINE:COL: text" as a failure.
base::Failure fail_at(const std::string& file, Position where, const std::string& text, base::Errc code = base::Errc::inval);

}  // namespace config
