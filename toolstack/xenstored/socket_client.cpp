// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xenstored/socket_client.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

namespace xenstored {

namespace {

constexpr size_t unread_limit = 256 * 1024;  // output a client may leave unread before it is no longer listened to

base::Result<proto::XsPeek> peek(const std::string& input) {
    return proto::peek_message(std::as_bytes(std::span(input.data(), input.size())));
}

}  // namespace

void SocketClient::receive() {
    char part[proto::xs_message_max];
    const ssize_t n = ::recv(fd_.get(), part, sizeof part, MSG_DONTWAIT);
    if (n > 0) {
        input_.append(part, static_cast<size_t>(n));
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        dead_ = true;
    }
}

void SocketClient::serve(Server& server, Connection& connection) {
    if (dead_ || connection.out.bytes() > unread_limit) return;
    auto found = peek(input_);
    if (found && !found.value().complete) {
        receive();
        if (dead_) return;
    }
    const auto now = peek(input_);
    if (!now) {
        dead_ = true;
        return;
    }
    if (!now.value().complete) return;
    const size_t size = now.value().message.size();
    server.handle(connection, now.value().message);
    input_.erase(0, size);
}

bool SocketClient::has_work(const Connection& connection) const {
    if (dead_ || connection.out.bytes() > unread_limit) return false;
    const auto found = peek(input_);
    return !found || found.value().complete;
}

void SocketClient::send(Connection& connection) {
    while (!dead_ && !connection.out.empty()) {
        const std::string_view front = connection.out.front();
        const ssize_t n = ::send(fd_.get(), front.data(), front.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            connection.out.consume(static_cast<size_t>(n));
        } else if (errno == EINTR) {
            continue;
        } else {
            dead_ = dead_ || errno != EAGAIN;
            return;
        }
    }
}

uint32_t SocketClient::wanted_events(const Connection& connection) const {
    uint32_t events = 0;
    if (connection.out.bytes() <= unread_limit) events |= EPOLLIN;
    if (!connection.out.empty()) events |= EPOLLOUT;
    return events;
}

}  // namespace xenstored
