// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/relocation_server.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "toolstack/service/caught.hpp"
#include "toolstack/service/listen.hpp"
#include "toolstack/service/log.hpp"
#include "toolstack/service/peer.hpp"

namespace xend {

using base::Outcome;
using service::Fd;
using service::log;
using service::LogLevel;

namespace {

constexpr int most_served = 8;
constexpr int most_looked_up = most_served / 2;
constexpr std::chrono::milliseconds accept_pause{100};  // when there is no descriptor left

}  // namespace

RelocationServer::RelocationServer(service::EventLoop& loop, Dispatcher& dispatcher, Manager& manager,
                                   const ServerSettings& settings)
    : loop_(loop), dispatcher_(dispatcher), manager_(manager), settings_(settings) {}

RelocationServer::~RelocationServer() {
    if (listener_) loop_.forget(listener_.get());
}

std::string RelocationServer::address_of(const ServerSettings& settings) {
    if (!settings.relocation_address.empty()) return settings.relocation_address;
    return settings.relocation_plain ? "0.0.0.0" : "127.0.0.1";
}

Outcome<> RelocationServer::listen() {
    allowed_ = OTRY(AllowedHosts::parse(settings_.relocation_hosts).context("xend-relocation-hosts-allow"));
    listener_ = OTRY(service::listen_tcp(address_of(settings_), settings_.relocation_port));
    return loop_.watch(listener_.get(), EPOLLIN, [this](uint32_t) { accept(); });
}

void RelocationServer::accept() {
    Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
        loop_.change(listener_.get(), 0);  // it would be ready all the time
        loop_.after(accept_pause, [this] { loop_.change(listener_.get(), EPOLLIN); });
    }
    if (!fd) return;
    if (served_ >= most_served) return log(LogLevel::warning, "relocation: too many connections; one more was closed");
    ++served_;
    auto shared = std::make_shared<Fd>(std::move(fd));
    dispatcher_.post("relocation " + std::to_string(next_++), [this, shared] {
        const auto done = service::caught([&]() -> Outcome<> {
            serve(std::move(*shared));
            return base::ok;
        });
        if (!done) log(LogLevel::error, "relocation: " + done.failure().text);
        --served_;
    });
}

std::string RelocationServer::refusal(const PeerNames& peer, bool root, bool plain) {
    if (peer.local && !root) return "it is not root of this machine";
    if (!peer.local && !plain) return "it comes from another machine without encryption, and (xend-relocation-plain no) stands";
    return {};
}

/// By its address if that is enough: strangers whose names nobody tells must not take the place of who is known.
bool RelocationServer::allows(int socket, PeerNames& peer) {
    if (allowed_.allow(peer.all, peer.local)) return true;
    const bool asks = ++looked_up_ <= most_looked_up;
    if (asks) look_up_names(socket, peer);
    --looked_up_;
    return asks && allowed_.allow(peer.all, peer.local);
}

/// In a job.
void RelocationServer::serve(Fd fd) {
    auto peer = peer_of(fd.get());
    if (!peer) return;
    std::string why = refusal(*peer, peer->local && service::peer_is_root(fd.get()), settings_.relocation_plain);
    if (why.empty() && !allows(fd.get(), *peer)) why = "it is not among xend-relocation-hosts-allow";
    SocketLine line(std::move(fd), peer->address);
    if (!why.empty()) {
        log(LogLevel::warning, "relocation: " + peer->address + " is refused: " + why);
        static_cast<void>(line.say(proto::relocation::Refuse{"the other host refuses this one: " + why}));
        return;
    }
    const auto received = manager_.receive(line);
    if (!received) log(LogLevel::error, "relocation: " + received.failure().text);
}

}  // namespace xend
