// SPDX-License-Identifier: Apache-2.0
/// xenconsole: joins this terminal to a domain's console until ^] or the domain's end. If xenconsoled is restarted, it
/// finds the new terminal by itself.
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/number.hpp"
#include "toolstack/service/fd.hpp"
#include "toolstack/xenstore/client.hpp"

namespace {

using base::Outcome;
using base::Unit;
using service::Fd;

constexpr char usage_text[] =
    "usage: xenconsole [OPTION...] DOMID\n"
    "  -n, --num N              console number (0: the first)\n"
    "  -t, --type pv|serial     accepted; a console is found by its number\n"
    "  -e, --escape C           leave with ctrl-C for this C (])\n"
    "  -i, --interactive        accepted; the default when standard input is a terminal\n"
    "      --start-notify-fd N  write a byte to N once attached\n"
    "  -h, --help\n";

struct CommandLine {
    uint16_t domid = 0;
    unsigned number = 0;
    char escape = 0x1d;
    int notify_fd = -1;
};

/// The terminal in raw mode while this lives.
class RawTerminal {
public:
    explicit RawTerminal(int fd) : fd_(fd), is_terminal_(::tcgetattr(fd, &saved_) == 0) {
        if (!is_terminal_) return;
        termios raw = saved_;
        ::cfmakeraw(&raw);
        ::tcsetattr(fd_, TCSAFLUSH, &raw);
    }
    RawTerminal(const RawTerminal&) = delete;
    RawTerminal& operator=(const RawTerminal&) = delete;
    ~RawTerminal() {
        if (is_terminal_) ::tcsetattr(fd_, TCSADRAIN, &saved_);
    }

private:
    int fd_;
    termios saved_{};
    bool is_terminal_;
};

bool write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd, bytes.data(), bytes.size());
        if (n > 0) {
            bytes.remove_prefix(static_cast<size_t>(n));
        } else if (errno == EAGAIN) {
            pollfd room{fd, POLLOUT, 0};
            ::poll(&room, 1, 1000);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

class Session {
public:
    Session(const CommandLine& line, xenstore::Store& store) : line_(line), store_(store) {
        home_ = "/local/domain/" + std::to_string(line.domid);
        console_ = line.number == 0 ? home_ + "/console" : home_ + "/device/console/" + std::to_string(line.number);
    }

    /// Until escape, end of input after the domain's end, or the domain's end.
    Outcome<Unit> run() {
        if (!domain_exists()) return base::fail(base::Errc::srch, "There is no domain " + std::to_string(line_.domid));
        OTRY(store_.watch(console_ + "/tty", "tty"));
        OTRY(store_.watch(home_, "domain"));
        find_terminal();
        std::optional<RawTerminal> raw;
        while (!over_) {
            if (terminal_ && !raw) {
                raw.emplace(STDIN_FILENO);
                if (line_.notify_fd >= 0) (void)!::write(line_.notify_fd, "\0", 1);
            }
            step();
        }
        return base::ok;
    }

private:
    bool domain_exists() { return static_cast<bool>(store_.read(home_)); }

    /// Opens the terminal the store names, if it is another one than ours or ours was lost.
    void find_terminal() {
        const auto name = store_.read(console_ + "/tty");
        if (!name || name->empty() || (terminal_ && *name == terminal_name_)) return;
        Fd fd(::open(name->c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
        if (!fd) return;  // named before a restart of xenconsoled; the new name will come
        termios modes{};
        if (::tcgetattr(fd.get(), &modes) == 0) {
            ::cfmakeraw(&modes);
            ::tcsetattr(fd.get(), TCSANOW, &modes);
        }
        terminal_ = std::move(fd);
        terminal_name_ = *name;
    }

    void step() {
        pollfd fds[] = {{store_.event_fd(), POLLIN, 0},
                        {terminal_ ? terminal_.get() : -1, POLLIN, 0},
                        {input_open_ ? STDIN_FILENO : -1, POLLIN, 0}};
        if (::poll(fds, 3, -1) < 0 && errno != EINTR) over_ = true;
        if (fds[1].revents != 0) from_domain();
        if (fds[2].revents != 0) from_user();
        if (fds[0].revents != 0) from_store();
    }

    void from_domain() {
        char bytes[4096];
        const ssize_t n = ::read(terminal_.get(), bytes, sizeof bytes);
        if (n > 0) {
            if (!write_all(STDOUT_FILENO, std::string_view(bytes, static_cast<size_t>(n)))) over_ = true;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            terminal_ = Fd();
            if (domain_exists()) {
                find_terminal();
            } else {
                over_ = true;
            }
        }
    }

    void from_user() {
        char bytes[1024];
        const ssize_t n = ::read(STDIN_FILENO, bytes, sizeof bytes);
        if (n <= 0) {
            input_open_ = n < 0 && errno == EINTR;
            return;
        }
        const std::string_view typed(bytes, static_cast<size_t>(n));
        const size_t escape = typed.find(line_.escape);
        if (terminal_) (void)write_all(terminal_.get(), typed.substr(0, escape));
        if (escape != std::string_view::npos) over_ = true;
    }

    void from_store() {
        bool looked = false;
        for (;;) {
            auto event = store_.poll_event();
            if (!event || !*event) break;
            looked = true;
        }
        if (!looked) return;
        if (!domain_exists()) {
            if (terminal_) from_domain();  // its last words
            over_ = true;
            return;
        }
        find_terminal();
    }

    const CommandLine& line_;
    xenstore::Store& store_;
    std::string home_, console_;
    Fd terminal_;
    std::string terminal_name_;
    bool input_open_ = true;
    bool over_ = false;
};

bool parse_number(const char* text, unsigned max, unsigned& out) {
    const auto value = base::parse_number<unsigned>(text);
    if (!value || *value > max) {
        std::fprintf(stderr, "xenconsole: '%s' is not a number up to %u\n", text, max);
        return false;
    }
    out = *value;
    return true;
}

bool parse(int argc, char** argv, CommandLine& line) {
    constexpr int notify_option = 256;
    static const option options[] = {{"num", required_argument, nullptr, 'n'},
                                     {"type", required_argument, nullptr, 't'},
                                     {"escape", required_argument, nullptr, 'e'},
                                     {"interactive", no_argument, nullptr, 'i'},
                                     {"start-notify-fd", required_argument, nullptr, notify_option},
                                     {"help", no_argument, nullptr, 'h'},
                                     {nullptr, 0, nullptr, 0}};
    unsigned n = 0;
    for (int c; (c = ::getopt_long(argc, argv, "n:t:e:ih", options, nullptr)) != -1;) {
        switch (c) {
            case 'n':
                if (!parse_number(::optarg, 65535, line.number)) return false;
                break;
            case notify_option:
                if (!parse_number(::optarg, 65535, n)) return false;
                line.notify_fd = static_cast<int>(n);
                break;
            case 'e': line.escape = static_cast<char>(::optarg[0] & 0x1f); break;
            case 't':
            case 'i': break;
            case 'h': std::fputs(usage_text, stdout); std::exit(0);
            default: return false;
        }
    }
    if (argc - ::optind != 1) {
        std::fputs("xenconsole: one DOMID is needed\n", stderr);
        return false;
    }
    if (!parse_number(argv[::optind], 0x7fef, n)) return false;
    line.domid = static_cast<uint16_t>(n);
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    CommandLine line;
    if (!parse(argc, argv, line)) {
        std::fputs("Try 'xenconsole --help'.\n", stderr);
        return 2;
    }
    auto store = xenstore::open_store();
    auto done = store ? Session(line, **store).run() : Outcome<Unit>(std::move(store).take_failure());
    if (done) return 0;
    std::fprintf(stderr, "xenconsole: %s\n", done.failure().text.c_str());
    return 1;
}
