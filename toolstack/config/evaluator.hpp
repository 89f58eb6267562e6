// SPDX-License-Identifier: Apache-2.0
#pragma once

// Internal to config/: the recursive-descent evaluator behind script.hpp.

#include <string>

#include "toolstack/config/lexer.hpp"
#include "toolstack/config/script.hpp"

namespace config {

/// Parses and evaluates in one pass; there is nothing to loop over, so no syntax tree is needed.
class Evaluator {
    Lexer lexer_;
    const std::string& file_;
    const Limits& limits_;
    Token token_;  // the one looked at
    Variables& variables_;
    size_t depth_ = 0;
    size_t made_ = 0;  // values made so far
    size_t text_ = 0;  // bytes of text made so far

    base::Outcome<> step();
    base::Failure unexpected(const std::string& wanted) const;
    base::Failure program(const Token& at, const std::string& what) const;
    base::Outcome<> expect(std::string_view oper, const std::string& wanted);
    base::Outcome<> charge(const Value& value);

    base::Outcome<> statement();
    base::Outcome<> assignment();
    base::Outcome<Value> sum();
    base::Outcome<Value> product();
    base::Outcome<Value> unary();
    base::Outcome<Value> postfix();
    base::Outcome<Value> primary();
    base::Outcome<Value> named();
    base::Outcome<Value> strings();
    base::Outcome<Value> items(Position where, std::string_view close, bool& comma);
    base::Outcome<Value> dict(Position where);
    base::Outcome<Value> combine(std::string_view oper, Value left, Value right, Position where);
    base::Outcome<Value> arithmetic(std::string_view oper, const Value& left, const Value& right, Position where);
    base::Outcome<Value> repeat(const Value& sequence, int64_t times, Position where);

public:
    Evaluator(std::string_view text, const std::string& file, const Limits& limits, Variables& variables)
        : lexer_(text, file), file_(file), limits_(limits), variables_(variables) {}
    base::Outcome<> run();
    base::Outcome<Value> single();
};

/// Python's `format % value` for %s %r %d %i %u %x %X %o %f %g %c %% with flags, width and precision.
/// Errors: Errc::inval with a text without position.
base::Outcome<std::string> format_percent(std::string_view format, const Value& value);

}  // namespace config
