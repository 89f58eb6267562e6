// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <string>

#include "toolstack/migration/arrivals.hpp"
#include "toolstack/xend/adapters/sqlite_file.hpp"

namespace xend {

/// The journal of transfers in an SQLite file.
class SqliteTransfers final : public migration::TransferJournal {
    std::mutex mutex_;
    SqliteFile file_;

public:
    explicit SqliteTransfers(std::string file);
    base::Outcome<std::vector<migration::Transfer>> load() override;
    base::Outcome<proto::relocation::Id> self() override;
    base::Outcome<> save(const migration::Transfer& transfer) override;
    base::Outcome<> remove(const migration::TransferId& id, Way way) override;
};

}  // namespace xend
