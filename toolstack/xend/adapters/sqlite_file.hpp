// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/outcome.hpp"

struct sqlite3;

namespace xend {

/// An SQLite file for root alone. It is opened when it is first needed, and again after a failure to; what is written is there after
/// a power cut. Not thread-safe. Errors of all: nospc, io: "Cannot WHAT FILE: why".
class SqliteFile {
public:
    /// `schema`: makes the tables if they are not there.
    SqliteFile(std::string file, const char* schema) : file_(std::move(file)), schema_(schema) {}

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
    base::Failure failure(const std::string& what) const;
    base::Outcome<> run(const Change& change);

    std::string file_;
    const char* schema_;
    std::unique_ptr<sqlite3, Close> database_;
};

}  // namespace xend
