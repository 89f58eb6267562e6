// SPDX-License-Identifier: Apache-2.0
/// One client: a socket of this domain, or the ring of a domain. Holds what waits to be sent to it.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "toolstack/xenstored/database.hpp"

namespace xenstored {

struct Watch;

/// Replies and events on their way to a client. An event equal to one that still waits is not queued again.
class Outbox {
public:
    using EventKey = std::pair<uint64_t, std::string>;  ///< watch number, path

    void add_reply(std::string bytes);
    /// False if the same event is waiting already.
    bool add_event(EventKey key, std::string bytes);
    /// Bytes that wait at the front, contiguous.
    std::string_view front() const;
    /// The transport took `n` bytes of front().
    void consume(size_t n);
    void clear();

    bool empty() const { return frames_.empty(); }
    size_t bytes() const { return bytes_; }
    /// Replies not wholly taken yet.
    size_t replies() const { return replies_; }
    /// All that waits, in one string.
    std::string all() const;

private:
    struct Frame {
        std::string bytes;
        bool reply;
        EventKey key;
    };
    std::deque<Frame> frames_;
    std::set<EventKey> waiting_events_;
    size_t taken_ = 0;  ///< of the first frame
    size_t bytes_ = 0;
    size_t replies_ = 0;
};

enum class ConnectionKind : uint8_t { socket, ring };

struct Connection {
    uint64_t number = 0;  ///< never used twice
    ConnectionKind kind = ConnectionKind::socket;
    Caller caller{DomId{0}, std::nullopt};
    std::string home;
    Outbox out;
    std::map<uint32_t, Transaction> transactions;
    /// By path and token as the client gave them.
    std::map<std::pair<std::string, std::string>, std::shared_ptr<Watch>> watches;
    /// Watches that lost events because the outbox was full; each gets one event for its own path when there is room.
    std::set<uint64_t> behind;
};

}  // namespace xenstored
