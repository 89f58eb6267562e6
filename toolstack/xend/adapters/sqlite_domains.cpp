// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/sqlite_domains.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/service/fd.hpp"
#include "toolstack/service/log.hpp"
#include "toolstack/service/process.hpp"

namespace xend {

using base::Errc;
using base::Outcome;

namespace {

// Synchronous: who was told that a domain is kept finds it after a power cut.
constexpr const char* schema =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
    "CREATE TABLE IF NOT EXISTS domains (uuid TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, config TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS history (id INTEGER PRIMARY KEY, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, uuid TEXT NOT NULL, "
    "event TEXT NOT NULL, config TEXT NOT NULL);"
    "PRAGMA user_version=1;";
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

void SqliteDomains::Close::operator()(sqlite3* database) const { sqlite3_close_v2(database); }

base::Failure SqliteDomains::failure(const std::string& what) const {
    const bool full = database_ && sqlite3_errcode(database_.get()) == SQLITE_FULL;
    return base::fail(full ? Errc::nospc : Errc::io,
                      "Cannot " + what + " " + file_ + ": " + (database_ ? sqlite3_errmsg(database_.get()) : "no memory"));
}

Outcome<> SqliteDomains::open() {
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
    if (opened == SQLITE_OK && sqlite3_exec(database, schema, nullptr, nullptr, nullptr) == SQLITE_OK) return base::ok;
    auto why = failure("open");
    database_.reset();
    return why;
}

/// One statement with these texts for its parameters.
Outcome<> SqliteDomains::run(const char* text, const std::vector<std::string>& values) {
    sqlite3_stmt* made = nullptr;
    if (sqlite3_prepare_v2(database_.get(), text, -1, &made, nullptr) != SQLITE_OK) return failure("write");
    const Statement statement(made);
    for (size_t i = 0; i < values.size(); ++i) {
        if (sqlite3_bind_text(made, static_cast<int>(i + 1), values[i].data(), static_cast<int>(values[i].size()),
                              SQLITE_TRANSIENT) != SQLITE_OK)
            return failure("write");
    }
    if (sqlite3_step(made) != SQLITE_DONE) return failure("write");
    return base::ok;
}

Outcome<std::vector<config::DomainConfig>> SqliteDomains::load() {
    const std::lock_guard guard(mutex_);
    OTRY(open());
    sqlite3_stmt* made = nullptr;
    if (sqlite3_prepare_v2(database_.get(), "SELECT name, config FROM domains ORDER BY name", -1, &made, nullptr) != SQLITE_OK)
        return failure("read");
    const Statement statement(made);
    std::vector<config::DomainConfig> out;
    int step = SQLITE_ROW;
    while ((step = sqlite3_step(made)) == SQLITE_ROW) {
        const auto sxp = proto::parse_sxp(column(made, 1));
        auto config = sxp ? config::from_sxp(*sxp) : Outcome<config::DomainConfig>(sxp.failure());
        if (config) out.push_back(std::move(config).take());
        else
            service::log(service::LogLevel::error,
                         "managed domain '" + column(made, 0) + "' is not understood: " + config.failure().text);
    }
    if (step != SQLITE_DONE) return failure("read");
    return out;
}

Outcome<> SqliteDomains::save(const config::DomainConfig& config, const std::string& event) {
    const std::lock_guard guard(mutex_);
    OTRY(open());
    const std::string uuid = config.uuid.text(), text = proto::to_string(config::to_sxp(config));
    OTRY(run("BEGIN IMMEDIATE", {}));
    auto done =
        run("INSERT INTO domains (uuid, name, config) VALUES (?1, ?2, ?3) "
            "ON CONFLICT (uuid) DO UPDATE SET name = ?2, config = ?3",
            {uuid, config.name, text});
    if (done) done = run("INSERT INTO history (uuid, event, config) VALUES (?1, ?2, ?3)", {uuid, event, text});
    if (done) done = run("COMMIT", {});
    if (!done) auto undone = run("ROLLBACK", {});
    return done;
}

Outcome<> SqliteDomains::remove(const config::Uuid& uuid) {
    const std::lock_guard guard(mutex_);
    OTRY(open());
    OTRY(run("BEGIN IMMEDIATE", {}));
    auto done = run("INSERT INTO history (uuid, event, config) SELECT uuid, 'delete', config FROM domains WHERE uuid = ?1",
                    {uuid.text()});
    if (done) done = run("DELETE FROM domains WHERE uuid = ?1", {uuid.text()});
    if (done) done = run("COMMIT", {});
    if (!done) auto undone = run("ROLLBACK", {});
    return done;
}

}  // namespace xend
