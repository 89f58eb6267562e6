// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/sqlite_transfers.hpp"

#include <algorithm>
#include <array>

#include "lib/base/number.hpp"
#include "toolstack/config/uuid.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using migration::Transfer;
using migration::TransferId;

namespace {

constexpr std::array<const char*, 2> versions = {
    "CREATE TABLE IF NOT EXISTS transfers (id TEXT NOT NULL, way TEXT NOT NULL, step TEXT NOT NULL, domain TEXT NOT NULL, "
    "uuid TEXT NOT NULL, host TEXT NOT NULL, port TEXT NOT NULL, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, "
    "PRIMARY KEY (id, way));",
    "ALTER TABLE transfers ADD COLUMN partner TEXT NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';"
    "CREATE TABLE self (id TEXT NOT NULL);"};

/// In the order of Transfer::Step.
constexpr std::array<std::string_view, 4> step_names = {"offered", "handed", "going", "running"};

const char* name_of(migration::TransferJournal::Way way) { return way == migration::TransferJournal::Way::out ? "out" : "in"; }

std::string text_of(const TransferId& id) { return config::Uuid{id}.text(); }

/// Errors: badmsg. Nothing of a row is guessed: it says who may run a domain.
Outcome<Transfer> read_row(const std::vector<std::string>& row) {
    const auto id = config::Uuid::parse(row[0]);
    const auto step = std::ranges::find(step_names, row[1]);
    const auto port = base::parse_number<uint16_t>(row[5]);
    const auto partner = config::Uuid::parse(row[6]);
    if (!id || step == step_names.end() || !port || !partner)
        return base::fail(Errc::badmsg, "a transfer in the journal is not understood");
    return Transfer{id->bytes,     static_cast<Transfer::Step>(step - step_names.begin()), row[2], row[3], row[4], *port,
                    partner->bytes};
}

}  // namespace

SqliteTransfers::SqliteTransfers(std::string file) : file_(std::move(file), versions) {}

Outcome<std::vector<Transfer>> SqliteTransfers::load() {
    const std::lock_guard guard(mutex_);
    std::vector<Transfer> out;
    Outcome<> understood = base::ok;
    OTRY(file_.read("SELECT id, step, domain, uuid, host, port, partner FROM transfers ORDER BY at",
                    [&](const std::vector<std::string>& row) {
                        auto transfer = read_row(row);
                        if (transfer) out.push_back(std::move(transfer).take());
                        else understood = transfer.failure();
                    }));
    OTRY(understood);
    return out;
}

Outcome<TransferId> SqliteTransfers::self() {
    const std::lock_guard guard(mutex_);
    std::optional<config::Uuid> id;
    OTRY(file_.write({{"INSERT INTO self SELECT ?1 WHERE NOT EXISTS (SELECT * FROM self)", {config::Uuid::random().text()}}}));
    OTRY(file_.read("SELECT id FROM self", [&](const std::vector<std::string>& row) { id = config::Uuid::parse(row[0]); }));
    if (!id || id->is_nil()) return base::fail(Errc::badmsg, "the journal of transfers does not say who this host is");
    return id->bytes;
}

Outcome<> SqliteTransfers::save(const Transfer& t) {
    const std::lock_guard guard(mutex_);
    return file_.write(
        {{"INSERT INTO transfers (id, way, step, domain, uuid, host, port, partner) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) "
          "ON CONFLICT (id, way) DO UPDATE SET step = ?3, domain = ?4, uuid = ?5, host = ?6, port = ?7, partner = ?8",
          {text_of(t.id), name_of(t.goes_out() ? Way::out : Way::in), std::string(step_names[static_cast<size_t>(t.step)]),
           t.domain, t.uuid, t.host, std::to_string(t.port), text_of(t.partner)}}});
}

Outcome<> SqliteTransfers::remove(const TransferId& id, Way way) {
    const std::lock_guard guard(mutex_);
    return file_.write({{"DELETE FROM transfers WHERE id = ?1 AND way = ?2", {text_of(id), name_of(way)}}});
}

}  // namespace xend
