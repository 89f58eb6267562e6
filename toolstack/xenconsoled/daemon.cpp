// SPDX-License-Identifier: Apache-2.0
/// The loop: output to terminals and logs, input to guests. Consoles come and go in attach.cpp.
#include "toolstack/xenconsoled/daemon.hpp"
#include "abi/xen/basic.hpp"
#include "abi/xen/sysctl.hpp"
#include "abi/xen/sysctl_machine.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <limits>
#include "toolstack/service/process.hpp"

namespace xenconsoled {

using base::Outcome;
using base::Unit;
using service::system_failure;

namespace {

constexpr uint32_t virq_con_ring = 8;  ///< Source: VIRQ_CON_RING, xen.h

int64_t now_ms() { return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::milliseconds(1); }

void write_log(const service::Fd& file, std::string_view bytes) {
    while (file && !bytes.empty()) {
        const ssize_t n = ::write(file.get(), bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;  // a full disk must not stop the console
        bytes.remove_prefix(static_cast<size_t>(n));
    }
}

}  // namespace

Daemon::Daemon(Options options) : options_(std::move(options)), log_(options_.daemon_log) {}

Daemon::~Daemon() = default;

Outcome<Unit> Daemon::start() {
    epoll_ = service::Fd(::epoll_create1(EPOLL_CLOEXEC));
    timer_ = service::Fd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    if (!epoll_ || !timer_) return system_failure("Cannot make descriptors");
    sigset_t set;
    ::sigemptyset(&set);
    for (const int s : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set, s);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    signals_ = service::Fd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    if (!signals_) return system_failure("signalfd");

    backend_ = OTRY(xencall::open_privcmd().context("The hypervisor is not there"));
    control_ = std::make_unique<xenctrl::Control>(*backend_);
    events_ = OTRY(backend_->open_event_channels());
    grants_ = OTRY(backend_->open_grants());
    OTRY(discovery_.start());
    for (const int fd : {signals_.get(), timer_.get(), events_->fd(), discovery_.fd()}) OTRY(watch_fd(fd));
    if (options_.log_guests || options_.log_hypervisor) OTRY(service::make_directories(options_.log_directory, 0750));
    if (options_.log_hypervisor) {
        hypervisor_port_ = OTRY(events_->bind_virq(virq_con_ring).context("Is another console daemon running?"));
        const std::string path = options_.log_directory + "/hypervisor.log";
        hypervisor_log_ = service::Fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
        if (!hypervisor_log_) return system_failure("Cannot open " + path);
        read_hypervisor_log();
    }
    return base::ok;
}

Outcome<Unit> Daemon::watch_fd(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return system_failure("epoll");
    return base::ok;
}

Outcome<Unit> Daemon::run() {
    std::array<epoll_event, 64> ready{};
    while (!stop_) {
        const int n = ::epoll_wait(epoll_.get(), ready.data(), ready.size(), -1);
        if (n < 0 && errno != EINTR) return system_failure("epoll");
        for (int i = 0; i < n; ++i) {
            const int fd = ready[static_cast<size_t>(i)].data.fd;
            if (fd == signals_.get()) on_signal();
            else if (fd == timer_.get()) on_timer();
            else if (fd == events_->fd()) on_event_channels();
            else if (fd == discovery_.fd()) on_news();
            else on_terminal(fd);
        }
    }
    return base::ok;
}

void Daemon::on_signal() {
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
        if (info.ssi_signo != SIGHUP) {
            stop_ = true;
            continue;
        }
        log_.reopen();
        discovery_.refresh();
        for (auto& [key, console] : consoles_) open_log(key, *console);
        if (hypervisor_log_) {
            const std::string path = options_.log_directory + "/hypervisor.log";
            hypervisor_log_ = service::Fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
        }
    }
}

void Daemon::on_event_channels() {
    for (int i = 0; i < 256; ++i) {
        const auto port = events_->pending();
        if (!port || !*port) return;
        if (hypervisor_port_ && **port == *hypervisor_port_) {
            (void)events_->unmask(**port);
            read_hypervisor_log();
            continue;
        }
        const auto at = by_port_.find((**port).raw);
        if (at == by_port_.end()) continue;
        Console& console = *at->second;
        if (console.rate.allow(now_ms())) {
            (void)events_->unmask(console.port);
            take_output(console);
        } else {
            // It stays masked until the period ends; its output waits in its own ring meanwhile.
            console.masked = true;
            arm_timer();
        }
    }
}

/// Wakes us when the first of the periods of masked consoles ends.
void Daemon::arm_timer() {
    int64_t first = std::numeric_limits<int64_t>::max();
    for (const auto& [key, console] : consoles_) {
        if (console->masked) first = std::min(first, console->rate.end());
    }
    if (first == std::numeric_limits<int64_t>::max()) return;
    const int64_t wait = std::max<int64_t>(first - now_ms(), 1);
    const itimerspec then{{0, 0}, {wait / 1000, wait % 1000 * 1'000'000}};
    ::timerfd_settime(timer_.get(), 0, &then, nullptr);
}

void Daemon::on_timer() {
    uint64_t ticks = 0;
    (void)!::read(timer_.get(), &ticks, sizeof ticks);
    for (auto& [key, console] : consoles_) {
        if (!console->masked || now_ms() < console->rate.end()) continue;
        console->masked = false;
        (void)events_->unmask(console->port);
        take_output(*console);
    }
    arm_timer();
}

void Daemon::take_output(Console& console) {
    const bool took = console.ring.take_output([&](std::string_view bytes) {
        console.backlog.append(bytes);
        write_log(console.log, bytes);
    });
    if (took) (void)events_->notify(console.port);
    if (console.ring.broken() > 0 && !console.told_broken) {
        console.told_broken = true;
        log("The console ring on " + console.terminal_name + " has impossible indexes; output was dropped");
    }
    move_to_terminal(console);
    update_events(console);
}

void Daemon::move_to_terminal(Console& console) {
    while (!console.backlog.empty()) {
        const std::string_view front = console.backlog.front();
        const ssize_t n = ::write(console.terminal.get(), front.data(), front.size());
        if (n <= 0) return;  // nobody reads: it waits, up to the limit
        console.backlog.consume(static_cast<size_t>(n));
    }
}

void Daemon::move_from_terminal(Console& console) {
    char bytes[1024];
    const size_t room = std::min(console.ring.input_room(), sizeof bytes);
    if (room == 0) return;
    const ssize_t n = ::read(console.terminal.get(), bytes, room);
    if (n <= 0) return;
    console.ring.put_input(std::string_view(bytes, static_cast<size_t>(n)));
    (void)events_->notify(console.port);
}

void Daemon::on_terminal(int fd) {
    const auto at = by_terminal_.find(fd);
    if (at == by_terminal_.end()) return;
    move_from_terminal(*at->second);
    move_to_terminal(*at->second);
    update_events(*at->second);
}

/// Input is listened for only while the guest has room; the guest's next event (it took some) looks again.
void Daemon::update_events(Console& console) {
    uint32_t wanted = console.ring.input_room() > 0 ? uint32_t{EPOLLIN} : 0;
    if (!console.backlog.empty()) wanted |= EPOLLOUT;
    if (std::exchange(console.events, wanted) == wanted) return;
    epoll_event change{};
    change.events = wanted;
    change.data.fd = console.terminal.get();
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, console.terminal.get(), &change);
}

/// Appends what the hypervisor has said since the last time.
void Daemon::read_hypervisor_log() {
    constexpr uint32_t size = 16 * 1024;
    auto text = xencall::HypercallBuffer<char>::make(*backend_, size);
    auto op = xencall::HypercallBuffer<xen::Sysctl>::make(*backend_);
    if (!text || !op) return;
    for (int i = 0; i < 64; ++i) {
        xen::Sysctl& s = **op;
        s.cmd = xen::XEN_SYSCTL_readconsole;
        s.interface_version = xen::XEN_SYSCTL_INTERFACE_VERSION;
        s.u.readconsole.incremental = 1;
        s.u.readconsole.clear = 0;
        s.u.readconsole.index = hypervisor_index_;
        s.u.readconsole.buffer.addr = text->address();
        s.u.readconsole.count = size;
        const std::array<uint64_t, 5> arguments{op->address(), 0, 0, 0, 0};
        if (backend_->hypercall(xen::HYPERVISOR_sysctl, arguments) < 0 || s.u.readconsole.count == 0) return;
        hypervisor_index_ = s.u.readconsole.index;
        write_log(hypervisor_log_, std::string_view(text->get(), std::min(s.u.readconsole.count, size)));
    }
}

}  // namespace xenconsoled
