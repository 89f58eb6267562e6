// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <string>

#include "toolstack/xend/adapters/sqlite_file.hpp"
#include "toolstack/xend/core/ports.hpp"

namespace xend {

/// Virtual networks in an SQLite file.
class SqliteVnets final : public VnetTable {
    std::mutex mutex_;
    SqliteFile file_;

public:
    explicit SqliteVnets(std::string file);
    base::Outcome<std::vector<KeptVnet>> load() override;
    base::Outcome<> save(const KeptVnet& vnet) override;
    base::Outcome<> remove(const config::VnetId& id) override;
};

}  // namespace xend
