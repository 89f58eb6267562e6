// SPDX-License-Identifier: Apache-2.0
/// The loop: output to terminals and logs, input to guests. Consoles come and go in attach.cpp.
#include "toolstack/xenconsoled/daemon.hpp"
#include "abi/xen/basic.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

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

int64_t now_ms() { return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::milliseconds(1); }

}  // namespace

Daemon::Daemon(Options options) : options_(std::move(options)), hypervisor_log_(options_.log_limit) {
    service::set_log(service::line_log(options_.daemon_log));
}

Daemon::~Daemon() = default;

Outcome<Unit> Daemon::start() {
    loop_ = OTRY(service::EventLoop::make());
    // Before discovery's thread: it inherits the mask, only the loop hears of these.
    OTRY(loop_->watch_signals({SIGTERM, SIGINT, SIGHUP}, [this](int signal) { on_signal(signal); }));
    backend_ = OTRY(xencall::open_privcmd().context("The hypervisor is not there"));
    control_ = std::make_unique<xenctrl::Control>(*backend_);
    events_ = OTRY(backend_->open_event_channels());
    grants_ = OTRY(backend_->open_grants());
    OTRY(discovery_.start());
    OTRY(loop_->watch(events_->fd(), EPOLLIN, [this](uint32_t) { on_event_channels(); }));
    OTRY(loop_->watch(discovery_.fd(), EPOLLIN, [this](uint32_t) { on_news(); }));
    if (options_.log_guests || options_.log_hypervisor) OTRY(service::make_directories(options_.log_directory, 0750));
    if (options_.log_hypervisor) {
        hypervisor_port_ = OTRY(events_->bind_virq(xen::VIRQ_CON_RING).context("Is another console daemon running?"));
        OTRY(open_hypervisor_log());
        read_hypervisor_log();
    }
    return base::ok;
}

Outcome<Unit> Daemon::run() { return loop_->run(); }

Outcome<Unit> Daemon::open_hypervisor_log() { return hypervisor_log_.open(options_.log_directory + "/hypervisor.log"); }

void Daemon::on_signal(int signal) {
    if (signal != SIGHUP) return loop_->stop();
    service::reopen_log();
    discovery_.refresh();
    for (auto& [key, console] : consoles_) open_log(key, *console);
    if (!hypervisor_log_.is_open()) return;
    if (const auto opened = open_hypervisor_log(); !opened) log(opened.failure().text);
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
    loop_->cancel(timer_);
    timer_ = loop_->after(std::chrono::milliseconds(std::max<int64_t>(first - now_ms(), 1)), [this] { on_timer(); });
}

void Daemon::on_timer() {
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
        console.log.append(bytes);
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

void Daemon::on_terminal(Console& console) {
    move_from_terminal(console);
    move_to_terminal(console);
    update_events(console);
}

/// Input is listened for only while the guest has room; the guest's next event (it took some) looks again.
void Daemon::update_events(Console& console) {
    uint32_t wanted = console.ring.input_room() > 0 ? uint32_t{EPOLLIN} : 0;
    if (!console.backlog.empty()) wanted |= EPOLLOUT;
    if (std::exchange(console.events, wanted) != wanted) loop_->change(console.terminal.get(), wanted);
}

/// Appends what the hypervisor has said since the last time.
void Daemon::read_hypervisor_log() {
    for (int i = 0; i < 64; ++i) {
        const auto text = control_->console_ring_since(hypervisor_position_);
        if (!text || text->empty()) return;
        hypervisor_log_.append(*text);
    }
}

}  // namespace xenconsoled
