// SPDX-License-Identifier: Apache-2.0
// link: xendcore
// The journal of transfers: what was written is read again, by the next xend too; what is not understood is no answer.
#include <gtest/gtest.h>

#include "toolstack/xend/adapters/sqlite_transfers.hpp"
#include "xend_fakes.hpp"

namespace {

using migration::Transfer;
using migration::TransferJournal;
using xend::SqliteTransfers;

Transfer transfer(Transfer::Step step) { return {{1, 2, 3}, step, "demo", "uuid", "host", 8002}; }

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
