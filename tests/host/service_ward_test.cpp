// link: xenservice
// SPDX-License-Identifier: Apache-2.0
// A daemon that dies is started again as it was, one that was told to end is not. The daemon is this program itself.
#include "toolstack/service/ward.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "toolstack/service/process.hpp"

namespace {

using service::PidFile;
using service::Ward;
using namespace std::chrono_literals;

std::optional<PidFile> held;

/// With WARD_DAEMON in the environment this program is the daemon that holds that pid file.
const bool is_daemon = [] {
    const char* const path = std::getenv("WARD_DAEMON");
    if (path == nullptr) return false;
    std::ofstream(std::string(path) + ".lives", std::ios::app) << "x";
    auto taken = PidFile::take(path, 2s);
    if (!taken || !taken->write_pid()) std::_Exit(1);
    held.emplace(std::move(taken).take());
    ::signal(SIGTERM, [](int) {
        held->retire();
        std::_Exit(0);
    });
    for (;;) ::pause();
}();

class Wards : public ::testing::Test {
protected:
    Wards() {
        std::string name = (std::filesystem::temp_directory_path() / "ward-XXXXXX").string();
        folder_ = ::mkdtemp(name.data());
        file_ = folder_ + "/pid";
        const std::string variable = "WARD_DAEMON=" + file_;
        std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
        char* const arguments[] = {program.data(), nullptr};
        std::string copy = variable;
        char* const environment[] = {copy.data(), nullptr};
        EXPECT_EQ(::posix_spawn(&first_, program.c_str(), nullptr, nullptr, arguments, environment), 0);
        EXPECT_TRUE(until([&] { return PidFile::running(file_) == first_; }));
    }
    ~Wards() override {
        if (const int pid = PidFile::running(file_)) ::kill(pid, SIGKILL);
        std::filesystem::remove_all(folder_);
    }
    bool until(const std::function<bool()>& done) {
        for (int i = 0; i < 500; ++i) {
            ward_.look();
            if (done()) return true;
            std::this_thread::sleep_for(10ms);
        }
        return false;
    }
    size_t lives() const { return std::filesystem::file_size(file_ + ".lives"); }

    std::string folder_, file_;
    pid_t first_ = 0;
    std::string told_;
    Ward ward_{"it", "", [](const std::string&) {}};
};

TEST_F(Wards, WhatDiesIsStartedAgainAndWhatWasToldToEndIsNot) {
    ASSERT_FALSE(is_daemon);
    ward_ = Ward("it", file_, [this](const std::string& text) { told_ += text + "\n"; });
    ward_.look();
    ASSERT_GE(ward_.fd(), 0);
    ::kill(first_, SIGKILL);
    ::waitpid(first_, nullptr, 0);
    int second = 0;
    ASSERT_TRUE(until([&] { return (second = PidFile::running(file_)) > 0 && ward_.fd() >= 0; }));
    EXPECT_NE(second, first_);
    EXPECT_EQ(told_,
              "it (process " + std::to_string(first_) + ") has died\nit runs again as process " + std::to_string(second) + "\n");
    EXPECT_EQ(lives(), 2U);
    ::kill(second, SIGTERM);
    ASSERT_TRUE(until([&] { return ward_.fd() < 0; }));
    for (int i = 0; i < 50; ++i) {
        ward_.look();
        std::this_thread::sleep_for(10ms);
    }
    EXPECT_EQ(PidFile::running(file_), 0);
    EXPECT_EQ(lives(), 2U);
}

// A daemon is gone, a process that it made holds the lock still, and the number in the file is somebody else's by now.
TEST_F(Wards, AForeignProcessWithTheNumberOfADaemonIsLeftAlone) {
    const std::string text = std::to_string(::getpid());
    const int fd = ::open(file_.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
    ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ::close(fd);
    ASSERT_EQ(PidFile::running(file_), ::getpid());
    ward_ = Ward("it", file_, [](const std::string&) {});
    ward_.look();
    EXPECT_LT(ward_.fd(), 0);
    ::kill(first_, SIGKILL);
    ::waitpid(first_, nullptr, 0);
}

TEST_F(Wards, WhatDoesNotLiveIsNotStartedInALoop) {
    ward_ = Ward("it", file_, [](const std::string&) {});
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - begin < 1500ms) {
        ward_.look();
        if (const int pid = PidFile::running(file_)) ::kill(pid, SIGKILL);
        ::waitpid(first_, nullptr, WNOHANG);
        std::this_thread::sleep_for(5ms);
    }
    EXPECT_GE(lives(), 2U);
    EXPECT_LE(lives(), 7U) << "each time it waits longer";
}

}  // namespace
