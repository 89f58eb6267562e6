// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "toolstack/service/event_loop.hpp"
#include "toolstack/xend/rest/events.hpp"
#include "toolstack/xend/rest/problem.hpp"
#include "toolstack/xend/rest/routes.hpp"
#include "toolstack/xend/server/dispatcher.hpp"
#include "toolstack/xend/server/http_message.hpp"

namespace xend::rest {

/// Answers what is asked below /api/v1 by the table of routes. It must outlive the dispatcher's jobs.
class Server {
public:
    using Done = std::function<void(Reply)>;

    /// `poke`: those who listen are to be told; called in any thread. `journal`: null: keys are forgotten with this xend.
    Server(Manager& manager, Clock& clock, Dispatcher& dispatcher, service::EventLoop& loop, std::function<void()> poke,
           JobJournal* journal = nullptr);

    /// Jobs of an earlier xend. Before anybody asks. Errors: of the journal.
    base::Outcome<> take_over() { return jobs_.take_over(); }

    /// Called in the loop's thread; does not block.
    void handle(const HttpRequest& request, Done done);
    /// Looks once a second, for those who listen. Before the loop turns.
    void start();
    /// Something may have changed: whoever listens hears of it soon. From any thread.
    void changed();
    /// What one is told that is not let in.
    static Reply refused(int status, const std::string& why) { return problem_reply({status, why}); }

private:
    Reply answer(const HttpRequest& request);
    Reply look(const Route& route, const Call& call, const std::string& if_none_match);
    Reply begin(const Route& route, Call call, const HttpRequest& request);
    static Reply accepted(const Job& job);
    void run(const Route& route, const Call& call);
    base::Outcome<Json> act(const Route& route, const Call& call);
    Reply listen(const HttpRequest& request);

    service::EventLoop& loop_;
    Dispatcher& dispatcher_;
    Events events_;
    Jobs jobs_;
    Watch watch_;
    Context context_;
    std::atomic<bool> looking_ = false;
};

/// The call that a request is; nothing: `reply` says why it is none. Pure.
std::optional<Call> judge(const HttpRequest& request, const Route*& route, Reply& reply);

}  // namespace xend::rest
