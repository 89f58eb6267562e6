// SPDX-License-Identifier: Apache-2.0
/// The turn of the loop. Taking up rings and starting is in daemon_start.cpp.
#include "toolstack/xenstored/daemon.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>

namespace xenstored {

namespace {
/// How long a journal that cannot be written is left alone.
constexpr std::chrono::milliseconds retry{1000};
}  // namespace

base::Outcome<base::Unit> Daemon::run() {
    using Wait = service::EventLoop::Wait;
    bool busy = true;  // starting may have left something to send
    while (!loop_->stopped()) {
        OTRY(loop_->turn(busy ? Wait::not_at_all : Wait::until_something));
        serve_turn();
        flush_journal();
        send_turn();
        if (journal_.is_long()) compact();
        busy = !ready_sockets_.empty() || !ready_rings_.empty();
    }
    log("Stopping; the state stays for the next start");
    return base::ok;
}

void Daemon::on_accept() {
    for (int i = 0; i < 16; ++i) {
        service::Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!fd) return;
        ucred peer{};
        socklen_t size = sizeof peer;
        if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) continue;
        if (peer.uid != 0 && peer.uid != ::geteuid()) continue;  // the socket's mode says so too
        Connection& connection = server_->add_socket();
        const uint64_t number = connection.number;
        const int raw = fd.get();
        auto client = std::make_unique<SocketClient>(std::move(fd), number);
        client->change_events(EPOLLIN);
        const auto watched = loop_->watch(raw, EPOLLIN, [this, number](uint32_t events) {
            if ((events & EPOLLOUT) != 0) served_sockets_.insert(number);
            if ((events & ~uint32_t{EPOLLOUT}) != 0) ready_sockets_.insert(number);
        });
        if (!watched) {
            server_->remove(connection);
            continue;
        }
        sockets_.emplace(number, std::move(client));
    }
}

void Daemon::on_event_channels() {
    bool died = false;
    for (int i = 0; i < 256; ++i) {
        const auto port = events_->pending();
        if (!port || !*port) break;
        // Unmasked before the ring is looked at, so nothing that comes now is missed.
        (void)events_->unmask(**port);
        if (death_port_ && **port == *death_port_) {
            died = true;
            continue;
        }
        const auto at = domain_of_port_.find((**port).raw);
        if (at != domain_of_port_.end()) ready_rings_.insert(at->second);
    }
    if (died) check_all_domains();
}

void Daemon::on_signal(int signal) {
    if (signal == SIGHUP) return service::reopen_log();
    loop_->stop();
}

void Daemon::check_all_domains() {
    states_.emplace();
    if (auto all = control_->list()) {
        for (const auto& d : *all) (*states_)[d.id.raw] = {true, d.dying, d.shutdown};
        server_->check_domains();
    } else {
        log("Cannot list domains: " + all.failure().text);
    }
    states_.reset();
}

DomainState Daemon::domain_state(DomId domid) {
    if (states_) {
        const auto at = states_->find(domid.raw);
        return at == states_->end() ? DomainState{} : at->second;
    }
    if (!control_) return {true, false, false};
    const auto info = control_->info(domid);
    // Only a clear answer counts as death: a failed question must not cost a living domain its nodes.
    if (!info) return {info.failure().code != Errc::srch, false, false};
    return {true, info->dying, info->shutdown};
}

void Daemon::serve_turn() {
    const auto sockets = std::exchange(ready_sockets_, {});
    const auto rings = std::exchange(ready_rings_, {});
    for (const uint64_t number : sockets) serve_socket(number);
    for (const uint16_t domid : rings) serve_ring(domid);
}

void Daemon::serve_socket(uint64_t number) {
    const auto at = sockets_.find(number);
    Connection* connection = server_->find(number);
    if (at == sockets_.end() || connection == nullptr) return;
    at->second->serve(*server_, *connection);
    served_sockets_.insert(number);
}

void Daemon::serve_ring(uint16_t domid) {
    const auto at = rings_.find(domid);
    const auto domain = server_->domains().find(domid);
    if (at == rings_.end() || domain == server_->domains().end() || domain->second.ring == nullptr) return;
    const bool was_broken = at->second->session.broken();
    at->second->session.serve(*server_, *domain->second.ring);
    if (at->second->session.broken() && !was_broken) {
        log("Domain " + std::to_string(domid) + " broke its ring: " + at->second->session.reason());
    }
    served_rings_.insert(domid);
}

void Daemon::flush_journal() {
    const auto now = std::chrono::steady_clock::now();
    if (!journal_lost_) {
        const auto written = journal_.append(server_->journal().take_group());
        if (written) return;
        log(written.failure().text + "; it is written anew");
    } else if (now < retry_at_) {
        (void)server_->journal().take_group();
        return;
    }
    compact();
}

void Daemon::compact() {
    const auto state_of = [this](DomId domid) {
        const auto at = rings_.find(domid.raw);
        return at == rings_.end() ? RingResume{} : at->second->session.state();
    };
    (void)server_->journal().take_group();  // the snapshot has it
    const auto written = journal_.rewrite(server_->snapshot(state_of));
    if (written && journal_lost_) log("Recovery is on again");
    if (!written && !journal_lost_) log("Recovery is off, this process must not end: " + written.failure().text);
    journal_lost_ = !written;
    if (!journal_lost_) return;
    retry_at_ = std::chrono::steady_clock::now() + retry;
    loop_->cancel(retry_timer_);
    retry_timer_ = loop_->after(retry, [] {});  // the turn that it wakes tries again
}

void Daemon::send_turn() {
    for (const uint64_t number : server_->take_touched()) {
        const Connection* c = server_->find(number);
        if (c == nullptr) continue;
        if (c->kind == ConnectionKind::ring) {
            served_rings_.insert(c->caller.domid.raw);
        } else {
            served_sockets_.insert(number);
        }
    }
    for (const uint64_t number : std::exchange(served_sockets_, {})) send_socket(number);
    for (const uint16_t domid : std::exchange(served_rings_, {})) send_ring(domid);
}

void Daemon::send_socket(uint64_t number) {
    const auto at = sockets_.find(number);
    Connection* connection = server_->find(number);
    if (at == sockets_.end() || connection == nullptr) return;
    SocketClient& client = *at->second;
    client.send(*connection);
    server_->catch_up(*connection);
    if (client.dead()) return close_socket(number);
    if (client.has_work(*connection)) ready_sockets_.insert(number);
    const uint32_t events = client.wanted_events(*connection);
    if (client.change_events(events)) loop_->change(client.fd(), events);
}

void Daemon::close_socket(uint64_t number) {
    const auto at = sockets_.find(number);
    if (at == sockets_.end()) return;
    loop_->forget(at->second->fd());
    if (Connection* connection = server_->find(number)) server_->remove(*connection);
    sockets_.erase(at);
}

void Daemon::send_ring(uint16_t domid) {
    const auto at = rings_.find(domid);
    const auto domain = server_->domains().find(domid);
    if (at == rings_.end() || domain == server_->domains().end() || domain->second.ring == nullptr) return;
    RingLink& link = *at->second;
    link.session.publish();
    Connection& connection = *domain->second.ring;
    link.session.transmit(*server_, connection);
    if (link.session.take_notification()) (void)events_->notify(link.port);
    if (connection.out.empty()) server_->catch_up(connection);
    // What was caught up goes out in the next turn: the journal must have it first.
    if (link.session.has_work(connection) || (connection.out.bytes() > 0 && server_->has_touched(connection))) {
        ready_rings_.insert(domid);
    }
}

}  // namespace xenstored
