// SPDX-License-Identifier: Apache-2.0
/// Another daemon that a supervisor keeps alive, whoever started it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "toolstack/service/fd.hpp"

namespace service {

/// A daemon known by the pid file that it holds. One that dies and leaves the file behind is started again as it was: the same
/// program, arguments and environment. One that removes the file was told to end. Nothing here waits.
class Ward {
public:
    using Clock = std::chrono::steady_clock;
    using Tell = std::function<void(const std::string&)>;

    Ward(std::string name, std::string pid_file, Tell tell)
        : name_(std::move(name)), pid_file_(std::move(pid_file)), tell_(std::move(tell)) {}
    /// Looks how it is, and starts it when it should be there and is not. To be called when fd() is readable, and now and then.
    void look();
    /// Readable when the daemon has died; -1: it is not there.
    int fd() const { return process_.get(); }

private:
    struct Command {
        std::string program;
        std::vector<std::string> arguments, environment;
    };
    void find();
    void start();

    std::string name_, pid_file_;
    Tell tell_;
    pid_t pid_ = 0;      // 0: it was never there, or was told to end
    Fd process_;         // while it lives
    Command command_;    // of that process
    pid_t starter_ = 0;  // the process that we made to start it; it may be the daemon itself
    Clock::time_point next_start_{};
    std::chrono::milliseconds pause_ = first_pause;

    static constexpr std::chrono::milliseconds first_pause{50}, longest_pause{30'000}, good_life{10'000};
    Clock::time_point started_{};
};

}  // namespace service
