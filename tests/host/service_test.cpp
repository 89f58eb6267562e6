// SPDX-License-Identifier: Apache-2.0
// link: xenservice
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <functional>

#include "toolstack/service/process.hpp"

namespace {

using service::Detachment;
using service::PidFile;

class Service : public testing::Test {
protected:
    std::string folder_ = testing::TempDir() + "service." + std::to_string(::getpid());
    std::string path_ = folder_ + "/deep/er.pid";
    void TearDown() override { std::filesystem::remove_all(folder_); }
};

/// How the process that starts a daemon ends, and what it and the daemon wrote to standard error before.
std::pair<int, std::string> start_daemon(const std::function<void(Detachment&)>& daemon) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const pid_t first = ::fork();
    if (first == 0) {
        ::dup2(ends[1], 2);
        ::close(ends[0]);
        ::close(ends[1]);
        auto detachment = Detachment::start(false, "daemon");
        if (detachment) daemon(*detachment);
        ::_exit(3);
    }
    ::close(ends[1]);
    std::string said;
    char buffer[256];
    for (ssize_t got = 0; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;) said.append(buffer, static_cast<size_t>(got));
    ::close(ends[0]);
    int status = 0;
    EXPECT_EQ(::waitpid(first, &status, 0), first);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, said};
}

TEST_F(Service, OneProcessHasThePidFile) {
    EXPECT_EQ(PidFile::running(path_), 0);
    {
        auto mine = PidFile::take(path_);
        ASSERT_TRUE(mine);
        ASSERT_TRUE(mine->write_pid());
        EXPECT_EQ(PidFile::running(path_), ::getpid());
        auto other = PidFile::take(path_);
        ASSERT_FALSE(other);
        EXPECT_EQ(other.failure().code, base::Errc::busy);
        EXPECT_NE(other.failure().text.find("process " + std::to_string(::getpid())), std::string::npos);
    }
    EXPECT_EQ(PidFile::running(path_), 0) << "a file that nobody holds says nothing";
    auto again = PidFile::take(path_);
    ASSERT_TRUE(again);
    again->retire();
    EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(Service, PatienceWithAPredecessorThatEnds) {
    auto mine = PidFile::take(path_);
    ASSERT_TRUE(mine);
    const pid_t child = ::fork();
    if (child == 0) {
        ::usleep(100'000);  // it holds the lock, which it inherited, a little longer
        ::_exit(0);
    }
    { const PidFile gone = std::move(mine).take(); }
    EXPECT_TRUE(PidFile::take(path_, std::chrono::seconds{20}));
    ::waitpid(child, nullptr, 0);
}

TEST_F(Service, APathThatCannotBe) {
    auto taken = PidFile::take("/proc/no/such.pid");
    ASSERT_FALSE(taken);
    EXPECT_NE(taken.failure().text.find("/proc/no"), std::string::npos);
}

TEST_F(Service, WhoeverStartedItWaitsUntilItIsReady) {
    const auto [status, said] = start_daemon([](Detachment& d) {
        d.ready();
        (void)!::write(2, "unheard", 7);  // its terminal is gone
    });
    EXPECT_EQ(status, 0);
    EXPECT_EQ(said, "");
}

TEST_F(Service, ADaemonThatFailsSaysWhy) {
    const auto [status, said] = start_daemon([](Detachment& d) {
        (void)!::write(2, "no store", 8);
        d.failed();
    });
    EXPECT_EQ(status, 1);
    EXPECT_EQ(said, "no store");
}

TEST_F(Service, ADaemonThatDiesCannot) {
    const auto [status, said] = start_daemon([](Detachment&) { ::raise(SIGKILL); });
    EXPECT_EQ(status, 1);
    EXPECT_EQ(said, "daemon died while starting\n");
}

TEST_F(Service, AChildMaySpeakForItsSupervisor) {
    const auto [status, said] = start_daemon([](Detachment& d) {
        if (::fork() == 0) {
            d.ready();
            ::_exit(0);
        }
        d.leave_it_to_child();
    });
    EXPECT_EQ(status, 0);
    EXPECT_EQ(said, "");
}

}  // namespace
