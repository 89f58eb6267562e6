// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/rest/server.hpp"

#include <algorithm>

#include "toolstack/service/caught.hpp"
#include "toolstack/xend/rest/etag.hpp"

namespace xend::rest {

using base::Outcome;

namespace {

constexpr std::chrono::milliseconds between_looks{1000};

bool is_key(const std::string& key) {
    return key.size() <= 200 && std::ranges::all_of(key, [](char c) { return c > ' ' && c <= '~'; });
}

}  // namespace

Server::Server(Manager& manager, Clock& clock, Dispatcher& dispatcher, service::EventLoop& loop, std::function<void()> poke,
               JobJournal* journal)
    : loop_(loop),
      dispatcher_(dispatcher),
      events_(config::Uuid::random().text().substr(0, 8), std::move(poke)),
      jobs_([&clock] { return clock.unix_seconds(); },
            [this](const Job& job) {
                events_.push("job", {{"job", job_json(job)}});
            },
            journal),
      watch_(manager, clock, jobs_, events_),
      context_{manager, clock, jobs_, watch_} {
    dispatcher.on_change([this] { changed(); });
}

void Server::start() {
    loop_.after(between_looks, [this] {
        changed();
        start();
    });
}

void Server::changed() {
    if (!watch_.wanted() || looking_.exchange(true)) return;
    dispatcher_.look([this] {
        looking_ = false;  // what changes from here on wants another look
        static_cast<void>(service::caught([this]() -> Outcome<> {
            watch_.glance();
            return base::ok;
        }));
    });
}

void Server::handle(const HttpRequest& request, Done done) {
    dispatcher_.look([this, request, done = std::move(done)] {
        const auto reply = service::caught([&] { return Outcome<Reply>(answer(request)); });
        done(reply ? *reply : problem_reply({500, reply.failure().text}));
    });
}

Reply Server::answer(const HttpRequest& request) {
    if (request.target.substr(0, request.target.find('?')) == root + std::string(events_path)) return listen(request);
    const Route* route = nullptr;
    Reply refusal;
    auto call = judge(request, route, refusal);
    if (!call) return refusal;
    return route->change != nullptr ? begin(*route, std::move(*call), request) : look(*route, *call, request.if_none_match);
}

Reply Server::look(const Route& route, const Call& call, const std::string& if_none_match) {
    const auto found = route.look(context_, call);
    if (!found) return problem_reply(problem_of(found.failure()));
    Reply reply{200, "application/json", {}, print_json(*found) + "\n"};
    if (route.verb != Verb::get) return reply;
    const std::string etag = etag_of(reply.body);
    if (names_etag(if_none_match, etag, Compare::weak)) reply = {304, "application/json", {}, {}};
    reply.fields = {{"ETag", etag}, {"Cache-Control", "no-cache"}};
    return reply;
}

/// Who is told of a job knows that it was asked for: what is wrong with it before is said at once.
Reply Server::begin(const Route& route, Call call, const HttpRequest& request) {
    if (!is_key(request.idempotency_key))
        return problem_reply({400, "Idempotency-Key: at most 200 characters without blanks are wanted", "Idempotency-Key"});
    const Jobs::Key key{request.idempotency_key,
                        request.idempotency_key.empty()
                            ? ""
                            : etag_of(request.method + " " + request.target + "\n" + request.if_match + "\n" + request.body)};
    // A change that this key has made may have made it impossible to make it again.
    if (const auto before = jobs_.begun(key); before) return accepted(*before);
    const auto target = route.change->prepare(context_, call);
    if (!target) return problem_reply(problem_of(target.failure()));
    const auto begun = jobs_.begin(std::string(route.operation), target->name, key);
    if (!begun) {
        const bool full = begun.failure().code == base::Errc::again;
        return problem_reply({full ? 429 : 422, begun.failure().text, full ? "" : "Idempotency-Key"});
    }
    if (begun->again) return accepted(begun->job);
    call.job = begun->job.id;
    if (route.change->stop != nullptr)
        jobs_.stoppable(call.job, [this, &route, call] { return route.change->stop(context_, call); });
    dispatcher_.post(target->lane, [this, &route, call] { run(route, call); });
    return accepted(begun->job);
}

Reply Server::accepted(const Job& job) {
    return {202, "application/json", root + ("/jobs/" + job.id), print_json(job_json(job)) + "\n"};
}

void Server::run(const Route& route, const Call& call) {
    if (!jobs_.start(call.job)) return;
    const auto done = service::caught([&] { return act(route, call); });
    if (!done) jobs_.fail(call.job, problem_of(done.failure()));
    else if (!done->is_null()) jobs_.succeed(call.job, *done);
}

/// The domain may have become another one while the job waited.
Outcome<Json> Server::act(const Route& route, const Call& call) {
    if (!call.if_match.empty()) {
        const DomainView view = OTRY(context_.manager.find(call.words[0]));
        OTRY(check_match(view, call.if_match));
    }
    return route.change->act(context_, call);
}

Reply Server::listen(const HttpRequest& request) {
    if (!request.get) {
        Reply reply = problem_reply({405, "Only GET is understood here"});
        reply.fields.emplace_back("Allow", "GET");
        return reply;
    }
    if (request.target.find('?') != std::string::npos) return problem_reply({400, "Invalid query: there are no parameters here"});
    watch_.listen();
    Reply reply{200, "text/event-stream", {}, {}};
    reply.fields = {{"Cache-Control", "no-store"}};
    reply.feed = events_.subscribe(request.last_event_id);
    if (!reply.feed) return problem_reply({429, "As many as may listen at once do so already"});
    return reply;
}

}  // namespace xend::rest
