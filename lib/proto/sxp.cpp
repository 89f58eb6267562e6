// SPDX-License-Identifier: Apache-2.0
#include "lib/proto/sxp.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace proto {

namespace {

const std::string no_text;
const Sxp::List no_items;

constexpr bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// Characters that end an atom and are atoms of their own (parentheses and quotes apart, which mean something).
constexpr bool is_separator(char c) { return std::string_view("{}<>[]!;").find(c) != std::string_view::npos; }

constexpr bool ends_atom(char c) {
    return is_blank(c) || is_separator(c) || c == '(' || c == ')' || c == '"' || c == '\'' || c == '\x04';
}

/// By character, because every byte of an answer asks: a table is a tenth of the comparisons.
constexpr std::array<bool, 256> table_of(bool (*holds)(char)) {
    std::array<bool, 256> out{};
    for (std::size_t c = 0; c < out.size(); ++c) out[c] = holds(static_cast<char>(c));
    return out;
}
constexpr auto atom_ends = table_of(ends_atom);

/// Digit value of a hexadecimal character, or -1.
int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/// The character that `\c` stands for; nothing when it is no simple escape.
std::optional<char> simple_escape(char c) {
    switch (c) {
        case 'a': return '\a';
        case 'b': return '\b';
        case 't': return '\t';
        case 'n': return '\n';
        case 'v': return '\v';
        case 'f': return '\f';
        case 'r': return '\r';
        case '\\':
        case '\'':
        case '"': return c;
        default: return std::nullopt;
    }
}

bool is_attribute_list(const Sxp& item) { return item.is_list() && item.name() == "@"; }

}  // namespace

const std::string& Sxp::text() const { return is_atom() ? std::get<std::string>(value_) : no_text; }

const Sxp::List& Sxp::items() const { return is_list() ? std::get<List>(value_) : no_items; }

std::string_view Sxp::name() const {
    const List& list = items();
    return list.empty() ? std::string_view{} : std::string_view{list.front().text()};
}

std::vector<const Sxp*> Sxp::children() const {
    std::vector<const Sxp*> out;
    const List& list = items();
    for (std::size_t i = 1; i < list.size(); ++i)
        if (i != 1 || !is_attribute_list(list[i])) out.push_back(&list[i]);
    return out;
}

const Sxp* Sxp::child(std::string_view wanted) const {
    const List& list = items();
    for (std::size_t i = 1; i < list.size(); ++i)
        if (list[i].is_list() && list[i].name() == wanted) return &list[i];
    return nullptr;
}

Sxp* Sxp::child(std::string_view wanted) { return const_cast<Sxp*>(std::as_const(*this).child(wanted)); }

std::vector<const Sxp*> Sxp::children(std::string_view wanted) const {
    std::vector<const Sxp*> out;
    for (const Sxp* item : children())
        if (item->is_list() && item->name() == wanted) out.push_back(item);
    return out;
}

const Sxp* Sxp::child_with_id(std::string_view wanted, std::string_view key, std::string_view id) const {
    for (const Sxp* item : children(wanted))
        if (item->child_value(key) == id) return item;
    return nullptr;
}

std::optional<std::string> Sxp::value() const {
    const List& list = items();
    const std::size_t first = list.size() > 1 && is_attribute_list(list[1]) ? 2 : 1;
    if (is_atom() || list.size() > first + 1) return std::nullopt;
    if (list.size() <= first) return std::string{};
    if (!list[first].is_atom()) return std::nullopt;
    return list[first].text();
}

std::optional<std::string> Sxp::child_value(std::string_view wanted) const {
    const Sxp* found = child(wanted);
    return found == nullptr ? std::nullopt : found->value();
}

std::string Sxp::child_value(std::string_view wanted, std::string_view otherwise) const {
    return child_value(wanted).value_or(std::string(otherwise));
}

std::optional<std::string> Sxp::attribute(std::string_view key) const {
    const List& list = items();
    if (list.size() < 2 || !is_attribute_list(list[1])) return std::nullopt;
    return list[1].child_value(key);
}

Sxp& Sxp::add(Sxp item) {
    items().push_back(std::move(item));
    return *this;
}

Sxp& Sxp::set(std::string wanted, std::string value) {
    Sxp replacement = pair(std::move(wanted), std::move(value));
    if (Sxp* found = child(replacement.name())) *found = std::move(replacement);
    else add(std::move(replacement));
    return *this;
}

std::size_t Sxp::remove(std::string_view wanted) {
    List& list = items();
    if (list.empty()) return 0;
    const auto end =
        std::remove_if(list.begin() + 1, list.end(), [&](const Sxp& item) { return item.is_list() && item.name() == wanted; });
    const auto removed = static_cast<std::size_t>(list.end() - end);
    list.erase(end, list.end());
    return removed;
}

base::Outcome<> SxpParser::feed(std::string_view bytes) {
    while (!bytes.empty() && !ended_) {
        if (failed_) return *failed_;
        bytes.remove_prefix(take_plain(bytes));
        if (bytes.empty()) break;
        const char c = bytes.front();
        bytes.remove_prefix(1);
        ++column_;
        if (!step(c)) return *failed_;
        if (c == '\n') {
            ++line_;
            column_ = 0;
        }
    }
    if (failed_) return *failed_;
    return base::Unit{};
}

