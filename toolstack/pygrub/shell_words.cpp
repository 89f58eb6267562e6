// SPDX-License-Identifier: Apache-2.0
#include "toolstack/pygrub/shell_words.hpp"

namespace pygrub {

using base::Errc;
using base::Outcome;

namespace {

constexpr size_t most_tokens = 200'000;

bool is_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

class Splitter {
public:
    explicit Splitter(std::string_view text) : rest_(text) {}

    Outcome<std::vector<Token>> run() {
        while (!rest_.empty()) {
            OTRY(one(rest_.front()));
            if (out_.size() > most_tokens) return base::fail(Errc::toobig, "it has too many words");
        }
        end_command();
        return std::move(out_);
    }

private:
    base::Failure wrong(const char* what) const { return base::fail(Errc::inval, std::to_string(line_) + ": " + what); }

    char take() {
        const char c = rest_.front();
        rest_.remove_prefix(1);
        if (c == '\n') ++line_;
        return c;
    }

    void end_word() {
        if (!word_.segments.empty()) out_.push_back(std::move(word_));
        word_ = Token{};
    }

    void end_command() {
        end_word();
        if (!out_.empty() && out_.back().kind == Token::Kind::word) out_.push_back({Token::Kind::end_of_command, {}, line_});
    }

    Segment& segment(bool is_variable, bool is_quoted) {
        word_.line = line_;
        auto& all = word_.segments;
        if (is_variable || all.empty() || all.back().is_variable || all.back().is_quoted != is_quoted) {
            all.push_back({{}, is_variable, is_quoted});
        }
        return all.back();
    }

    Outcome<> one(char c) {
        switch (c) {
            case '\n':
            case ';':
                end_command();
                take();
                return base::ok;
            case ' ':
            case '\t':
            case '\r':
                end_word();
                take();
                return base::ok;
            case '#':
                if (!word_.segments.empty()) break;
                while (!rest_.empty() && rest_.front() != '\n') take();
                return base::ok;
            case '\'': return single_quotes();
            case '"': return double_quotes();
            case '$': take(); return variable(false);
            case '\\':
                take();
                if (rest_.empty()) return base::ok;
                if (rest_.front() == '\n') take();
                else segment(false, false).text += take();
                return base::ok;
            default: break;
        }
        segment(false, false).text += take();
        return base::ok;
    }

    Outcome<> single_quotes() {
        take();
        Segment& quoted = segment(false, true);
        while (!rest_.empty() && rest_.front() != '\'') quoted.text += take();
        if (rest_.empty()) return wrong("a quote is not closed");
        take();
        return base::ok;
    }

    Outcome<> double_quotes() {
        take();
        segment(false, true);
        while (!rest_.empty() && rest_.front() != '"') {
            const char c = take();
            if (c == '$') {
                OTRY(variable(true));
            } else if (c == '\\' && !rest_.empty() && std::string_view("\\\"$\n").find(rest_.front()) != std::string_view::npos) {
                if (const char escaped = take(); escaped != '\n') segment(false, true).text += escaped;
            } else {
                segment(false, true).text += c;
            }
        }
        if (rest_.empty()) return wrong("a quote is not closed");
        take();
        return base::ok;
    }

    /// Behind the dollar sign.
    Outcome<> variable(bool is_quoted) {
        const bool braces = rest_.starts_with('{');
        if (braces) take();
        std::string name;
        if (rest_.starts_with('?') || rest_.starts_with('@') || rest_.starts_with('*') || rest_.starts_with('#')) name += take();
        while (name.size() < 256 && !rest_.empty() && is_name(rest_.front())) name += take();
        if (braces && (rest_.empty() || take() != '}')) return wrong("'${' is not closed");
        if (name.empty()) segment(false, is_quoted).text += '$';
        else segment(true, is_quoted).text = name;
        return base::ok;
    }

    std::string_view rest_;
    uint32_t line_ = 1;
    Token word_;
    std::vector<Token> out_;
};

}  // namespace

Outcome<std::vector<Token>> split_script(std::string_view text) { return Splitter(text).run(); }

}  // namespace pygrub
