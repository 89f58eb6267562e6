// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "toolstack/xend/core/ports.hpp"

namespace xend {

/// The names of domains, as the store has them. Each is read once and then watched: who looks again asks nobody, and a store that
/// hangs holds up only who asks for a domain that nobody has asked for before. Thread-safe.
class DomainNames {
    struct Known {
        xenctrl::Handle handle{};
        std::string name;
        bool valid = false;
    };
    Stores& stores_;
    std::mutex mutex_;
    std::map<base::DomId, Known> known_;
    std::mutex store_mutex_;  // taken before mutex_
    std::unique_ptr<xenstore::Store> store_;
    std::set<base::DomId> watched_;  // on store_

    void take_events();
    void unwatch_all_but(const std::vector<xenctrl::DomainInfo>& domains);
    base::Outcome<> read(const std::vector<xenctrl::DomainInfo>& domains);
    std::vector<xenctrl::DomainInfo> unknown(const std::vector<xenctrl::DomainInfo>& domains);

public:
    explicit DomainNames(Stores& stores) : stores_(stores) {}
    /// One for each domain; empty where the store has none. Errors: of the store.
    base::Outcome<std::vector<std::string>> of(const std::vector<xenctrl::DomainInfo>& domains);
};

}  // namespace xend
