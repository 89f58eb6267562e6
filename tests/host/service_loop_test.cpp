// link: xenservice
// SPDX-License-Identifier: Apache-2.0
// tsan
// The event loop and the queues of jobs beside it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>

#include "toolstack/service/event_loop.hpp"
#include "toolstack/service/job_queues.hpp"
#include "toolstack/service/log.hpp"

namespace {

using service::EventLoop;
using service::JobQueues;
using std::chrono::milliseconds;

std::unique_ptr<EventLoop> make_loop() {
    auto loop = EventLoop::make();
    EXPECT_TRUE(loop);
    return std::move(loop).take();
}

struct Pipe {
    int ends[2];
    Pipe() { EXPECT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0); }
    ~Pipe() {
        ::close(ends[0]);
        ::close(ends[1]);
    }
    void write() { EXPECT_EQ(::write(ends[1], "x", 1), 1); }
};

TEST(EventLoop, TimersComeInTheirOrderAndNeverEarly) {
    const auto loop = make_loop();
    std::string order;
    const auto start = EventLoop::Clock::now();
    loop->after(milliseconds(300), [&] {
        EXPECT_GE(EventLoop::Clock::now() - start, milliseconds(300));
        order += "c";
        loop->stop();
    });
    const auto never = loop->after(milliseconds(10), [&] { order += "x"; });
    loop->after(milliseconds(1), [&] {
        order += "a";
        loop->cancel(never);
        loop->after(milliseconds(0), [&] { order += "b"; });
    });
    ASSERT_TRUE(loop->run());
    EXPECT_EQ(order, "abc");
    loop->cancel(never);
}

TEST(EventLoop, AHandlerMayForgetItselfAndOthers) {
    const auto loop = make_loop();
    Pipe first, second;
    int calls = 0;
    for (Pipe* pipe : {&first, &second}) {
        pipe->write();
        ASSERT_TRUE(loop->watch(pipe->ends[0], EPOLLIN, [&](uint32_t events) {
            EXPECT_EQ(events, uint32_t{EPOLLIN});
            ++calls;
            loop->forget(first.ends[0]);
            loop->forget(second.ends[0]);
        }));
    }
    ASSERT_TRUE(loop->turn());
    EXPECT_EQ(calls, 1);
    ASSERT_TRUE(loop->turn(EventLoop::Wait::not_at_all));
    EXPECT_EQ(calls, 1);
    loop->forget(first.ends[0]);
    EXPECT_FALSE(loop->watch(-1, EPOLLIN, [](uint32_t) {}));
}

TEST(EventLoop, OtherEventsAreAskedFor) {
    const auto loop = make_loop();
    Pipe pipe;
    int calls = 0;
    pipe.write();
    ASSERT_TRUE(loop->watch(pipe.ends[0], EPOLLIN, [&](uint32_t) { ++calls; }));
    loop->change(pipe.ends[0], 0);
    ASSERT_TRUE(loop->turn(EventLoop::Wait::not_at_all));
    EXPECT_EQ(calls, 0);
    loop->change(pipe.ends[0], EPOLLIN);
    ASSERT_TRUE(loop->turn());
    EXPECT_EQ(calls, 1);
}

TEST(EventLoop, HearsOtherThreadsAndSignals) {
    const auto loop = make_loop();
    const auto loops = std::this_thread::get_id();
    int caught = 0;
    ASSERT_TRUE(loop->watch_signals({SIGUSR1}, [&](int signal) {
        caught = signal;
        loop->stop();
    }));
    std::thread other([&] {
        loop->post([&] {
            EXPECT_EQ(std::this_thread::get_id(), loops);
            ::kill(::getpid(), SIGUSR1);
        });
    });
    ASSERT_TRUE(loop->run());
    EXPECT_EQ(caught, SIGUSR1);
    other.join();
}

TEST(JobQueues, AQueueKeepsItsOrderAndHoldsUpNobody) {
    std::promise<void> release;
    std::shared_future<void> released = release.get_future().share();
    std::mutex mutex;
    std::map<std::string, std::vector<int>> done;
    std::atomic<int> at_once = 0;
    JobQueues queues(3);
    queues.post("slow", [released] { released.wait(); });
    std::promise<void> others;
    for (int i = 0; i < 100; ++i) {
        for (const char* key : {"slow", "a", "b"}) {
            queues.post(key, [&, key, i] {
                EXPECT_LE(++at_once, 3);
                {
                    const std::lock_guard guard(mutex);
                    done[key].push_back(i);
                    if (done["a"].size() + done["b"].size() == 200 && i == 99 && std::string_view(key) != "slow")
                        others.set_value();
                }
                --at_once;
            });
        }
    }
    EXPECT_EQ(others.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready)
        << "the slow one holds up others";
    {
        const std::lock_guard guard(mutex);
        EXPECT_EQ(done["slow"].size(), 0U);
    }
    release.set_value();
    queues.finish();
    for (const char* key : {"slow", "a", "b"}) {
        ASSERT_EQ(done[key].size(), 100U) << key;
        EXPECT_TRUE(std::is_sorted(done[key].begin(), done[key].end())) << key;
    }
    queues.post("a", [] { ADD_FAILURE() << "posted after the end"; });
}

TEST(JobQueues, AJobThatThrowsEndsItselfAlone) {
    std::promise<void> done;
    JobQueues queues(1);
    queues.post("a", [] { throw std::bad_alloc(); });
    queues.post("a", [&] { done.set_value(); });
    EXPECT_EQ(done.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
}

TEST(JobQueues, AJobMayPost) {
    std::promise<void> reached;
    JobQueues queues(1);
    queues.post("a", [&] { queues.post("a", [&] { queues.post("b", [&] { reached.set_value(); }); }); });
    EXPECT_EQ(reached.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
}

TEST(Log, LinesHaveAStampAndFollowAMovedFile) {
    const std::string file = testing::TempDir() + "log." + std::to_string(::getpid());
    service::log(service::LogLevel::error, "to nobody");
    service::set_log(service::line_log(file));
    service::log(service::LogLevel::debug, "one");
    std::filesystem::rename(file, file + ".1");
    service::log(service::LogLevel::info, "two");
    service::reopen_log();
    service::log(service::LogLevel::warning, "three");
    service::set_log(nullptr);
    const auto lines = [](const std::string& path) {
        std::ifstream in(path);
        std::string out;
        for (std::string line; std::getline(in, line);) {
            EXPECT_EQ(line.size() > 21 ? line.substr(19, 2) : line, "Z ") << line;  // 2026-01-02T03:04:05Z
            out += line.substr(21) + ",";
        }
        std::filesystem::remove(path);
        return out;
    };
    EXPECT_EQ(lines(file + ".1"), "one,two,");
    EXPECT_EQ(lines(file), "three,");
}

}  // namespace
