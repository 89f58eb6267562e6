// SPDX-License-Identifier: Apache-2.0
/// What every daemon of ours does the same way: detach, write a pid file, hold a lock, write a log.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/base/outcome.hpp"

namespace service {

/// A file descriptor that closes itself.
class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& o) noexcept : fd_(o.fd_) { o.fd_ = -1; }
    Fd& operator=(Fd&& o) noexcept {
        std::swap(fd_, o.fd_);
        return *this;
    }
    ~Fd();
    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }

private:
    int fd_ = -1;
};

/// "what: the system's words for errno", with its number.
base::Failure system_failure(const std::string& what);

/// Goes to the background. The calling process exits when ready() is called (status 0) or the child dies (status 1).
class Detachment {
public:
    /// `stay`: do nothing, the process remains in the foreground.
    static base::Outcome<Detachment> start(bool stay);
    /// The service is up: lets the first process go.
    void ready();

private:
    Fd to_parent_;
};

/// Takes `path` as a lock for this process's life and writes the pid into it.
/// Errors: busy (another process has it; the text says which).
base::Outcome<Fd> take_pid_file(const std::string& path);

/// Lines with a time stamp to a file; to standard error when there is no file. Long-lived: reopen() after rotation.
class Log {
public:
    explicit Log(std::string path);
    void line(std::string_view text);
    void reopen();

private:
    std::string path_;
    Fd file_;
};

/// Makes a directory and its parents. Errors: the system's.
base::Outcome<base::Unit> make_directories(const std::string& path, unsigned mode);

}  // namespace service
