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

constexpr std::chrono::milliseconds for_first_byte{10'000};

void refuse(migration::Line& line, const std::string& why) {
    log(LogLevel::warning, "relocation: " + line.peer() + " is refused: " + why);
    static_cast<void>(line.say(proto::relocation::Refuse{"the other host refuses this one: " + why}));
}

constexpr int most_served = 8;
constexpr int most_looked_up = most_served / 2;
constexpr std::chrono::milliseconds accept_pause{100};  // when there is no descriptor left

}  // namespace

RelocationServer::RelocationServer(service::EventLoop& loop, Dispatcher& dispatcher, Manager& manager,
                                   const ServerSettings& settings, HostKeys& keys, Asked asked)
    : loop_(loop), dispatcher_(dispatcher), manager_(manager), settings_(settings), keys_(keys), asked_(std::move(asked)) {}

RelocationServer::~RelocationServer() {
    if (listener_) loop_.forget(listener_.get());
}

std::string RelocationServer::address_of(const ServerSettings& settings) {
    return settings.relocation_address.empty() ? "0.0.0.0" : settings.relocation_address;
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

Speech speech_of(unsigned char first) {
    if (first == 0x16) return Speech::tls;                                  // a handshake
    if (first == 1) return Speech::plain;                                   // the type of a HELLO
    return first == 'r' || first == '(' ? Speech::classic : Speech::other;  // "receive", "(xfr.hello"
}

std::string RelocationServer::refusal(const Caller& caller, bool plain) {
    const bool local = caller.peer.local;
    if (local && !caller.root) return "it is not root of this machine";
    if (caller.speech == Speech::tls) {
        if (caller.expired) return "its key has expired: it must be paired anew ('xm host-pair')";
        return caller.paired || caller.pairs ? "" : "it is not paired with this host ('xm host-pair')";
    }
    if (!local && !plain) return "it comes from another machine without encryption, and (xend-relocation-plain no) stands";
    if (caller.speech == Speech::classic)
        return "it is a xend of before Xen 4, whose images are of another kind: save the domain there, and convert the file "
               "(convert-legacy-stream)";
    return caller.speech == Speech::plain ? "" : "it does not speak as a xend does";
}

/// With what its names say.
std::string RelocationServer::refusal(int socket, Caller& caller) {
    std::string why = refusal(caller, settings_.relocation_plain);
    if (!why.empty() || allows(socket, caller)) return why;
    return "it is not among xend-relocation-hosts-allow";
}

/// By its address if that is enough: strangers whose names nobody tells must not take the place of who is known.
bool RelocationServer::allows(int socket, Caller& caller) {
    const bool known = caller.peer.local || caller.speech == Speech::tls;
    if (allowed_.allow(caller.peer.all, known)) return true;
    const bool asks = ++looked_up_ <= most_looked_up;
    if (asks) asked_.look_up(socket, caller.peer);
    --looked_up_;
    return asks && allowed_.allow(caller.peer.all, known);
}

/// In a job.
void RelocationServer::serve(Fd fd) {
    auto peer = peer_of(fd.get());
    if (!peer) return;
    Caller caller;
    caller.peer = std::move(peer).take();
    caller.root = caller.peer.local && asked_.is_root(fd.get());
    const auto first = first_byte(fd.get(), for_first_byte);
    if (!first) return log(LogLevel::warning, "relocation: " + caller.peer.address + ": " + first.failure().text);
    caller.speech = speech_of(*first);
    if (caller.speech == Speech::tls) serve_tls(std::move(fd), caller);
    else serve_plain(std::move(fd), caller);
}

void RelocationServer::serve_tls(Fd fd, Caller& caller) {
    const std::string who = "relocation: " + caller.peer.address;
    const int socket = fd.get();
    const auto own = keys_.own();
    if (!own) return log(LogLevel::error, who + " is not served: " + own.failure().text);
    auto line = TlsLine::open(std::move(fd), caller.peer.address, *own, TlsLine::Side::server);
    if (!line) return log(LogLevel::warning, who + ": " + line.failure().text);
    caller.pairs = (*line)->purpose() == TlsLine::Purpose::pairing;
    caller.expired = (*line)->expired();
    const auto known = keys_.paired((*line)->key());
    caller.paired = known && *known;
    const std::string why = refusal(socket, caller);
    if (!why.empty()) return refuse(**line, why);
    if (!caller.pairs) return talk(std::move(line).take());
    const auto proposed = propose(caller, **line);
    if (!proposed) log(LogLevel::error, who + ": " + proposed.failure().text);
}

void RelocationServer::serve_plain(Fd fd, Caller& caller) {
    const std::string why = refusal(fd.get(), caller);
    if (caller.speech == Speech::classic) {  // in its words
        const std::string answer = "(xend.err '" + why + "')\n";
        (void)::send(fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        return log(LogLevel::warning, "relocation: " + caller.peer.address + " is refused: " + why);
    }
    auto line = std::make_unique<SocketLine>(std::move(fd), caller.peer.address);
    if (why.empty()) talk(std::move(line));
    else refuse(*line, why);
}

void RelocationServer::talk(std::unique_ptr<migration::Line> line) {
    const auto received = manager_.receive(std::move(line));
    if (!received) log(LogLevel::error, "relocation: " + received.failure().text);
}

/// An operator of each side compares the words and says that they are the same; until then nothing has changed.
Outcome<> RelocationServer::propose(const Caller& caller, TlsLine& line) {
    const std::string& address = caller.peer.address;
    keys_.propose({address, address, {}, {}}, line.key(), KnownHost::Standing::asks);
    log(LogLevel::warning, "relocation: " + address + " asks to be paired: 'xm host-list' shows its words");
    return line.say(proto::relocation::Accept{});
}

}  // namespace xend