/// Takes the characters that only make the token longer; returns how many.
std::size_t SxpParser::take_plain(std::string_view bytes) {
    if (state_ != State::atom && state_ != State::string) return 0;
    bytes = bytes.substr(0, limits_.bytes - std::min(bytes_, limits_.bytes));
    const bool atom = state_ == State::atom;
    const auto stops = [&](char c) {
        return atom ? atom_ends[static_cast<unsigned char>(c)] : c == quote_ || c == '\\' || c == '\n';
    };
    const auto taken = static_cast<std::size_t>(std::ranges::find_if(bytes, stops) - bytes.begin());
    token_.append(bytes.substr(0, taken));
    bytes_ += taken;
    column_ += taken;
    return taken;
}

base::Outcome<> SxpParser::finish() {
    if (failed_) return *failed_;
    if (state_ == State::atom && !end_atom()) return *failed_;
    if (state_ != State::blank && state_ != State::comment) (void)syntax("the text ends inside a string");
    else if (!open_.empty()) (void)syntax("the text ends inside a list: ')' is missing");
    if (failed_) return *failed_;
    return base::Unit{};
}

Sxp SxpParser::take() {
    Sxp value = std::move(done_[next_++]);
    if (next_ == done_.size()) {
        done_.clear();
        next_ = 0;
    }
    return value;
}

bool SxpParser::step(char c) {
    if (++bytes_ > limits_.bytes) return too_big("more than " + std::to_string(limits_.bytes) + " characters");
    switch (state_) {
        case State::comment:
            if (c == '\n') state_ = State::blank;
            return true;
        case State::blank: return in_blank(c);
        case State::atom: return end_atom() && in_blank(c);  // take_plain() stops where it ends
        case State::string: return in_string(c);
        case State::escape: return in_escape(c);
        case State::hex:
        case State::octal: return in_number(c);
    }
    return true;
}

bool SxpParser::in_blank(char c) {
    if (is_blank(c)) return true;
    switch (c) {
        case '\x04':
            ended_ = true;
            if (!open_.empty()) return syntax("the transmission ends inside a list");
            return true;
        case '#': state_ = State::comment; return true;
        case '(': return open_list();
        case ')': return close_list();
        case '"':
        case '\'':
            quote_ = c;
            state_ = State::string;
            return true;
        default: break;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == '\x7f') return syntax("unexpected control character");
    if (is_separator(c)) return complete(Sxp::atom(std::string(1, c)));
    token_ = c;
    state_ = State::atom;
    return true;
}

bool SxpParser::in_string(char c) {
    if (c == '\\') {
        state_ = State::escape;
    } else if (c == quote_) {
        return end_atom();
    } else {
        token_ += c;
    }
    return true;
}

bool SxpParser::in_escape(char c) {
    state_ = State::string;
    if (const auto plain = simple_escape(c)) {
        token_ += *plain;
        return true;
    }
    digits_ = 0;
    code_ = 0;
    if (c == 'x') {
        state_ = State::hex;
        return true;
    }
    if (c >= '0' && c <= '7') {
        state_ = State::octal;
        return in_number(c);
    }
    return syntax(std::string("unknown escape \\") + c);
}

/// Two hexadecimal or three octal digits.
bool SxpParser::in_number(char c) {
    const bool hex = state_ == State::hex;
    const int digit = hex_digit(c);
    if (digit < 0 || (!hex && digit > 7)) return syntax("bad digit in an escape");
    code_ = code_ * (hex ? 16 : 8) + static_cast<unsigned>(digit);
    if (++digits_ < (hex ? 2 : 3)) return true;
    if (code_ > 0xff) return syntax("an octal escape above \\377");
    token_ += static_cast<char>(code_);
    state_ = State::string;
    return true;
}

bool SxpParser::end_atom() {
    state_ = State::blank;
    return complete(Sxp::atom(std::exchange(token_, {})));
}

bool SxpParser::open_list() {
    if (open_.size() >= limits_.depth) return too_big("lists nested deeper than " + std::to_string(limits_.depth));
    open_.emplace_back().reserve(2);  // most are (name value)
    return true;
}

bool SxpParser::close_list() {
    if (open_.empty()) return syntax("unexpected ')'");
    Sxp value = Sxp::list(std::move(open_.back()));
    open_.pop_back();
    return complete(std::move(value));
}

bool SxpParser::complete(Sxp&& value) {
    if (++values_ > limits_.values) return too_big("more than " + std::to_string(limits_.values) + " values");
    if (!open_.empty()) {
        open_.back().push_back(std::move(value));
        return true;
    }
    done_.push_back(std::move(value));
    values_ = 0;
    bytes_ = 0;
    return true;
}

bool SxpParser::syntax(const std::string& what) {
    failed_ = base::fail(base::Errc::inval,
                         "Syntax error at line " + std::to_string(line_) + ", column " + std::to_string(column_) + ": " + what);
    return false;
}

bool SxpParser::too_big(const std::string& what) {
    failed_ = base::fail(base::Errc::toobig,
                         "Input refused at line " + std::to_string(line_) + ", column " + std::to_string(column_) + ": " + what);
    return false;
}

base::Outcome<std::vector<Sxp>> parse_sxp_all(std::string_view text, SxpLimits limits) {
    SxpParser parser(limits);
    OTRY(parser.feed(text));
    OTRY(parser.finish());
    std::vector<Sxp> out;
    while (parser.has_value()) out.push_back(parser.take());
    return out;
}

base::Outcome<Sxp> parse_sxp(std::string_view text, SxpLimits limits) {
    std::vector<Sxp> all = OTRY(parse_sxp_all(text, limits));
    if (all.size() != 1) return base::fail(base::Errc::inval, "Expected one value, found " + std::to_string(all.size()));
    return std::move(all.front());
}

}  // namespace proto
