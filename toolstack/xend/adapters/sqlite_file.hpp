// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lib/base/outcome.hpp"

struct sqlite3;

namespace xend {

/// An SQLite file for root alone. It is opened when it is first needed, and again after a failure to; what is written is there after
/// a power cut. Not thread-safe. Errors of all: nospc, io: "Cannot WHAT FILE: why".
class SqliteFile {
public:
    /// `versions`: what makes each version of the tables of the one before; the first makes them, and the file says which it has.
    SqliteFile(std::string file, std::span<const char* const> versions) : file_(std::move(file)), versions_(versions) {}

    using Row = std::function<void(const std::vector<std::string>& columns)>;
    /// Reads with one statement.
    base::Outcome<> read(const char* statement, const Row& row);
    struct Change {
        const char* statement;
        std::vector<std::string> values;  // of its parameters ?1, ?2, …
    };
    /// All of them, or none.
    base::Outcome<> write(const std::vector<Change>& changes);

private:
    struct Close {
        void operator()(sqlite3* database) const;
    };
    base::Outcome<> open();
    base::Outcome<> bring_up_to_date();
    base::Outcome<> query(const char* statement, const Row& row);
    base::Failure failure(const std::string& what) const;
    base::Outcome<> run(const Change& change);

    std::string file_;
    std::span<const char* const> versions_;
    std::unique_ptr<sqlite3, Close> database_;
};

}  // namespace xend
