// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xenstored/ring_session.hpp"

namespace xenstored {

namespace {

base::Result<proto::XsPeek> peek(const std::string& input) {
    return proto::peek_message(std::as_bytes(std::span(input.data(), input.size())));
}

}  // namespace

void RingSession::resume(uint32_t consumed, std::string partial) {
    ring_.adopt(consumed);
    input_ = std::move(partial);
}

void RingSession::fail(Server& server, uint32_t error, std::string reason) {
    ring_.show_error(error);
    broken_ = true;
    reason_ = std::move(reason);
    notify_ = true;
    server.ring_failed(domid_);
}

void RingSession::serve(Server& server, Connection& connection) {
    if (ring_.wants_reconnection()) {
        server.ring_reconnected(domid_);
        ring_.start_fresh();
        input_.clear();
        broken_ = false;
        notify_ = true;
        return;
    }
    if (broken_ || connection.out.replies() > 0) return;
    for (;;) {
        const auto found = peek(input_);
        if (!found) return fail(server, xen::XENSTORE_ERROR_PROTO, "a message longer than the protocol allows");
        if (found.value().complete) {
            server.handle(connection, found.value().message);
            input_.clear();
            break;
        }
        const size_t have = input_.size();
        input_.resize(found.value().wanted);
        const auto got = ring_.read(std::span(input_).subspan(have));
        input_.resize(have + (got ? got.value() : 0));
        if (!got) return fail(server, xen::XENSTORE_ERROR_RINGIDX, "impossible request index");
        if (got.value() == 0) break;
        dirty_ = true;
    }
    if (dirty_) server.journal().ring_input(domid_, ring_.consumed(), input_);
}

bool RingSession::has_work(const Connection& connection) const {
    if (broken_ || connection.out.replies() > 0) return false;
    const auto n = ring_.readable();
    return !n || n.value() > 0;
}

void RingSession::publish() {
    if (!dirty_) return;
    ring_.publish();
    dirty_ = false;
    notify_ = true;
}

void RingSession::transmit(Server& server, Connection& connection) {
    while (!broken_ && !connection.out.empty()) {
        const auto n = ring_.write(connection.out.front());
        if (!n) return fail(server, xen::XENSTORE_ERROR_RINGIDX, "impossible response index");
        if (n.value() == 0) return;
        connection.out.consume(n.value());
        notify_ = true;
    }
}

}  // namespace xenstored
