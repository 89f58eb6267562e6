// SPDX-License-Identifier: Apache-2.0
/// The event loop of a daemon: one thread that waits for descriptors, timers, signals and what other threads hand it.
/// What it calls must not block; work that may goes to a JobQueues, which posts its result back.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "lib/base/outcome.hpp"
#include "toolstack/service/fd.hpp"

namespace service {

class EventLoop {
public:
    using Clock = std::chrono::steady_clock;
    /// `events`: EPOLLIN, EPOLLOUT, … as epoll has them. A stale call is possible when a handler of the same turn has closed
    /// the descriptor and another got its number: descriptors are non-blocking.
    using Ready = std::function<void(uint32_t events)>;
    using Action = std::function<void()>;
    using Timer = uint64_t;
    enum class Wait : uint8_t { until_something, not_at_all };

    /// Errors: the system's.
    static base::Outcome<std::unique_ptr<EventLoop>> make();

    /// Calls `ready` when the descriptor has one of `events`. Errors: the system's.
    base::Outcome<> watch(int fd, uint32_t events, Ready ready);
    /// Other events for a descriptor that is watched.
    void change(int fd, uint32_t events);
    /// Before the descriptor is closed; also from its own handler.
    void forget(int fd);

    /// Blocks these signals in this thread, and those it starts later, and calls `caught` for each. Once in a loop's life.
    base::Outcome<> watch_signals(std::initializer_list<int> signals, std::function<void(int)> caught);

    /// Calls `action` once, when so much time is over.
    Timer after(std::chrono::milliseconds time, Action action);
    /// One that was called already, or cancelled, does not matter.
    void cancel(Timer timer);

    /// Calls `action` in the loop's thread. From any thread.
    void post(Action action);

    /// Waits, then calls everything that is ready. Errors: the system's.
    base::Outcome<> turn(Wait wait = Wait::until_something);
    /// Turns until stop() was called.
    base::Outcome<> run();
    void stop() { stopped_ = true; }
    bool stopped() const { return stopped_; }

private:
    EventLoop() = default;
    int timeout(Wait wait) const;
    void call_due_timers();
    void call_posted();

    Fd epoll_, signals_, wake_;
    std::map<int, std::shared_ptr<Ready>> watched_;
    std::map<Timer, Action> timers_;
    std::multimap<Clock::time_point, Timer> deadlines_;
    Timer next_timer_ = 1;
    std::mutex mutex_;  // posted_
    std::vector<Action> posted_;
    bool stopped_ = false;
};

}  // namespace service
