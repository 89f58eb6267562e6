// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xm/terminal.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace xm {

using base::Errc;
using base::Outcome;

namespace {

constexpr char leave = 0x1d;  // Ctrl-]

volatile sig_atomic_t ended = 0;
void on_end(int) { ended = 1; }

/// Raw mode for as long as it lives.
class RawMode {
    int fd_;
    termios old_{};
    bool set_ = false;

public:
    explicit RawMode(int fd) : fd_(fd) {
        if (::isatty(fd) == 0 || ::tcgetattr(fd, &old_) != 0) return;
        termios raw = old_;
        ::cfmakeraw(&raw);
        set_ = ::tcsetattr(fd, TCSANOW, &raw) == 0;
    }
    ~RawMode() {
        if (set_) ::tcsetattr(fd_, TCSANOW, &old_);
    }
    RawMode(const RawMode&) = delete;
    RawMode& operator=(const RawMode&) = delete;
};

class File {
    int fd_;

public:
    explicit File(int fd) : fd_(fd) {}
    ~File() {
        if (fd_ >= 0) ::close(fd_);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    int fd() const { return fd_; }
};

bool write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) {
            pollfd p{fd, POLLOUT, 0};
            ::poll(&p, 1, 1000);
            continue;
        }
        if (n <= 0) return false;
        bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
}

/// Moves what is there from one side to the other. False: that side has ended, or Ctrl-] was typed.
bool carry(int from, int to, bool typed) {
    std::array<char, 4096> buffer{};
    const ssize_t got = ::read(from, buffer.data(), buffer.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return true;
    if (got <= 0) return false;
    std::string_view bytes(buffer.data(), static_cast<size_t>(got));
    const size_t at = typed ? bytes.find(leave) : std::string_view::npos;
    return write_all(to, bytes.substr(0, at)) && at == std::string_view::npos;
}

void relay(int tty) {
    std::array<pollfd, 2> fds{pollfd{STDIN_FILENO, POLLIN, 0}, pollfd{tty, POLLIN, 0}};
    while (ended == 0) {
        if (::poll(fds.data(), fds.size(), -1) < 0) {
            if (errno == EINTR) continue;
            return;
        }
        if (fds[1].revents != 0 && !carry(tty, STDOUT_FILENO, false)) return;
        if (fds[0].revents != 0 && !carry(STDIN_FILENO, tty, true)) return;
    }
}

}  // namespace

Outcome<> join_terminals(const std::string& tty, const std::function<Outcome<>()>& joined) {
    const File file(::open(tty.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
    if (file.fd() < 0) return base::fail(Errc::io, "cannot open the console " + tty + ": " + std::strerror(errno));
    if (::isatty(file.fd()) == 0) return base::fail(Errc::inval, tty + " is not a terminal");
    const RawMode far(file.fd());  // echo and line editing are the guest's business
    OTRY(joined());
    struct sigaction action {};
    action.sa_handler = on_end;
    ::sigaction(SIGTERM, &action, nullptr);
    ::sigaction(SIGHUP, &action, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    const RawMode near(STDIN_FILENO);
    relay(file.fd());
    return base::ok;
}

}  // namespace xm
