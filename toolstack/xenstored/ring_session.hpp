// SPDX-License-Identifier: Apache-2.0
/// One domain's conversation with the server over its ring, a step at a time. No I/O but the page itself, so that tests
/// drive it over plain memory.
///
/// A turn of the loop: serve() -> [journal written] -> publish() -> transmit() -> notify the guest if told so.
#pragma once

#include <optional>
#include <string>

#include "toolstack/xenstored/server.hpp"
#include "toolstack/xenstored/store_ring.hpp"

namespace xenstored {

class RingSession {
public:
    RingSession(DomId domid, void* page) : domid_(domid), ring_(page) {}

    StoreRing& ring() { return ring_; }
    /// Goes on after a restart with bytes of a request that was half read.
    void resume(uint32_t consumed, std::string partial);

    /// Takes at most one request and does it. A guest that does not read its replies is not served further.
    void serve(Server& server, Connection& connection);
    /// There may be more to do without waiting for the guest.
    bool has_work(const Connection& connection) const;
    /// Shows the guest what was taken; the journal has it by now.
    void publish();
    /// Moves waiting output into the ring, as much as fits.
    void transmit(Server& server, Connection& connection);
    /// True once per change the guest should be told of.
    bool take_notification() { return std::exchange(notify_, false); }

    bool broken() const { return broken_; }
    /// Why, for the log.
    const std::string& reason() const { return reason_; }
    RingResume state() const { return {ring_.consumed(), input_, ring_.produced(), {}}; }

private:
    void fail(Server& server, uint32_t error, std::string reason);

    DomId domid_;
    StoreRing ring_;
    std::string input_;
    bool dirty_ = false;  ///< taken but not published
    bool notify_ = false;
    bool broken_ = false;
    std::string reason_;
};

}  // namespace xenstored
