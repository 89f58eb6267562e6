// SPDX-License-Identifier: Apache-2.0
/// The event loop around Server: sockets, rings, event channels, signals, the journal's file.
///
/// One turn: wait -> serve one request of each client that has one -> write the journal -> publish and send. So no reply
/// is seen before what it tells is safe, and no client is served twice before the others are served once.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "toolstack/service/event_loop.hpp"
#include "toolstack/service/log.hpp"
#include "toolstack/xencall/privcmd.hpp"
#include "toolstack/xenctrl/control.hpp"
#include "toolstack/xenstored/journal_file.hpp"
#include "toolstack/xenstored/ring_session.hpp"
#include "toolstack/xenstored/socket_client.hpp"

namespace xenstored {

struct DaemonOptions {
    std::string directory = "/run/xenstored";
    std::string log_file;       ///< empty: standard error
    bool serve_domains = true;  ///< false: sockets only (no hypervisor needed)
    bool recover = true;
    bool trace = false;
    Quota quota;
};

/// A domain's ring with what keeps it mapped.
struct RingLink {
    RingLink(DomId domid, void* page) : session(domid, page) {}
    RingSession session;
    xencall::GrantMapping granted;
    xencall::ForeignMapping foreign;
    std::shared_ptr<void> local;  ///< domain 0's own page
    base::Port port;
};

class Daemon final : public Effects {
public:
    explicit Daemon(DaemonOptions options);
    ~Daemon() override;

    /// Recovers or starts anew, takes up the rings, listens. Errors: what is missing, in one line.
    base::Outcome<base::Unit> start();
    /// Serves until SIGTERM or SIGINT. Errors: the event loop itself failed.
    base::Outcome<base::Unit> run();

    base::Outcome<RingStart> attach_ring(DomId domid, base::Gfn gfn, base::Port port, Attach how) override;
    void detach_ring(DomId domid) override;
    DomainState domain_state(DomId domid) override;
    void log(const std::string& line) override { service::log(service::LogLevel::info, line); }

private:
    base::Outcome<base::Unit> open_hypervisor();
    base::Outcome<base::Unit> listen();
    base::Outcome<base::Unit> take_up_domain_zero(bool known);
    void take_up_known_rings();
    base::Outcome<std::unique_ptr<RingLink>> map_ring(DomId domid, base::Gfn gfn);

    void on_accept();
    void on_event_channels();
    void on_signal(int signal);
    void check_all_domains();

    void serve_turn();
    void serve_socket(uint64_t number);
    void serve_ring(uint16_t domid);
    void flush_journal();
    void compact();
    void send_turn();
    void send_socket(uint64_t number);
    void send_ring(uint16_t domid);
    void close_socket(uint64_t number);

    DaemonOptions options_;
    JournalFile journal_;
    std::unique_ptr<Server> server_;

    std::unique_ptr<xencall::Backend> backend_;
    std::unique_ptr<xenctrl::Control> control_;
    std::unique_ptr<xencall::EventChannels> events_;
    std::unique_ptr<xencall::Grants> grants_;
    std::optional<base::Port> death_port_;
    /// During one round of check_domains: all states, asked for at once.
    std::optional<std::map<uint16_t, DomainState>> states_;

    std::unique_ptr<service::EventLoop> loop_;
    service::Fd listener_;
    std::map<uint64_t, std::unique_ptr<SocketClient>> sockets_;
    std::map<uint16_t, std::unique_ptr<RingLink>> rings_;
    std::map<uint32_t, uint16_t> domain_of_port_;
    /// Who may have a request: sockets by connection number, rings by domain. Each is served once per turn.
    std::set<uint64_t> ready_sockets_;
    std::set<uint16_t> ready_rings_;
    /// Who was served this turn and must be looked after when sending.
    std::set<uint64_t> served_sockets_;
    std::set<uint16_t> served_rings_;
    bool journal_lost_ = false;
    service::EventLoop::Timer retry_timer_ = 0;
    std::chrono::steady_clock::time_point retry_at_;  ///< a full disk is not tried at every turn
};

}  // namespace xenstored
