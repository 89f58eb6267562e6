// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>

#include "toolstack/xend/adapters/sqlite_file.hpp"
#include "toolstack/xend/rest/jobs.hpp"

namespace xend {

/// The journal of jobs in an SQLite file. Thread-safe.
class SqliteJobs final : public rest::JobJournal {
    std::mutex mutex_;
    SqliteFile file_;

public:
    explicit SqliteJobs(std::string file);
    base::Outcome<std::vector<rest::KeptJob>> load() override;
    base::Outcome<> save(const rest::KeptJob& job) override;
    base::Outcome<> remove(const std::vector<std::string>& ids) override;
};

}  // namespace xend
