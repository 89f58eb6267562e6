// SPDX-License-Identifier: Apache-2.0
/// Connection, requests and events. The operations are in wire_operations.cpp.
#include "toolstack/xenstore/wire_store.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace xenstore {

using base::Errc;
using base::fail;
using base::Failure;
using base::Outcome;
using base::Unit;
using service::system_failure;

namespace {

constexpr auto retry_pause = std::chrono::milliseconds(100);

void add_to_poll(int poll, int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ::epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

service::Fd connect_socket(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return {};
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    service::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (fd && ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return {};
    return fd;
}

Location with_defaults(Location where) {
    if (where.sockets.empty()) {
        if (const char* path = std::getenv("XENSTORED_PATH")) {
            where.sockets = {path};
        } else {
            where.sockets = {"/run/xenstored/socket", "/var/run/xenstored/socket"};
        }
    }
    if (where.device.empty()) where.device = "/dev/xen/xenbus";
    return where;
}

}  // namespace

Outcome<Unit> WireStore::open() {
    poll_ = service::Fd(::epoll_create1(EPOLL_CLOEXEC));
    waiting_ = service::Fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    retry_ = service::Fd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    if (!poll_ || !waiting_ || !retry_) return system_failure("Cannot make descriptors for the store");
    add_to_poll(poll_.get(), waiting_.get());
    add_to_poll(poll_.get(), retry_.get());
    return connect();
}

Outcome<Unit> WireStore::connect() {
    std::string tried;
    for (const std::string& path : where_.sockets) {
        connection_ = connect_socket(path);
        if (connection_) break;
        tried += (tried.empty() ? "" : ", ") + path + ": " + std::strerror(errno);
    }
    if (!connection_ && where_.device != "none") {
        connection_ = service::Fd(::open(where_.device.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
        if (!connection_) tried += ", " + where_.device + ": " + std::strerror(errno);
    }
    if (!connection_) return fail(Errc::notconn, "Cannot reach xenstored (is it running?): " + tried);
    add_to_poll(poll_.get(), connection_.get());
    const itimerspec off{};
    ::timerfd_settime(retry_.get(), 0, &off, nullptr);
    return set_watches_again();
}

Outcome<Unit> WireStore::set_watches_again() {
    for (const auto& [path, token] : watches_) {
        std::string payload = path;
        payload.append(1, '\0').append(token).append(1, '\0');
        const auto set = exchange(xen::XS_WATCH, {}, payload);
        if (!set && !connection_) return set.failure();
        // A watch that is refused now (a quota, say) stays wished for; the next connection may take it.
    }
    return base::ok;
}

/// A daemon that is being restarted is back within moments: wait for it as long as the caller's patience lasts.
Outcome<Unit> WireStore::connect_patiently() {
    const auto end = std::chrono::steady_clock::now() + where_.patience;
    for (;;) {
        auto made = connect();
        if (made || made.failure().code == Errc::timedout || std::chrono::steady_clock::now() >= end) return made;
        if (told_to_stop()) return fail(Errc::intr, "told to stop");
        std::this_thread::sleep_for(retry_pause);
    }
}

void WireStore::disconnect() {
    connection_ = service::Fd();  // leaves the epoll set by being closed
    input_.clear();
    transactions_.clear();
    const itimerspec every{{0, std::chrono::nanoseconds(retry_pause).count()},
                           {0, std::chrono::nanoseconds(retry_pause).count()}};
    ::timerfd_settime(retry_.get(), 0, &every, nullptr);
}

Failure WireStore::gone(const std::string& why, Errc code) {
    disconnect();
    return fail(code, (code == Errc::notconn ? "The connection to xenstored broke: " : "") + why);
}

bool WireStore::told_to_stop() const {
    pollfd stop{where_.stop, POLLIN, 0};
    return where_.stop >= 0 && ::poll(&stop, 1, 0) > 0;
}

/// Until the connection is ready for `events`. A connection on which an answer is still to come is of no more use.
Outcome<Unit> WireStore::wait_for(short events, Deadline end) {
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
        std::array<pollfd, 2> fds{pollfd{connection_.get(), events, 0}, pollfd{where_.stop, POLLIN, 0}};
        const int n =
            left < 0 ? 0 : ::poll(fds.data(), where_.stop >= 0 ? 2 : 1, static_cast<int>(std::min<int64_t>(left + 1, 1'000'000)));
        if (n < 0 && errno == EINTR) continue;
        if (n > 0 && fds[1].revents != 0) return gone("told to stop", Errc::intr);
        if (n != 0) return base::ok;
        if (std::chrono::steady_clock::now() < end) continue;
        hangs_ = true;
        return gone("xenstored does not answer", Errc::timedout);
    }
}

Outcome<Unit> WireStore::send_all(std::string_view bytes, Deadline end) {
    while (!bytes.empty()) {
        ssize_t n = ::send(connection_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n < 0 && errno == ENOTSOCK) n = ::write(connection_.get(), bytes.data(), bytes.size());
        if (n > 0) {
            bytes.remove_prefix(static_cast<size_t>(n));
        } else if (errno == EAGAIN) {
            OTRY(wait_for(POLLOUT, end));
        } else if (errno != EINTR) {
            return gone(std::strerror(errno));
        }
    }
    return base::ok;
}

Outcome<Unit> WireStore::receive(std::optional<Deadline> end) {
    char part[proto::xs_message_max];
    for (;;) {
        const ssize_t n = ::read(connection_.get(), part, sizeof part);
        if (n > 0) {
            input_.append(part, static_cast<size_t>(n));
            return base::ok;
        }
        if (n == 0) return gone("closed by the daemon");
        if (errno == EINTR) continue;
        if (errno != EAGAIN) return gone(std::strerror(errno));
        if (!end) return base::ok;
        OTRY(wait_for(POLLIN, *end));
    }
}

Outcome<std::optional<WireStore::Message>> WireStore::next_message() {
    const auto found = proto::peek_message(std::as_bytes(std::span(input_.data(), input_.size())));
    if (!found) return gone("a message longer than the protocol allows");
    if (!found.value().complete) return std::optional<Message>();
    const proto::XsMessage& m = found.value().message;
    std::optional<Message> message(Message{m.header, std::string(m.text())});
    input_.erase(0, m.size());
    return message;
}

void WireStore::keep_event(const std::string& payload) {
    proto::XsStrings strings(payload);
    if (strings.empty()) return;
    Event event;
    event.path = strings.next();
    if (!strings.empty()) event.token = strings.next();
    events_.push_back(std::move(event));
    show_waiting();
}

void WireStore::show_waiting() {
    uint64_t n = 1;
    if (events_.empty()) {
        (void)!::read(waiting_.get(), &n, sizeof n);
    } else {
        (void)!::write(waiting_.get(), &n, sizeof n);
    }
}

Outcome<uint32_t> WireStore::add_request(std::string& bytes, uint32_t type, TransactionId tx, std::string_view payload) {
    const size_t before = bytes.size();
    bytes.resize(before + proto::xs_header_size + payload.size());
    const uint32_t number = next_request_++;
    if (!proto::encode_message(std::as_writable_bytes(std::span(bytes).subspan(before)), type, number, tx.raw, payload))
        return fail(Errc::toobig, "longer than a store message may be");
    return number;
}

WireStore::Deadline WireStore::answer_deadline() const {
    return std::chrono::steady_clock::now() + (hangs_ ? where_.answer / 10 : where_.answer);
}

/// One request on the present connection. Errors: as answer_to().
Outcome<std::string> WireStore::exchange(uint32_t type, TransactionId tx, std::string_view payload) {
    std::string bytes;
    const uint32_t number = OTRY(add_request(bytes, type, tx, payload));
    const Deadline end = answer_deadline();
    OTRY(send_all(bytes, end));
    return answer_to(number, type, end);
}

Outcome<std::string> WireStore::answer_to(uint32_t number, uint32_t type, Deadline end) {
    for (;;) {
        std::optional<Message> message = OTRY(next_message());
        if (!message) {
            OTRY(receive(end));
            continue;
        }
        if (message->header.type == xen::XS_WATCH_EVENT) {
            keep_event(message->payload);
            continue;
        }
        if (message->header.req_id != number) continue;
        hangs_ = false;
        if (message->header.type == xen::XS_ERROR) {
            const std::string name = message->payload.c_str();
            const Errc code = proto::xs_error_code(name);
            return fail(code, std::strerror(static_cast<int>(code)));
        }
        if (message->header.type != type) return gone("an answer of another kind than the question");
        return std::move(message->payload);
    }
}

Failure WireStore::lost_transaction(const std::string& what) const {
    return fail(Errc::again, what + ": the transaction was lost when xenstored restarted");
}

Outcome<std::string> WireStore::request(uint32_t type, TransactionId tx, std::string_view payload, const std::string& what) {
    const auto end = std::chrono::steady_clock::now() + where_.patience;
    for (;;) {
        if (tx.raw != 0 && !transactions_.contains(tx.raw)) return lost_transaction(what);
        if (!connection_) OTRY(connect_patiently().context(what));
        auto reply = exchange(type, tx, payload);
        // Only what broke is tried again: a daemon that has let us wait this long would do so once more.
        if (reply || connection_ || reply.failure().code != Errc::notconn) return std::move(reply).context(what);
        if (std::chrono::steady_clock::now() >= end) return std::move(reply).context(what);
    }
}

WireStore::Status WireStore::command(uint32_t type, TransactionId tx, std::string_view payload, const std::string& what) {
    OTRY(request(type, tx, payload, what));
    return base::ok;
}

Outcome<std::optional<Event>> WireStore::poll_event() {
    if (events_.empty()) {
        if (!connection_) {
            uint64_t ticks = 0;
            (void)!::read(retry_.get(), &ticks, sizeof ticks);
            if (!connect()) return std::optional<Event>();
        }
        // A broken connection is no failure here: the timer tries again.
        const auto received = receive(std::nullopt);
        while (received && connection_) {
            auto message = next_message();
            if (!message || !*message) break;
            if ((*message)->header.type == xen::XS_WATCH_EVENT) keep_event((*message)->payload);
        }
    }
    if (events_.empty()) return std::optional<Event>();
    std::optional<Event> first(std::move(events_.front()));
    events_.pop_front();
    if (events_.empty()) show_waiting();
    return first;
}

Outcome<std::optional<Event>> WireStore::next_event(std::chrono::milliseconds timeout) {
    const auto end = std::chrono::steady_clock::now() + timeout;
    for (;;) {
        std::optional<Event> event = OTRY(poll_event());
        if (event) return event;
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        if (left.count() <= 0) return std::optional<Event>();
        pollfd readable{poll_.get(), POLLIN, 0};
        ::poll(&readable, 1, static_cast<int>(std::min<int64_t>(left.count() + 1, 1'000'000)));
    }
}

Outcome<std::unique_ptr<Store>> open_store(const Location& where) {
    auto store = std::make_unique<WireStore>(with_defaults(where));
    OTRY(store->open());
    return std::unique_ptr<Store>(std::move(store));
}

}  // namespace xenstore
