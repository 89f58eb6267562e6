// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/evaluator.hpp"

#include <algorithm>
#include <array>

namespace config {

using base::Errc;
using base::Outcome;
using Kind = Token::Kind;

namespace {

constexpr std::array<std::string_view, 31> keywords = {
    "and",  "as",      "assert", "break", "class",  "continue", "def",    "del",   "elif", "else",   "except",
    "exec", "finally", "for",    "from",  "global", "if",       "import", "in",    "is",   "lambda", "nonlocal",
    "not",  "or",      "pass",   "print", "raise",  "return",   "try",    "while", "with"};

bool is_keyword(const Token& token) {
    return token.kind == Kind::name && std::find(keywords.begin(), keywords.end(), token.text) != keywords.end();
}

std::string shown(const Token& token) {
    switch (token.kind) {
        case Kind::end: return "the end of the file";
        case Kind::newline: return "the end of the line";
        case Kind::string: return "a string";
        default: return "'" + token.text.substr(0, 40) + "'";
    }
}

/// Counts one level of nesting while it lives.
class Deeper {
    size_t& depth_;

public:
    explicit Deeper(size_t& depth) : depth_(depth) { ++depth_; }
    ~Deeper() { --depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;
};

}  // namespace

const Value* Variables::find(std::string_view name) const {
    for (const auto& [key, value] : items_) {
        if (key == name) return &value;
    }
    return nullptr;
}

void Variables::set(std::string_view name, Value value) {
    for (auto& [key, old] : items_) {
        if (key == name) {
            old = std::move(value);
            return;
        }
    }
    items_.emplace_back(name, std::move(value));
}

Outcome<> Evaluator::step() {
    token_ = OTRY(lexer_.next());
    return base::ok;
}

base::Failure Evaluator::unexpected(const std::string& wanted) const {
    return fail_at(file_, token_.where, wanted + " expected, but here is " + shown(token_));
}

base::Failure Evaluator::program(const Token& at, const std::string& what) const {
    return fail_at(file_, at.where,
                   what + ": this file is a Python program, which is not supported here; only plain assignments are",
                   Errc::nosys);
}

Outcome<> Evaluator::expect(std::string_view oper, const std::string& wanted) {
    if (!token_.is(oper)) return unexpected(wanted);
    return step();
}

/// Accounts for a value made; the sum is what bounds memory and time.
Outcome<> Evaluator::charge(const Value& value) {
    made_ += value.weight();
    if (const auto* s = value.as<std::string>()) text_ += s->size();
    if (made_ > limits_.values || text_ > limits_.bytes) {
        return fail_at(file_, value.where, "the file makes more values than is allowed", Errc::toobig);
    }
    return base::ok;
}

Outcome<> Evaluator::run() {
    OTRY(step());
    while (token_.kind != Kind::end) {
        if (token_.kind == Kind::newline || token_.is(";")) {
            OTRY(step());
        } else {
            OTRY(statement());
        }
    }
    return base::ok;
}

Outcome<Value> Evaluator::single() {
    OTRY(step());
    Value value = OTRY(sum());
    if (token_.kind == Kind::newline) OTRY(step());
    if (token_.kind != Kind::end) return unexpected("the end of the value");
    return value;
}

Outcome<> Evaluator::statement() {
    if (token_.kind == Kind::string) {
        OTRY(sum());  // a documentation string
    } else if (token_.kind == Kind::name && token_.text == "pass") {
        OTRY(step());
    } else if (is_keyword(token_) || token_.is("@")) {
        return program(token_, shown(token_));
    } else if (token_.kind == Kind::name) {
        OTRY(assignment());
    } else {
        return unexpected("an assignment NAME = VALUE");
    }
    if (token_.kind == Kind::newline || token_.kind == Kind::end || token_.is(";")) return base::ok;
    return unexpected("the end of the line");
}

Outcome<> Evaluator::assignment() {
    std::vector<std::string> targets;
    for (;;) {
        const Token name = token_;
        OTRY(step());
        if (token_.is("(") || token_.is(".")) return program(token_, "a call or an attribute of '" + name.text + "'");
        if (token_.is("[")) return program(token_, "an assignment into '" + name.text + "'");
        if (token_.kind == Kind::op && token_.text.size() == 2 && token_.text[1] == '=' &&
            std::string_view("+-*/%").find(token_.text[0]) != std::string_view::npos) {
            const std::string oper = token_.text.substr(0, 1);
            const Value* old = variables_.find(name.text);
            if (old == nullptr) return fail_at(file_, name.where, "'" + name.text + "' has no value yet");
            Value left = *old;
            OTRY(step());
            Value right = OTRY(sum());
            variables_.set(name.text, OTRY(combine(oper, std::move(left), std::move(right), name.where)));
            return base::ok;
        }
        if (!token_.is("=")) return unexpected("'=' after '" + name.text.substr(0, 60) + "'");
        targets.push_back(name.text);
        OTRY(step());
        if (token_.kind != Kind::name || is_keyword(token_)) break;
        // `a = b = 1` or `a = b`: only the token behind the name tells.
        const Lexer saved = lexer_;
        const Token here = token_;
        OTRY(step());
        const bool chained = token_.is("=");
        lexer_ = saved;
        token_ = here;
        if (!chained) break;
        if (targets.size() > limits_.depth) return fail_at(file_, here.where, "too many targets", Errc::toobig);
    }
    Value value = OTRY(sum());
    if (token_.is(",")) {  // a, b, c without brackets is a tuple
        Value::Tuple tuple;
        tuple.items.push_back(std::move(value));
        while (token_.is(",")) {
            OTRY(step());
            if (token_.kind == Kind::newline || token_.kind == Kind::end) break;
            tuple.items.push_back(OTRY(sum()));
        }
        value = Value{std::move(tuple), token_.where};
    }
    for (const std::string& target : targets) {
        OTRY(charge(value));
        variables_.set(target, value);
    }
    return base::ok;
}

Outcome<Value> Evaluator::sum() {
    const Deeper deeper(depth_);
    if (depth_ > limits_.depth) return fail_at(file_, token_.where, "brackets are nested too deeply", Errc::toobig);
    Value left = OTRY(product());
    while (token_.is("+") || token_.is("-")) {
        const Token oper = token_;
        OTRY(step());
        Value right = OTRY(product());
        left = OTRY(combine(oper.text, std::move(left), std::move(right), oper.where));
    }
    if (token_.is("==") || token_.is("!=") || token_.is("<") || token_.is(">") || token_.is("<=") || token_.is(">=")) {
        return program(token_, "a comparison");
    }
    if (is_keyword(token_)) return program(token_, shown(token_));
    return left;
}

Outcome<Value> Evaluator::product() {
    Value left = OTRY(unary());
    while (token_.is("*") || token_.is("/") || token_.is("%") || token_.is("//")) {
        const Token oper = token_;
        OTRY(step());
        Value right = OTRY(unary());
        left = OTRY(combine(oper.text, std::move(left), std::move(right), oper.where));
    }
    return left;
}

Outcome<Value> Evaluator::unary() {
    bool negative = false;
    const Position where = token_.where;
    while (token_.is("-") || token_.is("+")) {
        negative = negative != token_.is("-");
        OTRY(step());
    }
    Value value = OTRY(postfix());
    if (!negative) return value;
    Value zero{int64_t{0}, where};
    return combine("-", std::move(zero), std::move(value), where);
}

Outcome<Value> Evaluator::postfix() {
    Value value = OTRY(primary());
    for (;;) {
        if (token_.is("(")) return program(token_, "a function call");
        if (token_.is(".")) return program(token_, "an attribute");
        if (!token_.is("[")) return value;
        const Position where = token_.where;
        OTRY(step());
        const Value index = OTRY(sum());
        if (token_.is(":")) return program(token_, "a slice");
        OTRY(expect("]", "']'"));
        const auto* list = value.as<Value::List>();
        if (const auto* tuple = value.as<Value::Tuple>()) list = &tuple->items;
        const auto* at = index.as<int64_t>();
        if (list == nullptr || at == nullptr) return fail_at(file_, where, "only a list has elements by number");
        const auto size = static_cast<int64_t>(list->size());
        const int64_t i = *at < 0 ? *at + size : *at;
        if (i < 0 || i >= size) return fail_at(file_, where, "the list has no element " + std::to_string(*at));
        Value element = (*list)[static_cast<size_t>(i)];
        OTRY(charge(element));
        value = std::move(element);
    }
}

Outcome<Value> Evaluator::primary() {
    const Token token = token_;
    switch (token.kind) {
        case Kind::string: return strings();
        case Kind::name: return named();
        case Kind::integer:
        case Kind::real: {
            Value value{token.integer, token.where};
            if (token.kind == Kind::real) value.data = token.real;
            OTRY(charge(value));
            OTRY(step());
            return value;
        }
        default: break;
    }
    bool comma = false;
    if (token.is("[")) {
        OTRY(step());
        return items(token.where, "]", comma);
    }
    if (token.is("{")) {
        OTRY(step());
        return dict(token.where);
    }
    if (token.is("(")) {
        OTRY(step());
        Value value = OTRY(items(token.where, ")", comma));
        auto& list = std::get<Value::List>(value.data);
        if (list.size() == 1 && !comma) return std::move(list.front());
        Value::Tuple tuple{std::move(list)};
        value.data = std::move(tuple);
        return value;
    }
    return unexpected("a value");
}

Outcome<Value> Evaluator::named() {
    const Token name = token_;
    if (is_keyword(name)) return program(name, shown(name));
    OTRY(step());
    Value value{Value::None{}, name.where};
    if (name.text == "None") return value;
    if (name.text == "True" || name.text == "False") {
        value.data = name.text == "True";
        return value;
    }
    if (token_.is("(")) return program(token_, "a call of '" + name.text.substr(0, 60) + "'");
    const Value* known = variables_.find(name.text);
    if (known == nullptr && token_.is(".")) return program(token_, "an attribute of '" + name.text.substr(0, 60) + "'");
    if (known == nullptr)
        return fail_at(file_, name.where, "'" + name.text.substr(0, 60) + "' has no value; a text needs quotes");
    value.data = known->data;
    OTRY(charge(value));
    return value;
}

/// Adjacent string literals are one string.
Outcome<Value> Evaluator::strings() {
    Value value{std::string(), token_.where};
    auto& text = std::get<std::string>(value.data);
    while (token_.kind == Kind::string) {
        text += token_.text;
        OTRY(step());
    }
    OTRY(charge(value));
    return value;
}

/// Elements up to `close`; `comma` tells whether there was one (a one-element tuple has one).
Outcome<Value> Evaluator::items(Position where, std::string_view close, bool& comma) {
    Value value{Value::List{}, where};
    auto& list = std::get<Value::List>(value.data);
    while (!token_.is(close)) {
        if (token_.kind == Kind::end) return fail_at(file_, where, "the bracket that opens here is never closed");
        list.push_back(OTRY(sum()));
        OTRY(charge(Value{}));
        if (token_.is(",")) {
            comma = true;
            OTRY(step());
        } else if (!token_.is(close)) {
            if (token_.kind == Kind::end) return fail_at(file_, where, "the bracket that opens here is never closed");
            return unexpected("',' or '" + std::string(close) + "'");
        }
    }
    OTRY(step());
    return value;
}

Outcome<Value> Evaluator::dict(Position where) {
    Value value{Value::Dict{}, where};
    auto& dict = std::get<Value::Dict>(value.data);
    while (!token_.is("}")) {
        if (token_.kind == Kind::end) return fail_at(file_, where, "the bracket that opens here is never closed");
        Value key = OTRY(sum());
        OTRY(expect(":", "':'"));
        Value item = OTRY(sum());
        OTRY(charge(Value{}));
        dict.keys.push_back(std::move(key));
        dict.values.push_back(std::move(item));
        if (token_.is(",")) {
            OTRY(step());
        } else if (!token_.is("}")) {
            return unexpected("',' or '}'");
        }
    }
    OTRY(step());
    return value;
}

Outcome<Value> Evaluator::combine(std::string_view oper, Value left, Value right, Position where) {
    Value out{Value::None{}, where};
    const auto* text = left.as<std::string>();
    if (oper == "%" && text != nullptr) {
        Outcome<std::string> made = format_percent(*text, right);
        if (!made) return fail_at(file_, where, made.failure().text);
        out.data = std::move(made).take();
    } else if (oper == "+" && text != nullptr && right.as<std::string>() != nullptr) {
        out.data = *text + *right.as<std::string>();
    } else if (oper == "+" && left.as<Value::List>() != nullptr && right.as<Value::List>() != nullptr) {
        auto list = std::move(std::get<Value::List>(left.data));
        auto& more = std::get<Value::List>(right.data);
        std::move(more.begin(), more.end(), std::back_inserter(list));
        out.data = std::move(list);
    } else if (oper == "*" && right.as<int64_t>() != nullptr && left.data.index() >= 4) {
        out = OTRY(repeat(left, *right.as<int64_t>(), where));
    } else {
        out = OTRY(arithmetic(oper, left, right, where));
    }
    OTRY(charge(out));
    return out;
}

Outcome<Value> Evaluator::repeat(const Value& sequence, int64_t times, Position where) {
    const auto count = static_cast<size_t>(std::max<int64_t>(times, 0));
    const size_t weight = sequence.weight();
    if (count > limits_.values / weight) return fail_at(file_, where, "the repetition is too long", Errc::toobig);
    Value out{Value::None{}, where};
    if (const auto* s = sequence.as<std::string>()) {
        std::string text;
        for (size_t i = 0; i < count; ++i) text += *s;
        out.data = std::move(text);
    } else if (const auto* l = sequence.as<Value::List>()) {
        Value::List list;
        for (size_t i = 0; i < count; ++i) list.insert(list.end(), l->begin(), l->end());
        out.data = std::move(list);
    } else {
        return fail_at(file_, where, "a " + std::string(sequence.kind()) + " cannot be repeated");
    }
    return out;
}

Outcome<Value> Evaluator::arithmetic(std::string_view oper, const Value& left, const Value& right, Position where) {
    const auto* a = left.as<int64_t>();
    const auto* b = right.as<int64_t>();
    const bool numbers = (a != nullptr || left.as<double>() != nullptr) && (b != nullptr || right.as<double>() != nullptr);
    if (!numbers) {
        return fail_at(file_, where,
                       "'" + std::string(oper) + "' does not work between " + std::string(left.kind()) + " and " +
                           std::string(right.kind()));
    }
    const bool divides = oper == "/" || oper == "//" || oper == "%";
    if (a != nullptr && b != nullptr) {
        int64_t out = 0;
        bool overflow = false;
        if (oper == "+") overflow = __builtin_add_overflow(*a, *b, &out);
        if (oper == "-") overflow = __builtin_sub_overflow(*a, *b, &out);
        if (oper == "*") overflow = __builtin_mul_overflow(*a, *b, &out);
        if (divides) {
            if (*b == 0) return fail_at(file_, where, "a division by zero");
            overflow = *b == -1;  // the one quotient that does not fit; the rest follows from negation
            if (!overflow) {
                const int64_t quotient = *a / *b, rest = *a % *b;
                const bool floor = rest != 0 && ((rest < 0) != (*b < 0));  // Python rounds down
                out = oper == "%" ? rest + (floor ? *b : 0) : quotient - (floor ? 1 : 0);
            } else if (*a != INT64_MIN) {
                overflow = false;
                out = oper == "%" ? 0 : -*a;
            }
        }
        if (overflow) return fail_at(file_, where, "the number is too large");
        return Value{out, where};
    }
    const double x = a != nullptr ? static_cast<double>(*a) : *left.as<double>();
    const double y = b != nullptr ? static_cast<double>(*b) : *right.as<double>();
    if (oper == "+") return Value{x + y, where};
    if (oper == "-") return Value{x - y, where};
    if (oper == "*") return Value{x * y, where};
    if (oper == "/" && y != 0) return Value{x / y, where};
    return fail_at(file_, where, "'" + std::string(oper) + "' does not work between these numbers");
}

Outcome<Variables> evaluate(std::string_view text, const std::string& file, const Variables& preset, const Limits& limits) {
    if (text.size() > limits.bytes) {
        return base::fail(Errc::toobig, file + ": the file has more than " + std::to_string(limits.bytes) + " bytes");
    }
    Variables variables = preset;
    Evaluator evaluator(text, file, limits, variables);
    OTRY(evaluator.run());
    return variables;
}

Outcome<Value> evaluate_expression(std::string_view text, const std::string& file, const Limits& limits) {
    if (text.size() > limits.bytes) return base::fail(Errc::toobig, file + ": the value is too long");
    Variables none;
    Evaluator evaluator(text, file, limits, none);
    return evaluator.single();
}

}  // namespace config
