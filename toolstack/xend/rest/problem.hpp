// SPDX-License-Identifier: Apache-2.0
#pragma once

// What went wrong, as RFC 9457 has it: {"type", "title", "status", "detail"} and, of what was asked, "field".

#include "toolstack/xend/api.hpp"
#include "toolstack/xend/rest/schema.hpp"

namespace xend::rest {

inline constexpr const char* problem_type = "application/problem+json";

struct Problem {
    int status = 500;
    std::string detail;   // one line, the same that xm prints
    std::string field{};  // a JSON pointer into the body, or the name of a field of the request; empty: none
};

/// The status that says what kind of failure it is.
int status_of(base::Errc code);
inline Problem problem_of(const base::Failure& failure) { return {status_of(failure.code), failure.text}; }

Json problem_json(const Problem& problem);
Reply problem_reply(const Problem& problem);

extern const Schema problem_schema;

/// Every status that a problem may have, with its title.
struct Title {
    int status;
    std::string_view type, title;
};
std::span<const Title> titles();

}  // namespace xend::rest
