// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/http_server.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <map>
#include <vector>

#include "toolstack/service/listen.hpp"
#include "toolstack/service/peer.hpp"
#include "toolstack/xend/server/http_message.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using service::EventLoop;
using service::Fd;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds idle_timeout{30'000};     // for a whole request to come, for a reply to be read
constexpr milliseconds stranger_timeout{5'000};  // the same for one that has not shown who it is
constexpr milliseconds heartbeat{15'000};        // of an answer that goes on
constexpr milliseconds accept_pause{100};        // when there is no descriptor left
constexpr size_t most_strangers = 64;            // at once; the next ones wait in the kernel
constexpr int accepted_at_once = 16;

bool is_local_host(std::string_view host) {
    if (host.empty()) return true;
    for (const std::string_view own : {"localhost", "127.0.0.1", "[::1]"}) {
        if (host == own || (host.starts_with(own) && host[own.size()] == ':')) return true;
    }
    return false;
}

enum class Peer : uint8_t { trusted, anybody };

enum class Methods : uint8_t { get_and_post, any };

/// Why a request is refused before its body is read; empty when it is not. It needs the head alone.
std::string refusal(const HttpRequest& request, Methods methods, Peer peer, int fd) {
    if (!request.get && !request.post && methods != Methods::any) return "Only GET and POST are understood.";
    if (peer == Peer::trusted) return {};
    // A page in a browser on this machine must not reach us under another host's name.
    if (!is_local_host(request.host)) return "Not this host.";
    if (request.has_origin) return "Requests of web pages are not served.";
    if (!service::peer_is_root(fd)) return "Only root may do this.";
    return {};
}

/// A client: it is read from until a request is whole, then left alone until the reply is there, then written to.
struct Connection {
    Connection(Fd f, Peer p) : fd(std::move(f)), peer(p) {}
    Fd fd;
    Peer peer;
    HttpParser parser;
    std::string input;
    std::string output;
    unsigned version = 11;
    bool keep_alive = false;
    EventLoop::Timer timer = 0;
    std::shared_ptr<Feed> feed{};  // once its answer goes on
    milliseconds patience() const { return peer == Peer::trusted ? idle_timeout : stranger_timeout; }
};

}  // namespace

struct HttpServer::Impl {
    EventLoop& loop;
    Handler handler;
    std::map<std::string, RawHandler, std::less<>> raw;  // by path
    struct Below {
        RawHandler handler;
        Refused refused;
    };
    std::map<std::string, Below, std::less<>> below;  // by what paths begin with
    Vitals* vitals;
    std::vector<Fd> listeners;
    std::map<uint64_t, Connection> connections;
    size_t strangers = 0;    // connections to be judged; root's socket is not theirs to fill
    int full_listener = -1;  // which waits until one of them goes
    uint64_t next = 1;
    std::shared_ptr<std::atomic<bool>> poked = std::make_shared<std::atomic<bool>>(false);

    Impl(EventLoop& l, Handler h, Vitals* v) : loop(l), handler(std::move(h)), vitals(v) {}
    ~Impl() {
        while (!connections.empty()) close(connections.begin()->first);
        for (const Fd& listener : listeners) loop.forget(listener.get());
    }

    Outcome<> add_listener(Fd listener, Peer peer) {
        const int fd = listener.get();
        OTRY(loop.watch(fd, EPOLLIN, [this, fd, peer](uint32_t) { accept(fd, peer); }));
        listeners.push_back(std::move(listener));
        return base::ok;
    }

    void accept(int listener, Peer peer) {
        for (int i = 0; i < accepted_at_once; ++i) {
            Fd fd(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (fd) {
                const uint64_t number = next++;
                if (peer == Peer::anybody && ++strangers >= most_strangers) {
                    loop.change(listener, 0);
                    full_listener = listener;
                }
                connections.try_emplace(number, std::move(fd), peer);
                listen_to(number);
                if (full_listener == listener) return;
            } else {
                if (errno != EMFILE && errno != ENFILE && errno != ENOMEM) return;
                loop.change(listener, 0);  // it would be ready all the time
                loop.after(accept_pause, [this, listener] {
                    if (listener != full_listener) loop.change(listener, EPOLLIN);
                });
                return;
            }
        }
    }

    void close(uint64_t number) {
        const auto at = connections.find(number);
        if (at == connections.end()) return;
        loop.cancel(at->second.timer);
        loop.forget(at->second.fd.get());
        if (at->second.peer == Peer::anybody) --strangers;
        connections.erase(at);
        if (strangers < most_strangers && full_listener >= 0) loop.change(std::exchange(full_listener, -1), EPOLLIN);
    }

    /// From now on the client is waited for: no longer than its patience().
    void wait_for(uint64_t number, uint32_t events, void (Impl::*ready)(uint64_t)) {
        Connection& c = connections.at(number);
        c.timer = loop.after(c.patience(), [this, number] { close(number); });
        if (!loop.watch(c.fd.get(), events, [this, number, ready](uint32_t) { (this->*ready)(number); })) close(number);
    }

    /// From now on it is not: a job takes as long as it takes.
    void stop_waiting(Connection& c) {
        loop.cancel(c.timer);
        loop.forget(c.fd.get());
    }

    void listen_to(uint64_t number) {
        wait_for(number, EPOLLIN, &Impl::read);
        if (connections.contains(number)) parse(number);  // the next request may be there already
    }

    void read(uint64_t number) {
        Connection& c = connections.at(number);
        std::array<char, 65536> part;
        const ssize_t n = ::recv(c.fd.get(), part.data(), part.size(), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n <= 0) return close(number);
        c.input.append(part.data(), static_cast<size_t>(n));
        parse(number);
    }

    void parse(uint64_t number) {
        Connection& c = connections.at(number);
        HttpParser::State state = c.parser.feed(c.input);
        if (state == HttpParser::State::head) {
            const HttpRequest head = c.parser.head();
            const Below* const folder = folder_of(head.target);
            const std::string why = refusal(head, folder != nullptr ? Methods::any : Methods::get_and_post, c.peer, c.fd.get());
            if (!why.empty())
                return refuse(number, head,
                              folder != nullptr ? folder->refused(403, why) : Reply{403, "text/plain", {}, why + "\n"});
            state = c.parser.feed(c.input);
        }
        if (state == HttpParser::State::more) return;
        if (state == HttpParser::State::broken) return close(number);
        stop_waiting(c);
        const HttpRequest in = c.parser.take();
        c.version = in.version;
        c.keep_alive = in.keep_alive;
        const Done done = [this, number](Reply made) {
            loop.post([this, number, made = std::move(made)] { reply(number, made); });
        };
        const auto other = raw.find(std::string_view(in.target).substr(0, in.target.find('?')));
        if (other != raw.end()) return other->second(in, done);
        if (const Below* const folder = folder_of(in.target); folder != nullptr) return folder->handler(in, done);
        Refusal why;
        auto request = decode_request(in, why);
        if (!request) return reply(number, {why.status, "text/plain", {}, why.text + "\n"});
        handler(std::move(*request), done);
    }

    /// What comes behind the head is not read: the connection is of no more use.
    void refuse(uint64_t number, const HttpRequest& head, const Reply& why) {
        Connection& c = connections.at(number);
        stop_waiting(c);
        c.version = head.version;
        c.keep_alive = false;
        reply(number, why);
    }

    /// Null: none that has paths of its own.
    const Below* folder_of(std::string_view target) const {
        for (const auto& [prefix, folder] : below)
            if (target.starts_with(prefix)) return &folder;
        return nullptr;
    }

    void reply(uint64_t number, const Reply& made) {
        Connection& c = connections.at(number);
        if (vitals != nullptr) vitals->replied(made.status);
        if (made.feed) return begin_feed(number, made);
        c.output = response_text(made, c.version, c.keep_alive);
        wait_for(number, EPOLLOUT, &Impl::write);
    }

    void write(uint64_t number) {
        Connection& c = connections.at(number);
        const ssize_t n = ::send(c.fd.get(), c.output.data(), c.output.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n < 0) return close(number);
        c.output.erase(0, static_cast<size_t>(n));
        if (!c.output.empty()) return;
        if (!c.keep_alive) return close(number);
        stop_waiting(c);
        listen_to(number);
    }

    /// From now on the connection is the feed's.
    void begin_feed(uint64_t number, const Reply& made) {
        Connection& c = connections.at(number);
        c.output = feed_head(made, c.version);
        c.input.clear();
        c.feed = made.feed;
        const auto ready = [this, number](uint32_t events) {
            if ((events & ~uint32_t{EPOLLOUT}) != 0 && !still_there(number)) return close(number);
            feed(number);
        };
        if (!loop.watch(c.fd.get(), EPOLLIN | EPOLLRDHUP, ready)) return close(number);
        c.timer = loop.after(heartbeat, [this, number] { beat(number); });
        feed(number);
    }

    /// What a reader says meanwhile is nobody's business, unless it is that it goes.
    bool still_there(uint64_t number) {
        std::array<char, 4096> part;
        const ssize_t n = ::recv(connections.at(number).fd.get(), part.data(), part.size(), MSG_DONTWAIT);
        return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
    }

    /// Sends what there is, as much as the reader takes. It never has more than a part of it waiting here.
    void feed(uint64_t number) {
        Connection& c = connections.at(number);
        const bool waited = !c.output.empty();
        for (;;) {
            if (c.output.empty() && c.feed->next(c.output) == Feed::State::over) return close(number);
            if (c.output.empty()) break;
            const ssize_t n = ::send(c.fd.get(), c.output.data(), c.output.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN && errno != EINTR) return close(number);
            if (n <= 0) break;
            c.output.erase(0, static_cast<size_t>(n));
            if (waited) reset_timer(number, c.patience());
        }
        loop.change(c.fd.get(), EPOLLIN | EPOLLRDHUP | (c.output.empty() ? 0U : uint32_t{EPOLLOUT}));
        if (waited != !c.output.empty()) reset_timer(number, c.output.empty() ? heartbeat : c.patience());
    }

    void reset_timer(uint64_t number, milliseconds time) {
        Connection& c = connections.at(number);
        loop.cancel(c.timer);
        c.timer = loop.after(time, [this, number] { beat(number); });
    }

    /// A reader that has taken nothing since is gone, or as good as.
    void beat(uint64_t number) {
        Connection& c = connections.at(number);
        if (!c.output.empty()) return close(number);
        c.output = ":\n\n";
        c.timer = loop.after(heartbeat, [this, number] { beat(number); });
        feed(number);
    }

    void feed_all() {
        std::vector<uint64_t> all;
        for (const auto& [number, c] : connections)
            if (c.feed && c.output.empty()) all.push_back(number);
        for (const uint64_t number : all) feed(number);
    }
};

HttpServer::HttpServer(EventLoop& loop, Handler handler, Vitals* vitals)
    : impl_(std::make_unique<Impl>(loop, std::move(handler), vitals)) {}
HttpServer::~HttpServer() = default;

void HttpServer::serve(const std::string& path, RawHandler handler) { impl_->raw[path] = std::move(handler); }

void HttpServer::serve_below(const std::string& prefix, RawHandler handler, Refused refused) {
    impl_->below[prefix] = {std::move(handler), std::move(refused)};
}

void HttpServer::poke() {
    if (impl_->poked->exchange(true)) return;
    impl_->loop.post([this, poked = impl_->poked] {
        *poked = false;
        impl_->feed_all();
    });
}

Outcome<> HttpServer::listen_unix(const std::string& path) {
    Fd listener = OTRY(service::listen_unix(path));
    return impl_->add_listener(std::move(listener), Peer::trusted);
}

Outcome<> HttpServer::listen_tcp(const std::string& address, uint16_t port) {
    auto listener = service::listen_loopback(address, port);
    if (!listener && listener.failure().code == Errc::inval) {
        return base::fail(Errc::inval, "xend-address '" + address + "' is not a loopback address; xend listens on no other");
    }
    if (!listener) return std::move(listener).take_failure();
    return impl_->add_listener(std::move(listener).take(), Peer::anybody);
}

}  // namespace xend
