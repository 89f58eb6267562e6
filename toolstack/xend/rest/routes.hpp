// SPDX-License-Identifier: Apache-2.0
#pragma once

// The one table of what can be asked below /api/v1: routes.cpp. The router, the checks of requests and docs/openapi.json are made of it.

#include <map>
#include <vector>

#include "toolstack/xend/core/manager.hpp"
#include "toolstack/xend/rest/jobs.hpp"
#include "toolstack/xend/rest/schema.hpp"
#include "toolstack/xend/rest/watch.hpp"

namespace xend::rest {

inline constexpr const char* root = "/api/v1";
inline constexpr const char* events_path = "/events";  // the one that is not in the table: its answer goes on

/// What answers are made of, and changes made with.
struct Context {
    Manager& manager;
    Clock& clock;
    Jobs& jobs;
    Watch& watch;
};

/// A request that is what its route says.
struct Call {
    std::vector<std::string> words;  // of the path, for its {…}, in order
    std::map<std::string, std::string> query;
    Json body;
    std::string if_match;
    std::string job;  // that makes the change
};

enum class Verb : uint8_t { get, post, del };
inline constexpr std::array<std::string_view, 3> verb_names = {"GET", "POST", "DELETE"};

struct Parameter {
    std::string_view name;
    const Schema& schema;
    std::string_view what;
};

/// What a change is made to, and where it waits for its turn.
struct Target {
    std::string name;  // of the domain
    std::string lane;
};

/// How a change is made. All may block.
struct Change {
    const Schema& body;
    /// Before there is a job: whether it makes sense. The domain in the path becomes its uuid: its name may be another's by then.
    base::Outcome<Target> (*prepare)(Context&, Call&);
    /// What the job's result is; null: it waits for somebody, and Watch ends it.
    base::Outcome<Json> (*act)(Context&, const Call&);
    /// How to end it while it runs; null: not at all.
    base::Outcome<> (*stop)(Context&, const Call&) = nullptr;
};

struct Route {
    Verb verb;
    std::string_view path;  // below root; {word} stands for one that is asked for
    std::string_view operation;
    std::string_view what;
    const Schema* answer;  // null: any JSON
    /// May block. Null: it is a change.
    base::Outcome<Json> (*look)(Context&, const Call&);
    std::span<const Parameter> query = {};
    const Change* change = nullptr;  // the answer is its job
};

std::span<const Route> routes();

/// The routes of a path, and the words in it. `allowed`: the methods that there are when there is none for this one. Null: see there;
/// empty, it is nobody's path.
struct Found {
    const Route* route = nullptr;
    std::vector<std::string> words;
    std::string allowed;
};
/// `path`: below root, as it came, with its escapes. Nothing: an escape is malformed.
std::optional<Found> find_route(std::string_view method, std::string_view path);

/// Whether it is still as If-Match says. Errors: those of finding it; time: it is another one by now.
base::Outcome<> check_match(const DomainView& view, const std::string& if_match);

/// The description of all of it: OpenAPI 3.1.
Json openapi();

}  // namespace xend::rest
