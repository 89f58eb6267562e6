// SPDX-License-Identifier: Apache-2.0
/// The store client: what every tool uses to talk to xenstored.
///
/// `Store` is an interface, so that the simulator can put an in-process tree behind it; `open_store()` gives the real one.
/// Not thread-safe: one thread owns a Store. It fits an event loop: poll event_fd() for reading and, when it is
/// readable, call poll_event() until it returns nothing. Requests block until answered; events that arrive in between
/// are kept, and event_fd() stays readable while any are kept.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/outcome.hpp"
#include "lib/base/types.hpp"

namespace xenstore {

/// What a domain may do with a node.
enum class Access : uint8_t { none = 0, read = 1, write = 2, both = 3 };

/// One entry of a node's permissions: "n0", "r5", "w5", "b5" on the wire.
struct Permission {
    base::DomId domid;
    Access access = Access::none;
    auto operator<=>(const Permission&) const = default;
};

/// The first entry names the owner (who may do anything) and what everybody not listed may do; the rest are exceptions.
using Permissions = std::vector<Permission>;

/// Parses "n0", "r5", ...; nothing if malformed.
std::optional<Permission> parse_permission(std::string_view text);
/// The wire form, as parse_permission reads it.
std::string to_string(const Permission& permission);

/// A transaction's number at the daemon. Value 0 = outside any transaction.
struct TransactionId {
    uint32_t raw = 0;
    auto operator<=>(const TransactionId&) const = default;
};

/// A watch fired: `path` changed (relative if the watch was), `token` is the one given to watch().
struct Event {
    std::string path;
    std::string token;
    auto operator<=>(const Event&) const = default;
};

/// How a transaction ends.
enum class Ending : uint8_t { commit, discard };

/// One of several changes that are made together.
struct Change {
    enum class Kind : uint8_t { mkdir, write, permissions };
    Kind kind;
    std::string path;
    std::string value{};
    Permissions permissions{};
};

class Store {
public:
    using Status = base::Outcome<base::Unit>;

    virtual ~Store() = default;

    /// The value at `path` (may hold any bytes). Errors: noent, access, inval (bad path), notconn.
    virtual base::Outcome<std::string> read(std::string_view path, TransactionId tx = {}) = 0;
    /// Writes, creating missing parents. Errors: access, inval, nospc (quota), toobig (value over the limit).
    virtual Status write(std::string_view path, std::string_view value, TransactionId tx = {}) = 0;
    /// Makes sure the node exists; an existing value stays.
    virtual Status mkdir(std::string_view path, TransactionId tx = {}) = 0;
    /// Removes a node and all below. Removing what is not there succeeds as long as its parent exists (else noent).
    virtual Status remove(std::string_view path, TransactionId tx = {}) = 0;
    /// Names of the children, in order of creation; any number of them. Errors: noent, access.
    virtual base::Outcome<std::vector<std::string>> directory(std::string_view path, TransactionId tx = {}) = 0;
    virtual base::Outcome<Permissions> permissions(std::string_view path, TransactionId tx = {}) = 0;
    virtual Status set_permissions(std::string_view path, const Permissions& permissions, TransactionId tx = {}) = 0;
    /// All of them in this order, in a transaction only: those behind a refused one may have been made, and it is the transaction that
    /// is discarded then. Errors: of the first that was refused.
    virtual Status change_all(std::span<const Change> changes, TransactionId tx);

    /// Prefer in_transaction() or the Transaction class below.
    virtual base::Outcome<TransactionId> start_transaction() = 0;
    /// Errors: again (somebody changed what we saw: do it all again), noent (no such transaction).
    virtual Status end_transaction(TransactionId tx, Ending ending) = 0;

    /// Asks for events on `path` and below; one event comes at once. `path` may be "@introduceDomain" or "@releaseDomain".
    virtual Status watch(std::string_view path, std::string_view token) = 0;
    /// No event with this path and token is delivered afterwards.
    virtual Status unwatch(std::string_view path, std::string_view token) = 0;
    /// Readable when poll_event() would give something. Stays the same descriptor for the Store's life; do not read from it.
    virtual int event_fd() const = 0;
    /// The oldest event, or nothing at once if there is none. Errors: notconn only if reconnecting is impossible.
    virtual base::Outcome<std::optional<Event>> poll_event() = 0;
    /// Like poll_event(), but waits up to `timeout`.
    virtual base::Outcome<std::optional<Event>> next_event(std::chrono::milliseconds timeout) = 0;

