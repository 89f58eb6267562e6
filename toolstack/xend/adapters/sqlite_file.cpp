// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/sqlite_file.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "lib/base/number.hpp"
#include "toolstack/service/fd.hpp"
#include "toolstack/service/process.hpp"

namespace xend {

using base::Errc;
using base::Outcome;

namespace {

// Synchronous: who was told that something is written finds it after a power cut.
constexpr const char* pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;";
constexpr int busy_ms = 5000;  // somebody looks at the file with another program

struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

std::string column(sqlite3_stmt* statement, int index) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, index));
    return text == nullptr ? std::string() : std::string(text);
}

}  // namespace

void SqliteFile::Close::operator()(sqlite3* database) const { sqlite3_close_v2(database); }

base::Failure SqliteFile::failure(const std::string& what) const {
    const bool full = database_ && sqlite3_errcode(database_.get()) == SQLITE_FULL;
    return base::fail(full ? Errc::nospc : Errc::io,
                      "Cannot " + what + " " + file_ + ": " + (database_ ? sqlite3_errmsg(database_.get()) : "no memory"));
}

Outcome<> SqliteFile::open() {
    if (database_) return base::ok;
    OTRY(service::make_parent(file_));
    // Of the file's mode are those that SQLite puts beside it. Who can read one can lock it, and learns command lines.
    const service::Fd made(::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!made || ::fchmod(made.get(), 0600) != 0) return service::system_failure("Cannot open " + file_);
    sqlite3* database = nullptr;
    const int opened =
        sqlite3_open_v2(file_.c_str(), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, nullptr);
    database_.reset(database);
    if (opened == SQLITE_OK) sqlite3_busy_timeout(database, busy_ms);
    Outcome<> done = base::ok;
    if (opened != SQLITE_OK || sqlite3_exec(database, pragmas, nullptr, nullptr, nullptr) != SQLITE_OK) done = failure("open");
    if (done) done = bring_up_to_date();
    if (!done) database_.reset();
    return done;
}

/// Errors: a file that a newer xend wrote is not touched: what it means is not known here.
Outcome<> SqliteFile::bring_up_to_date() {
    const auto at_least_version = [this](size_t version) -> Outcome<bool> {
        size_t has = 0;
        OTRY(query("PRAGMA user_version", [&](const std::vector<std::string>& row) {
            has = base::parse_number<size_t>(row[0]).value_or(versions_.size() + 1);
        }));
        if (has <= versions_.size()) return has >= version;
        return base::fail(Errc::opnotsupp, "Cannot open " + file_ + ": it was written by a newer xend");
    };
    for (size_t version = 1; version <= versions_.size(); ++version) {
        if (OTRY(at_least_version(version))) continue;
        const std::string step = "BEGIN IMMEDIATE; " + std::string(versions_[version - 1]) +
                                 " PRAGMA user_version=" + std::to_string(version) + "; COMMIT";
        if (sqlite3_exec(database_.get(), step.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) return failure("open");
    }
    return base::ok;
}

Outcome<> SqliteFile::run(const Change& change) {
    sqlite3_stmt* made = nullptr;
    if (sqlite3_prepare_v2(database_.get(), change.statement, -1, &made, nullptr) != SQLITE_OK) return failure("write");
    const Statement statement(made);
    for (size_t i = 0; i < change.values.size(); ++i) {
        const std::string& value = change.values[i];
        if (sqlite3_bind_text(made, static_cast<int>(i + 1), value.data(), static_cast<int>(value.size()), SQLITE_TRANSIENT) !=
            SQLITE_OK)
            return failure("write");
    }
    if (sqlite3_step(made) != SQLITE_DONE) return failure("write");
    return base::ok;
}

Outcome<> SqliteFile::read(const char* text, const Row& row) {
    OTRY(open());
    return query(text, row);
}

Outcome<> SqliteFile::query(const char* text, const Row& row) {
    sqlite3_stmt* made = nullptr;
    if (sqlite3_prepare_v2(database_.get(), text, -1, &made, nullptr) != SQLITE_OK) return failure("read");
    const Statement statement(made);
    int step = SQLITE_ROW;
    while ((step = sqlite3_step(made)) == SQLITE_ROW) {
        std::vector<std::string> columns;
        columns.reserve(static_cast<size_t>(sqlite3_column_count(made)));
        for (int i = 0; i < sqlite3_column_count(made); ++i) columns.push_back(column(made, i));
        row(columns);
    }
    if (step != SQLITE_DONE) return failure("read");
    return base::ok;
}

Outcome<> SqliteFile::write(const std::vector<Change>& changes) {
    OTRY(open());
    OTRY(run({"BEGIN IMMEDIATE", {}}));
    Outcome<> done = base::ok;
    for (const Change& change : changes) {
        if (done) done = run(change);
    }
    if (done) done = run({"COMMIT", {}});
    if (!done) auto undone = run({"ROLLBACK", {}});
    return done;
}

}  // namespace xend
