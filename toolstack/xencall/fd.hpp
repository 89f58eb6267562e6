// SPDX-License-Identifier: Apache-2.0
// A file descriptor that closes itself, and the texts for what went wrong with it. Private to xencall.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "lib/base/outcome.hpp"

namespace xencall {

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

/// A Failure from the errno of the last system call; Linux's x86 numbers are Xen's.
inline base::Failure failure_of_errno(const std::string& what) {
    const int e = errno;
    return base::fail(static_cast<base::Errc>(e), what + ": " + std::strerror(e));
}

/// Opens a /dev/xen device; the text says what to do when it is not there.
inline base::Outcome<Fd> open_device(const char* path, const char* module, int flags) {
    Fd fd(::open(path, O_RDWR | O_CLOEXEC | flags));
    if (fd) return fd;
    if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
        return base::fail(base::Errc::noent, std::string("Cannot open ") + path + ": not running as a Xen dom0, or module " +
                                                 module + " is not loaded");
    return failure_of_errno(std::string("Cannot open ") + path);
}

}  // namespace xencall
