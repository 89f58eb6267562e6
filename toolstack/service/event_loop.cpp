// SPDX-License-Identifier: Apache-2.0
#include "toolstack/service/event_loop.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <csignal>

namespace service {

using std::chrono::milliseconds;

base::Outcome<std::unique_ptr<EventLoop>> EventLoop::make() {
    std::unique_ptr<EventLoop> loop(new EventLoop);
    loop->epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
    loop->wake_ = Fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!loop->epoll_ || !loop->wake_) return system_failure("Cannot make an event loop");
    OTRY(loop->watch(loop->wake_.get(), EPOLLIN, [raw = loop.get()](uint32_t) { raw->call_posted(); }));
    return loop;
}

base::Outcome<> EventLoop::watch(int fd, uint32_t events, Ready ready) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return system_failure("epoll");
    watched_[fd] = std::make_shared<Ready>(std::move(ready));
    return base::ok;
}

void EventLoop::change(int fd, uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void EventLoop::forget(int fd) {
    if (watched_.erase(fd) != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

base::Outcome<> EventLoop::watch_signals(std::initializer_list<int> signals, std::function<void(int)> caught) {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int s : signals) ::sigaddset(&set, s);
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    signals_ = Fd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    if (!signals_) return system_failure("signalfd");
    return watch(signals_.get(), EPOLLIN, [fd = signals_.get(), caught = std::move(caught)](uint32_t) {
        signalfd_siginfo info{};
        while (::read(fd, &info, sizeof info) == sizeof info) caught(static_cast<int>(info.ssi_signo));
    });
}

EventLoop::Timer EventLoop::after(milliseconds time, Action action) {
    const Timer timer = next_timer_++;
    timers_[timer] = std::move(action);
    deadlines_.emplace(Clock::now() + time, timer);
    return timer;
}

void EventLoop::cancel(Timer timer) { timers_.erase(timer); }

void EventLoop::post(Action action) {
    {
        const std::lock_guard guard(mutex_);
        posted_.push_back(std::move(action));
    }
    const uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
}

/// What epoll waits at most, in ms; -1: for ever. A deadline is never early.
int EventLoop::timeout(Wait wait) const {
    if (wait == Wait::not_at_all) return 0;
    if (deadlines_.empty()) return -1;
    const auto left = std::chrono::ceil<milliseconds>(deadlines_.begin()->first - Clock::now()).count();
    return static_cast<int>(std::clamp<int64_t>(left, 0, 3'600'000));
}

base::Outcome<> EventLoop::turn(Wait wait) {
    std::array<epoll_event, 64> ready{};
    const int n = ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), timeout(wait));
    if (n < 0 && errno != EINTR) return system_failure("epoll");
    for (int i = 0; i < n; ++i) {
        const epoll_event& event = ready[static_cast<size_t>(i)];
        const auto at = watched_.find(event.data.fd);
        if (at == watched_.end()) continue;
        const std::shared_ptr<Ready> handler = at->second;  // it may forget itself
        (*handler)(event.events);
    }
    call_due_timers();
    return base::ok;
}

void EventLoop::call_due_timers() {
    const auto now = Clock::now();
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
        const Timer timer = deadlines_.begin()->second;
        deadlines_.erase(deadlines_.begin());
        if (auto due = timers_.extract(timer)) due.mapped()();
    }
}

void EventLoop::call_posted() {
    uint64_t count = 0;
    (void)!::read(wake_.get(), &count, sizeof count);
    std::vector<Action> actions;
    {
        const std::lock_guard guard(mutex_);
        actions.swap(posted_);
    }
    for (const Action& action : actions) action();
}

base::Outcome<> EventLoop::run() {
    while (!stopped_) OTRY(turn());
    return base::ok;
}

}  // namespace service
