// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "toolstack/service/event_loop.hpp"
#include "toolstack/xend/adapters/tcp_lines.hpp"
#include "toolstack/xend/core/manager.hpp"
#include "toolstack/xend/server/dispatcher.hpp"
#include "toolstack/xend/server/settings.hpp"

namespace xend {

/// Takes connections of other xends and hands each to a job of its own: who it is, and all that it says, is looked at there. So many
/// are served at once; more are closed.
class RelocationServer {
public:
    RelocationServer(service::EventLoop& loop, Dispatcher& dispatcher, Manager& manager, const ServerSettings& settings);
    ~RelocationServer();
    RelocationServer(const RelocationServer&) = delete;
    RelocationServer& operator=(const RelocationServer&) = delete;

    /// Errors: inval: the address, or who is allowed; of the system.
    base::Outcome<> listen();
    /// Where it listens when no address is given: without `plain` other machines could say nothing.
    static std::string address_of(const ServerSettings& settings);
    /// Why a peer is not served, whatever its names are; empty when it may be. Pure.
    static std::string refusal(const PeerNames& peer, bool root, bool plain);

private:
    void accept();
    void serve(service::Fd fd);
    bool allows(int socket, PeerNames& peer);

    service::EventLoop& loop_;
    Dispatcher& dispatcher_;
    Manager& manager_;
    const ServerSettings& settings_;
    AllowedHosts allowed_;
    service::Fd listener_;
    uint64_t next_ = 0;
    std::atomic<int> served_ = 0;
    std::atomic<int> looked_up_ = 0;  // whose names are asked for
};

}  // namespace xend
