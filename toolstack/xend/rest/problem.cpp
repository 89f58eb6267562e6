// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/rest/problem.hpp"

#include <algorithm>

namespace xend::rest {

using base::Errc;

namespace {

constexpr auto all_titles = std::to_array<Title>({
    {400, "malformed", "The request is not what the description says"},
    {403, "forbidden", "This may not be done"},
    {404, "not-found", "There is no such thing"},
    {405, "method", "This method is not understood here"},
    {409, "conflict", "Something else is in the way"},
    {412, "precondition", "It is not as it was thought to be"},
    {413, "too-large", "The request is too large"},
    {415, "media-type", "The body is of another type than is understood"},
    {422, "refused", "It makes no sense here"},
    {429, "too-many", "There are too many of these at once"},
    {500, "internal", "It did not succeed"},
    {501, "unsupported", "This is not supported"},
    {503, "unavailable", "It cannot be done now"},
    {504, "timeout", "It took too long"},
});

struct Kind {
    Errc code;
    int status;
};
constexpr auto kinds = std::to_array<Kind>({
    {Errc::noent, 404},
    {Errc::srch, 404},
    {Errc::nodev, 404},
    {Errc::exist, 409},
    {Errc::busy, 409},
    {Errc::perm, 403},
    {Errc::access, 403},
    {Errc::inval, 422},
    {Errc::range, 422},
    {Errc::nametoolong, 422},
    {Errc::toobig, 413},
    {Errc::nosys, 501},
    {Errc::opnotsupp, 501},
    {Errc::again, 503},
    {Errc::nomem, 503},
    {Errc::nospc, 503},
    {Errc::timedout, 504},
    {Errc::time, 412},
});

constexpr auto problem_members = std::to_array<Member>({
    {"type", a_text, Need::wanted, "urn:xenolith:problem: and a word for each status"},
    {"title", a_text},
    {"status", a_number},
    {"detail", a_text, Need::wanted, "One line: what is wrong, where, and what to do. xm prints the same."},
    {"field", a_text, Need::optional, "Where in the request: a JSON pointer into its body, or a field's or parameter's name"},
});

/// What somebody has sent stands in it.
std::string one_line(std::string text) {
    std::ranges::replace_if(
        text, [](char c) { return c >= 0 && c < ' '; }, ' ');
    return text;
}

}  // namespace

constexpr Schema problem_schema{.kind = Schema::Kind::object, .name = "Problem", .what = "RFC 9457", .members = problem_members};

std::span<const Title> titles() { return all_titles; }

int status_of(Errc code) {
    const auto at = std::ranges::find(kinds, code, &Kind::code);
    return at == kinds.end() ? 500 : at->status;
}

Json problem_json(const Problem& problem) {
    const auto at = std::ranges::find(all_titles, problem.status, &Title::status);
    const Title& title = at == all_titles.end() ? all_titles[10] : *at;
    Json out{{"type", "urn:xenolith:problem:" + std::string(title.type)},
             {"title", title.title},
             {"status", title.status},
             {"detail", one_line(problem.detail)}};
    if (!problem.field.empty()) out["field"] = one_line(problem.field);
    return out;
}

Reply problem_reply(const Problem& problem) {
    Json body = problem_json(problem);
    return {body["status"].get<int>(), problem_type, {}, print_json(body) + "\n"};
}

}  // namespace xend::rest
