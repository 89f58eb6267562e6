// SPDX-License-Identifier: Apache-2.0
/// The store daemon as a pure state machine: requests in, replies and events out, and a journal of what must survive.
///
///   handle(connection, message)  ->  connection.out gets the reply and other connections their events
///                                ->  journal() gets what the loop must write before it sends any of them
///
/// Nothing here blocks or does I/O; what a request needs from outside (attaching a ring, asking about a domain) goes
/// through Effects. Work per request is bounded by the request's size and the depth of the tree, except for removing and
/// committing, which cost what they change.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/outcome.hpp"
#include "lib/proto/xs_wire.hpp"
#include "toolstack/xenstored/connection.hpp"
#include "toolstack/xenstored/journal.hpp"
#include "toolstack/xenstored/watches.hpp"

namespace xenstored {

/// What the hypervisor says about a domain.
struct DomainState {
    bool exists = false;
    bool dying = false;
    bool shutdown = false;
};

/// Where a ring's indexes stand when it is attached.
struct RingStart {
    uint32_t request_consumer = 0;
    uint32_t response_producer = 0;
};

/// How a ring is taken up.
enum class Attach : uint8_t {
    fresh,     ///< a new domain: the indexes start at zero
    as_it_is,  ///< domain 0's, or one that was there before a restart: requests may wait in it
};

/// What the state machine needs done outside.
class Effects {
public:
    virtual ~Effects() = default;
    virtual base::Outcome<RingStart> attach_ring(DomId domid, base::Gfn gfn, base::Port port, Attach how) = 0;
    virtual void detach_ring(DomId domid) = 0;
    virtual DomainState domain_state(DomId domid) = 0;
    /// One line for the daemon's log.
    virtual void log(const std::string& line) = 0;
};

/// A domain whose ring we serve.
struct Domain {
    DomainRecord record;
    Connection* ring = nullptr;
};

/// What recovery found for one ring, for the transport to go on with.
struct RingResume {
    uint32_t consumed = 0;      ///< requests read so far (index)
    std::string partial;        ///< bytes of an incomplete request
    uint32_t output_index = 0;  ///< response index at which `output` begins
    std::string output;         ///< all bytes produced from there
};

class Server {
public:
    Server(const Quota& quota, Effects& effects, Generation first);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// A new privileged client on a socket. The reference is good until remove().
    Connection& add_socket();
    void remove(Connection& connection);
    /// Does one request. The reply goes to connection.out.
    void handle(Connection& connection, const proto::XsMessage& message);
    /// Takes up domain 0's own ring (which nobody introduces).
    base::Outcome<base::Unit> introduce_local(base::Gfn gfn, base::Port port, Attach how);
    /// A ring broke the protocol: its requests and watches are dropped; the domain itself stays known.
    void ring_failed(DomId domid);
    /// The guest asked for a reconnection through its ring page.
    void ring_reconnected(DomId domid);
    /// Looks which domains have shut down or gone, and announces them. Called on VIRQ_DOM_EXC and after recovery.
    void check_domains();
    /// When a connection's outbox has room again: events for watches that had lost some.
    void catch_up(Connection& connection);

    /// Connections whose outbox has gained something since the last call, by number.
    std::set<uint64_t> take_touched() { return std::exchange(touched_, {}); }
    bool has_touched(const Connection& connection) const { return touched_.contains(connection.number); }
    /// The connection of that number, or null.
    Connection* find(uint64_t number);

    JournalWriter& journal() { return journal_; }
    /// Everything a restart needs, in groups, for a fresh journal. `rings` tells each ring's transport state.
    std::vector<std::string> snapshot(const std::function<RingResume(DomId)>& rings);
    /// Rebuilds the state from a journal's contents, before anything else is done. Rings are attached by the caller:
    /// for each of domains(), attach, then resume_output().
    size_t recover(std::string_view file, std::string_view boot_id);
    const RingResume& resume_of(DomId domid) { return resume_[domid.raw]; }
    /// Queues what `domid` has not yet got, given the response index its page shows.
    /// Errors: io when the page's index cannot be right.
    base::Status resume_output(DomId domid, uint32_t response_producer);

    std::map<uint16_t, Domain>& domains() { return domains_; }
    const Database& database() const { return database_; }
    Database& database() { return database_; }
    size_t watch_count() const { return watches_.size(); }
    /// Every request and reply goes to Effects::log ("log|on").
    void set_tracing(bool on) { tracing_ = on; }
    /// Nodes at start-up of an empty store.
    void create_initial_nodes();

private:
    friend class Recovery;
    using Reply = Result<std::string>;
    using Handler = Reply (Server::*)(Connection&, const proto::XsMessage&);
    struct Operation {
        Handler handler = nullptr;
        bool privileged = false;
    };
    static Operation operation(uint32_t type);

    Reply on_directory(Connection&, const proto::XsMessage&);
    Reply on_directory_part(Connection&, const proto::XsMessage&);
    Reply on_read(Connection&, const proto::XsMessage&);
    Reply on_write(Connection&, const proto::XsMessage&);
    Reply on_mkdir(Connection&, const proto::XsMessage&);
    Reply on_remove(Connection&, const proto::XsMessage&);
    Reply on_get_permissions(Connection&, const proto::XsMessage&);
    Reply on_set_permissions(Connection&, const proto::XsMessage&);
    Reply on_watch(Connection&, const proto::XsMessage&);
    Reply on_unwatch(Connection&, const proto::XsMessage&);
    Reply on_reset_watches(Connection&, const proto::XsMessage&);
    Reply on_transaction_start(Connection&, const proto::XsMessage&);
    Reply on_transaction_end(Connection&, const proto::XsMessage&);
    Reply on_introduce(Connection&, const proto::XsMessage&);
    Reply on_release(Connection&, const proto::XsMessage&);
    Reply on_domain_path(Connection&, const proto::XsMessage&);
    Reply on_is_introduced(Connection&, const proto::XsMessage&);
    Reply on_resume(Connection&, const proto::XsMessage&);
    Reply on_set_target(Connection&, const proto::XsMessage&);
    Reply on_control(Connection&, const proto::XsMessage&);

    Connection& add_connection(ConnectionKind kind, DomId domid);
    Result<Scope> scope_of(Connection& connection, const proto::XsMessage& message);
    Result<std::string> path_of(const Connection& connection, const proto::XsMessage& message);
    Status add_watch(Connection& connection, const std::string& path, const std::string& token);
    void drop_watches_and_transactions(Connection& connection);
    void drop_domain(DomId domid);
    Permissions* special_permissions(std::string_view name);

    void trace(const Connection& connection, const proto::XsMessage& message, const Reply& reply);
    void send_reply(Connection& to, uint32_t type, const xen::XsdSockMsg& request, std::string_view payload);
    void send_event(Watch& watch, const std::string& path);
    void fire_special(const std::string& name);
    void fire(const Applied& applied);
    void fire_removed(const Altered& altered);
    void publish_applied();

    Quota quota_;
    Effects& effects_;
    Database database_;
    WatchTable watches_;
    JournalWriter journal_;
    std::map<uint64_t, std::unique_ptr<Connection>> connections_;
    std::map<uint16_t, Domain> domains_;
    std::map<std::string, Permissions, std::less<>> special_;
    std::map<uint16_t, RingResume> resume_;
    std::set<uint64_t> touched_;
    uint64_t next_number_ = 1;
    uint32_t next_transaction_ = 1;
    bool tracing_ = false;
};

}  // namespace xenstored
