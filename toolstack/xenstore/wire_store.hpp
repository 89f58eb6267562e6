// SPDX-License-Identifier: Apache-2.0
/// The real Store: the wire protocol over a unix socket or /dev/xen/xenbus.
#pragma once

#include <deque>
#include <set>
#include <string>
#include <utility>

#include "lib/proto/xs_wire.hpp"
#include "toolstack/service/fd.hpp"
#include "toolstack/xenstore/client.hpp"

namespace xenstore {

class WireStore final : public Store {
public:
    explicit WireStore(Location where) : where_(std::move(where)) {}
    /// Makes the descriptors and connects for the first time.
    base::Outcome<base::Unit> open();

    base::Outcome<std::string> read(std::string_view path, TransactionId tx) override;
    Status write(std::string_view path, std::string_view value, TransactionId tx) override;
    Status mkdir(std::string_view path, TransactionId tx) override;
    Status remove(std::string_view path, TransactionId tx) override;
    base::Outcome<std::vector<std::string>> directory(std::string_view path, TransactionId tx) override;
    base::Outcome<Permissions> permissions(std::string_view path, TransactionId tx) override;
    Status set_permissions(std::string_view path, const Permissions& permissions, TransactionId tx) override;
    /// Sends many before it waits for an answer: most of what a request costs is the way there and back.
    Status change_all(std::span<const Change> changes, TransactionId tx) override;
    base::Outcome<TransactionId> start_transaction() override;
    Status end_transaction(TransactionId tx, Ending ending) override;
    Status watch(std::string_view path, std::string_view token) override;
    Status unwatch(std::string_view path, std::string_view token) override;
    int event_fd() const override { return poll_.get(); }
    base::Outcome<std::optional<Event>> poll_event() override;
    base::Outcome<std::optional<Event>> next_event(std::chrono::milliseconds timeout) override;
    Status introduce(base::DomId domid, base::Gfn gfn, base::Port port) override;
    Status release(base::DomId domid) override;
    base::Outcome<bool> is_introduced(base::DomId domid) override;
    Status set_target(base::DomId domid, base::DomId target) override;
    Status resume(base::DomId domid) override;
    base::Outcome<std::string> domain_path(base::DomId domid) override;
    Status reset_watches() override;
    base::Outcome<std::string> control(const std::vector<std::string>& words) override;

private:
    struct Message {
        xen::XsdSockMsg header;
        std::string payload;
    };

    base::Outcome<std::string> request(uint32_t type, TransactionId tx, std::string_view payload, const std::string& what);
    Status command(uint32_t type, TransactionId tx, std::string_view payload, const std::string& what);
    base::Outcome<std::string> exchange(uint32_t type, TransactionId tx, std::string_view payload);
    Status change_some(std::span<const Change> changes, TransactionId tx);
    base::Failure lost_transaction(const std::string& what) const;
    base::Outcome<std::vector<std::string>> directory_in_parts(std::string_view path, TransactionId tx);

    base::Outcome<base::Unit> connect();
    base::Outcome<base::Unit> connect_patiently();
    base::Outcome<base::Unit> set_watches_again();
    void disconnect();
    using Deadline = std::chrono::steady_clock::time_point;
    base::Outcome<base::Unit> send_all(std::string_view bytes, Deadline end);
    /// Encodes a request behind `bytes`; its number. Errors: toobig.
    base::Outcome<uint32_t> add_request(std::string& bytes, uint32_t type, TransactionId tx, std::string_view payload);
    /// Errors: the daemon's; notconn, timedout, intr: there is no connection any more.
    base::Outcome<std::string> answer_to(uint32_t number, uint32_t type, Deadline end);
    Deadline answer_deadline() const;
    /// Reads what there is, waiting for something first if there is a time to wait for. Errors: notconn, timedout, intr.
    base::Outcome<base::Unit> receive(std::optional<Deadline> end);
    base::Outcome<base::Unit> wait_for(short events, Deadline end);
    bool told_to_stop() const;
    /// A whole message from what was received, if there is one.
    base::Outcome<std::optional<Message>> next_message();
    void keep_event(const std::string& payload);
    void show_waiting();
    base::Failure gone(const std::string& why, base::Errc code = base::Errc::notconn);

    Location where_;
    service::Fd connection_;
    service::Fd poll_;     ///< epoll of the three below: what the caller polls
    service::Fd waiting_;  ///< eventfd, readable while events_ is not empty
    service::Fd retry_;    ///< timerfd, while disconnected
    std::string input_;
    std::deque<Event> events_;
    std::set<std::pair<std::string, std::string>> watches_;
    std::set<uint32_t> transactions_;  ///< open ones of this very connection
    uint32_t next_request_ = 1;
    bool hangs_ = false;  ///< the last request was not answered in time
};

}  // namespace xenstore
