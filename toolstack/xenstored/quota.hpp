// SPDX-License-Identifier: Apache-2.0
/// What one unprivileged domain may use of the store, and the count of what it does use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "lib/base/types.hpp"

namespace xenstored {

/// Limits for one unprivileged domain; domain 0 has none. Defaults are those of Xen 4.17's daemon.
struct Quota {
    size_t nodes = 1000;      ///< nodes it owns
    size_t node_size = 2048;  ///< bytes of one node: value, permissions, names of children
    size_t watches = 128;
    size_t transactions = 10;               ///< open at one time
    size_t transaction_nodes = 1024;        ///< nodes looked at in one transaction
    size_t transaction_bytes = 256 * 1024;  ///< paths looked at and changes wished for in one transaction
    size_t permissions = 5;                 ///< entries of one node's list
    size_t output_bytes = 256 * 1024;       ///< replies and events not yet taken; more events are merged, not lost
};

/// Counts nodes per owner. With a base it counts differences to it (a transaction's view).
class Accounts {
public:
    Accounts() = default;
    explicit Accounts(const Accounts* base) : base_(base) {}

    void add(base::DomId owner, int64_t n) {
        const auto at = counts_.try_emplace(owner.raw, 0).first;
        at->second += n;
        if (at->second == 0) counts_.erase(at);
    }
    int64_t count(base::DomId owner) const {
        const auto at = counts_.find(owner.raw);
        return (at == counts_.end() ? 0 : at->second) + (base_ == nullptr ? 0 : base_->count(owner));
    }
    /// Takes over the differences of an Accounts made on top of this one.
    void merge(const Accounts& difference) {
        for (const auto& [owner, n] : difference.counts_) add(base::DomId{owner}, n);
    }

private:
    std::unordered_map<uint16_t, int64_t> counts_;
    const Accounts* base_ = nullptr;
};

}  // namespace xenstored
