// SPDX-License-Identifier: Apache-2.0
/// A file descriptor that closes itself, and the words for what went wrong with one.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "lib/base/outcome.hpp"

namespace service {

class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
    Fd& operator=(Fd&& o) noexcept {
        std::swap(fd_, o.fd_);
        return *this;
    }
    ~Fd() {
        if (fd_ >= 0) ::close(fd_);
    }
    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }

private:
    int fd_ = -1;
};

/// "what: the system's words for errno", with its number: Linux's numbers on x86 are Xen's.
inline base::Failure system_failure(const std::string& what) {
    const int number = errno;
    return base::fail(static_cast<base::Errc>(number), what + ": " + std::strerror(number));
}

struct Pipe {
    Fd read, write;
};

/// Both ends close on exec. Errors: the system's.
inline base::Outcome<Pipe> make_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return system_failure("pipe");
    return Pipe{Fd(ends[0]), Fd(ends[1])};
}

}  // namespace service
