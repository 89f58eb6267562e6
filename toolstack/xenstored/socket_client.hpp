// SPDX-License-Identifier: Apache-2.0
/// One client on a unix socket: bytes to messages and back. Never blocks.
#pragma once

#include <cstdint>
#include <string>

#include "toolstack/service/fd.hpp"
#include "toolstack/xenstored/server.hpp"

namespace xenstored {

class SocketClient {
public:
    SocketClient(service::Fd fd, uint64_t number) : fd_(std::move(fd)), number_(number) {}

    int fd() const { return fd_.get(); }
    uint64_t number() const { return number_; }
    /// Reads what there is, as far as a whole message needs, and does one request.
    void serve(Server& server, Connection& connection);
    /// Sends as much as the socket takes.
    void send(Connection& connection);
    /// A whole request is buffered.
    bool has_work(const Connection& connection) const;
    /// The client hung up or broke the protocol.
    bool dead() const { return dead_; }
    /// The epoll events that matter now. A client that does not read its replies is not listened to.
    uint32_t wanted_events(const Connection& connection) const;
    /// Remembers what epoll was told; true if `events` differs.
    bool change_events(uint32_t events) { return std::exchange(events_, events) != events; }

private:
    void receive();

    service::Fd fd_;
    uint64_t number_;
    std::string input_;
    uint32_t events_ = 0;
    bool dead_ = false;
};

}  // namespace xenstored
