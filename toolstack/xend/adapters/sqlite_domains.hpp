// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "toolstack/xend/core/ports.hpp"

struct sqlite3;

namespace xend {

/// Managed domains in an SQLite file, with what was done to them. It is opened when it is first needed, and again after a failure.
class SqliteDomains final : public ManagedDomains {
    struct Close {
        void operator()(sqlite3* database) const;
    };
    std::string file_;
    std::mutex mutex_;
    std::unique_ptr<sqlite3, Close> database_;

    base::Outcome<> open();
    base::Failure failure(const std::string& what) const;
    base::Outcome<> run(const char* statement, const std::vector<std::string>& values);

public:
    explicit SqliteDomains(std::string file) : file_(std::move(file)) {}
    base::Outcome<std::vector<config::DomainConfig>> load() override;
    base::Outcome<> save(const config::DomainConfig& config, const std::string& event) override;
    base::Outcome<> remove(const config::Uuid& uuid) override;
};

}  // namespace xend