    /// Connects a domain's store ring: its page `gfn` and the port it allocated for us.
    virtual Status introduce(base::DomId domid, base::Gfn gfn, base::Port port) = 0;
    virtual Status release(base::DomId domid) = 0;
    virtual base::Outcome<bool> is_introduced(base::DomId domid) = 0;
    /// `domid` gets the rights of `target` (a device model acting for its guest).
    virtual Status set_target(base::DomId domid, base::DomId target) = 0;
    virtual Status resume(base::DomId domid) = 0;
    /// "/local/domain/N".
    virtual base::Outcome<std::string> domain_path(base::DomId domid) = 0;
    /// Drops every watch and transaction of this connection.
    virtual Status reset_watches() = 0;
    /// A daemon command such as "check" or "print"; the daemon's answer.
    virtual base::Outcome<std::string> control(const std::vector<std::string>& words) = 0;
};

/// Where to find the daemon.
struct Location {
    /// Sockets tried in turn; then the device. Empty: $XENSTORED_PATH, else /run/xenstored/socket, /var/run/xenstored/socket.
    std::vector<std::string> sockets;
    /// Used when no socket answers; empty: /dev/xen/xenbus. "none": do not.
    std::string device;
    /// How long a request waits for a daemon that is being restarted before it fails with notconn.
    std::chrono::milliseconds patience{10'000};
    /// How long the daemon may take for an answer before the request fails with timedout. One that has just let a request wait as long
    /// in vain gets a tenth of it, until it answers again.
    std::chrono::milliseconds answer{10'000};
    /// When this descriptor is readable, whatever waits ends at once with intr; -1: there is none.
    int stop = -1;
};

/// Connects. The connection survives a restart of the daemon: watches are set again (each fires once) and requests outside
/// transactions are repeated; requests of an open transaction fail with `again`, so a retrying transaction simply restarts.
base::Outcome<std::unique_ptr<Store>> open_store(const Location& where = {});

/// A transaction that is discarded unless committed. Use it through in_transaction(), which repeats on conflict.
class Transaction {
public:
    static base::Outcome<Transaction> start(Store& store);
    Transaction(Transaction&& other) noexcept : store_(other.store_), id_(other.id_) { other.id_ = {}; }
    Transaction& operator=(Transaction&&) = delete;
    ~Transaction();

    base::Outcome<std::string> read(std::string_view path) { return store_->read(path, id_); }
    /// The value, or nothing if the node is not there; other errors stay errors.
    base::Outcome<std::optional<std::string>> read_if_there(std::string_view path);
    Store::Status write(std::string_view path, std::string_view value) { return store_->write(path, value, id_); }
    Store::Status mkdir(std::string_view path) { return store_->mkdir(path, id_); }
    Store::Status remove(std::string_view path) { return store_->remove(path, id_); }
    base::Outcome<std::vector<std::string>> directory(std::string_view path) { return store_->directory(path, id_); }
    base::Outcome<Permissions> permissions(std::string_view path) { return store_->permissions(path, id_); }
    Store::Status set_permissions(std::string_view path, const Permissions& p) { return store_->set_permissions(path, p, id_); }
    Store::Status change_all(std::span<const Change> changes) { return store_->change_all(changes, id_); }

    /// Ends it; `again` means a conflict and nothing was changed.
    Store::Status commit();
    TransactionId id() const { return id_; }

private:
    Transaction(Store& store, TransactionId id) : store_(&store), id_(id) {}
    Store* store_;
    TransactionId id_;
};

/// Runs `work` in a transaction and commits it; on a conflict everything is run again (work must bear that).
/// A failure from `work` discards the transaction and is returned. Errors: again after `max_attempts` conflicts.
Store::Status in_transaction(Store& store, const std::function<Store::Status(Transaction&)>& work, unsigned max_attempts = 256);

/// The value at `path`, or nothing if there is no such node; other errors stay errors.
base::Outcome<std::optional<std::string>> read_if_there(Store& store, std::string_view path, TransactionId tx = {});
/// Removes a node whether or not it or its parents exist.
Store::Status remove_if_there(Store& store, std::string_view path, TransactionId tx = {});

}  // namespace xenstore
