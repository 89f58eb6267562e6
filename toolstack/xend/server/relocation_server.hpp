// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "toolstack/service/event_loop.hpp"
#include "toolstack/service/peer.hpp"
#include "toolstack/xend/adapters/tls_lines.hpp"
#include "toolstack/xend/core/manager.hpp"
#include "toolstack/xend/server/dispatcher.hpp"
#include "toolstack/xend/server/settings.hpp"

namespace xend {

/// What the first byte of a connection announces.
enum class Speech : uint8_t {
    tls,
    plain,    // our messages as they are
    classic,  // what xend 2.0 to 3.4 said
    other
};
Speech speech_of(unsigned char first);

/// Who has connected, and how.
struct Caller {
    PeerNames peer;
    bool root = false;  // of this machine, when it is this machine
    Speech speech = Speech::other;
    bool pairs = false;   // it only wants to be paired
    bool paired = false;  // it has shown a key that is known here
    bool expired = false;
};

/// Takes connections of other xends and hands each to a job of its own: who it is, and all that it says, is looked at there. So many
/// are served at once; more are closed.
class RelocationServer {
public:
    /// Who is asked about callers, by their sockets.
    struct Asked {
        std::function<void(int, PeerNames&)> look_up = look_up_names;
        std::function<bool(int)> is_root = service::peer_is_root;
    };
    RelocationServer(service::EventLoop& loop, Dispatcher& dispatcher, Manager& manager, const ServerSettings& settings,
                     HostKeys& keys, Asked asked = {look_up_names, service::peer_is_root});
    ~RelocationServer();
    RelocationServer(const RelocationServer&) = delete;
    RelocationServer& operator=(const RelocationServer&) = delete;

    /// Errors: inval: the address, or who is allowed; of the system.
    base::Outcome<> listen();
    /// Where it listens when no address is given.
    static std::string address_of(const ServerSettings& settings);
    /// Why a caller is not served, whatever its names are; empty when it may be. Pure.
    static std::string refusal(const Caller& caller, bool plain);

private:
    void accept();
    void serve(service::Fd fd);
    std::string refusal(int socket, Caller& caller);
    bool allows(int socket, Caller& caller);
    void serve_tls(service::Fd fd, Caller& caller);
    void serve_plain(service::Fd fd, Caller& caller);
    void talk(std::unique_ptr<migration::Line> line);
    base::Outcome<> propose(const Caller& caller, TlsLine& line);

    service::EventLoop& loop_;
    Dispatcher& dispatcher_;
    Manager& manager_;
    const ServerSettings& settings_;
    HostKeys& keys_;
    const Asked asked_;
    AllowedHosts allowed_;
    service::Fd listener_;
    uint64_t next_ = 0;
    std::atomic<int> served_ = 0;
    std::atomic<int> looked_up_ = 0;  // whose names are asked for
};

}  // namespace xend
