// SPDX-License-Identifier: Apache-2.0
/// S-expressions, the data format of xend: atoms and lists, nothing else. Hosted.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lib/base/outcome.hpp"

namespace proto {

/// An atom (any bytes) or a list of values.
class Sxp {
public:
    using List = std::vector<Sxp>;

    /// The empty list.
    Sxp() : value_(List{}) {}
    static Sxp atom(std::string text) { return Sxp(std::move(text)); }
    static Sxp list(List items = {}) { return Sxp(std::move(items)); }
    /// (name)
    static Sxp named(std::string name) { return list({atom(std::move(name))}); }
    /// (name value)
    static Sxp pair(std::string name, std::string value) { return pair(std::move(name), atom(std::move(value))); }
    static Sxp pair(std::string name, Sxp value) {
        List items;
        items.reserve(2);
        items.push_back(atom(std::move(name)));
        items.push_back(std::move(value));
        return list(std::move(items));
    }

    bool is_atom() const { return value_.index() == 0; }
    bool is_list() const { return value_.index() == 1; }

    /// The characters of an atom; empty for a list.
    const std::string& text() const;
    /// The items of a list; empty for an atom.
    const List& items() const;
    /// Only for a list.
    List& items() { return std::get<List>(value_); }

    /// The atom at the head of a list (what kind of element it is); empty when there is none.
    std::string_view name() const;
    /// The items after the name and the attribute list.
    std::vector<const Sxp*> children() const;
    /// The first child list with this name, or null.
    const Sxp* child(std::string_view name) const;
    Sxp* child(std::string_view name);
    /// Every child list with this name.
    std::vector<const Sxp*> children(std::string_view name) const;
    /// The first child list `(name … (id ID) …)`, or null.
    const Sxp* child_with_id(std::string_view name, std::string_view key, std::string_view id) const;
    /// V of `(name V)`: for this value itself. Empty for `(name)`; nothing when V is a list or there are several.
    std::optional<std::string> value() const;
    /// V of a child `(name V)`; see value().
    std::optional<std::string> child_value(std::string_view name) const;
    std::string child_value(std::string_view name, std::string_view otherwise) const;
    /// Attribute K of `(name (@ (K V) …) …)`.
    std::optional<std::string> attribute(std::string_view key) const;

    /// Appends to a list; returns *this so that calls chain.
    Sxp& add(Sxp item);
    Sxp& add(std::string name, std::string value) { return add(pair(std::move(name), std::move(value))); }
    /// Replaces the first child of that name, or appends.
    Sxp& set(std::string name, std::string value);
    /// Removes every child list of that name; returns how many.
    std::size_t remove(std::string_view name);

    bool operator==(const Sxp&) const = default;

private:
    explicit Sxp(std::string text) : value_(std::move(text)) {}
    explicit Sxp(List items) : value_(std::move(items)) {}

    std::variant<std::string, List> value_;
};

/// What a parser accepts before it gives up on its peer.
struct SxpLimits {
    std::size_t depth = 64;
    std::size_t values = 200'000;         ///< atoms and lists in one top-level value
    std::size_t bytes = 4 * 1024 * 1024;  ///< input characters of one top-level value
};

/// Incremental parser: feed bytes as they come, take whole values. After an error it stays failed.
class SxpParser {
public:
    explicit SxpParser(SxpLimits limits = {}) : limits_(limits) {}

    /// Consumes bytes. Errors: inval with "Syntax error at line L, column C: …"; toobig when a limit is exceeded.
    base::Outcome<> feed(std::string_view bytes);
    /// Tells that no more bytes follow. Errors: inval when a list or a string is open.
    base::Outcome<> finish();
    /// Ctrl-D was read: the peer ended its transmission. Bytes after it are ignored.
    bool ended() const { return ended_; }
    bool has_value() const { return next_ < done_.size(); }
    /// The next whole top-level value. Only when has_value().
    Sxp take();

private:
    enum class State { blank, comment, atom, string, escape, hex, octal };

    // These are false when the input is refused; failed_ says why.
    bool step(char c);
    bool in_blank(char c);
    bool in_string(char c);
    bool in_escape(char c);
    bool in_number(char c);
    std::size_t take_plain(std::string_view bytes);
    bool complete(Sxp&& value);
    bool end_atom();
    bool open_list();
    bool close_list();
    bool syntax(const std::string& what);
    bool too_big(const std::string& what);

    SxpLimits limits_;
    State state_ = State::blank;
    char quote_ = 0;
    int digits_ = 0;
    unsigned code_ = 0;
    std::string token_;
    std::vector<Sxp::List> open_;
    std::vector<Sxp> done_;
    std::size_t next_ = 0;
    std::size_t values_ = 0;
    std::size_t bytes_ = 0;
    std::size_t line_ = 1;
    std::size_t column_ = 0;
    bool ended_ = false;
    std::optional<base::Failure> failed_;
};

/// Parses a whole text. Errors: as SxpParser.
base::Outcome<std::vector<Sxp>> parse_sxp_all(std::string_view text, SxpLimits limits = {});

/// Parses a text that must hold exactly one value. Errors: as SxpParser, and inval for none or several.
base::Outcome<Sxp> parse_sxp(std::string_view text, SxpLimits limits = {});

/// On one line: what programs read. Atoms are quoted when they need it; parse_sxp gives the same value back.
std::string to_string(const Sxp& value);

/// Writes the same text without making a value first: for answers that have an entry for each domain.
class SxpWriter {
public:
    /// Begins a list, in the one that is open.
    void open();
    void close();
    void atom(std::string_view text);
    /// (name value)
    void pair(std::string_view name, std::string_view value);
    void add(const Sxp& value);
    std::string take() { return std::move(out_); }

private:
    void separate();
    std::string out_;
};

/// For people: broken at about 80 columns, four spaces of indent, no newline at the end.
std::string to_pretty_string(const Sxp& value, std::size_t width = 80);

}  // namespace proto
