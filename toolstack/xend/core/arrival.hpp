// SPDX-License-Identifier: Apache-2.0
#pragma once

// Internal to the core: a domain that comes from another host. Until its source's copy is gone it has the transfer's id for a uuid,
// and NAME--incoming for a name: so a host can move a domain to itself.

#include "toolstack/migration/handover.hpp"
#include "toolstack/migration/line.hpp"
#include "toolstack/xend/core/job.hpp"
#include "toolstack/xend/core/manager.hpp"

namespace xend {

/// Does what the target's machine says, for one connection.
class Manager::Arrival {
public:
    Arrival(Manager& manager, xenstore::Store& store, migration::Line& line) : manager_(manager), store_(store), line_(line) {}
    ~Arrival();
    Arrival(const Arrival&) = delete;
    Arrival& operator=(const Arrival&) = delete;
    void run();
    /// The domain that came and was let run, if one was.
    std::optional<Record> running() const { return runs_ ? std::optional(record_) : std::nullopt; }

private:
    using Message = proto::relocation::Message;

    base::Outcome<> act(migration::TargetStep step);
    void hear();
    base::Outcome<> prepare();
    base::Outcome<> check(const config::DomainConfig& config);
    base::Outcome<> take_image();
    base::Outcome<> discard();
    base::Outcome<> settle();
    migration::Transfer transfer(migration::Transfer::Step step) const;
    config::Uuid id() const { return config::Uuid{id_}; }

    Manager& manager_;
    xenstore::Store& store_;
    migration::Line& line_;
    migration::TargetSide side_;
    proto::relocation::Offer offer_;
    migration::TransferId id_{};
    std::optional<Job> job_;  // of the transfer's id
    Record record_;
    bool known_ = false;  // to arrivals_
    bool runs_ = false;
};

}  // namespace xend
