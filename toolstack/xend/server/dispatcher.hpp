// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>

#include "toolstack/service/job_queues.hpp"
#include "toolstack/xend/api.hpp"

namespace xend {

/// Between the event loop, which must not block, and the core, which may. A request that only looks is answered beside all
/// others, by threads of its own; one that changes something waits in the lane of its domain, where jobs follow each other.
/// So a script that hangs holds up its domain, and nobody else.
class Dispatcher {
public:
    using Answer = std::function<Reply(const Request&)>;
    using Done = std::function<void(Reply)>;

    /// `answer` is called by several threads at once.
    explicit Dispatcher(Answer answer, unsigned job_threads = 64, unsigned look_threads = 16);

    /// Never blocks; `done` is called by another thread.
    void handle(Request request, Done done);
    /// Work that looks, beside all others.
    void look(service::JobQueues::Job job) { looks_.post(std::to_string(next_look_++), std::move(job)); }
    /// Work that may block and answers nobody.
    void post(const std::string& lane, service::JobQueues::Job job);
    /// `changed` is called behind each job that may have changed something, in its thread. Before the first one.
    void on_change(std::function<void()> changed) { changed_ = std::move(changed); }
    /// Of the jobs that change something.
    service::JobQueues::Load load() { return jobs_.load(); }
    /// Waits for everything that was asked for.
    void finish();

    /// Where a request waits its turn; empty for one that only looks.
    static std::string lane_of(const Request& request);
    static constexpr const char* vnet_lane = "vnet";
    static std::string lane_of_domain(const std::string& who) { return "domain " + who; }

private:
    Answer answer_;
    std::function<void()> changed_ = [] {};
    std::atomic<uint64_t> next_look_ = 0;
    service::JobQueues looks_;
    service::JobQueues jobs_;
};

}  // namespace xend
