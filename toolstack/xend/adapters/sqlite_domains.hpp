// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <string>

#include "toolstack/xend/adapters/sqlite_file.hpp"
#include "toolstack/xend/core/ports.hpp"

namespace xend {

/// Managed domains in an SQLite file, with what was done to them.
class SqliteDomains final : public ManagedDomains {
    std::mutex mutex_;
    SqliteFile file_;

public:
    explicit SqliteDomains(std::string file);
    base::Outcome<std::vector<config::DomainConfig>> load() override;
    base::Outcome<> save(const config::DomainConfig& config, const std::string& event) override;
    base::Outcome<> remove(const config::Uuid& uuid) override;
};

}  // namespace xend
