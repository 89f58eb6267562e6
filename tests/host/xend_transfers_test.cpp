// SPDX-License-Identifier: Apache-2.0
// link: xend_fakes xendcore
// The journal of transfers: what was written is read again, by the next xend too; what is not understood is no answer.
#include <gtest/gtest.h>

#include "toolstack/xend/adapters/sqlite_transfers.hpp"
#include "xend_checks.hpp"

namespace {

using migration::Transfer;
using migration::TransferJournal;
using xend::SqliteTransfers;

Transfer transfer(Transfer::Step step) { return {{1, 2, 3}, step, "demo", "uuid", "host", 8002, {4, 5, 6}}; }

TEST(Transfers, AreThereForTheNextXend) {
    const fakes::Folder folder;
    const std::string file = folder.path / "transfers.db";
    SqliteTransfers first(file);
    ASSERT_TRUE(first.save(transfer(Transfer::Step::offered)));
    ASSERT_TRUE(first.save(transfer(Transfer::Step::handed)));
    // A host that moves a domain to itself.
    ASSERT_TRUE(first.save(transfer(Transfer::Step::going)));
    SqliteTransfers next(file);
    EXPECT_EQ(**next.find({1, 2, 3}, TransferJournal::Way::out), transfer(Transfer::Step::handed));
    EXPECT_EQ(**next.find({1, 2, 3}, TransferJournal::Way::in), transfer(Transfer::Step::going));
    EXPECT_FALSE(*next.find({1, 2, 4}, TransferJournal::Way::in));
    ASSERT_TRUE(next.remove({1, 2, 3}, TransferJournal::Way::out));
    EXPECT_FALSE(*first.find({1, 2, 3}, TransferJournal::Way::out));
    EXPECT_EQ(first.load()->size(), 1U);
}

/// Its id is the journal's: a host that lost that is another one, and answers for nobody.
TEST(Transfers, AHostIsWhoeverHasTheJournal) {
    const fakes::Folder folder;
    SqliteTransfers first((folder.path / "transfers.db").string());
    const auto id = first.self();
    ASSERT_TRUE(id);
    EXPECT_NE(*id, proto::relocation::Id{});
    SqliteTransfers next((folder.path / "transfers.db").string());
    EXPECT_EQ(*next.self(), *id);
    SqliteTransfers other((folder.path / "other.db").string());
    EXPECT_NE(*other.self(), *id);
}

/// What the first version wrote stands, and of its partners nothing is known; what a later one wrote is not touched.
TEST(Transfers, AnOlderJournalIsReadAndANewerOneIsNot) {
    const fakes::Folder folder;
    const std::string file = (folder.path / "transfers.db").string();
    constexpr std::array<const char*, 1> first = {
        "CREATE TABLE transfers (id TEXT NOT NULL, way TEXT NOT NULL, step TEXT NOT NULL, domain TEXT NOT NULL, uuid TEXT NOT "
        "NULL, "
        "host TEXT NOT NULL, port TEXT NOT NULL, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (id, way));"};
    ASSERT_TRUE(xend::SqliteFile(file, first)
                    .write({{"INSERT INTO transfers (id, way, step, domain, uuid, host, port) VALUES (?1, 'out', 'handed', "
                             "'demo', 'uuid', 'host', "
                             "'8002')",
                             {config::Uuid{{1, 2, 3}}.text()}}}));
    auto wanted = transfer(Transfer::Step::handed);
    wanted.partner = {};
    SqliteTransfers now(file);
    EXPECT_EQ(**now.find({1, 2, 3}, TransferJournal::Way::out), wanted);
    EXPECT_TRUE(now.self());
    ASSERT_TRUE(now.save(transfer(Transfer::Step::handed)));
    EXPECT_EQ(**now.find({1, 2, 3}, TransferJournal::Way::out), transfer(Transfer::Step::handed));
    xend::SqliteFile older(file, first);
    EXPECT_NE(fakes::text_of(older.write({})).find("newer xend"), std::string::npos);
}

/// Who cannot read it must not say that a domain was thrown away.
TEST(Transfers, ADamagedJournalIsNoAnswer) {
    const fakes::Folder folder;
    SqliteTransfers damaged(
        folder.file("transfers.db", "this is no database, but long enough to be taken for one" + std::string(4096, 'x')));
    EXPECT_FALSE(damaged.load());
    migration::Arrivals arrivals(damaged);
    EXPECT_EQ(arrivals.answer({1}), proto::relocation::Outcome::What::not_known_yet);
    EXPECT_FALSE(arrivals.begin({1}));
}

}  // namespace
