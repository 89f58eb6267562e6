// SPDX-License-Identifier: Apache-2.0
// link: xend_fakes xendcore
// A domain moves from one xend to another, or to the same, while it runs.
#include <gtest/gtest.h>

#include "xend_two_hosts.hpp"

namespace {

using base::Outcome;
using fakes::Message;
using fakes::text_of;
using fakes::Two;
namespace wire = proto::relocation;

struct Live : Two {
    Live() {
        order.live = true;
        order.rounds.downtime = {};  // how fast this machine is does not matter
    }
    fakes::FakeLog& log() { return here.hypervisor.log; }
};

/// It runs until the last round was sent, and is logged no more when it is gone.
TEST(MigrateLive, ItRunsWhileItsMemoryIsSent) {
    Live t;
    std::vector<std::string> seen;
    t.lines.from_source = [&](const Message& message) -> Outcome<> {
        const bool runs = t.here.runs("migrating-demo");
        if (const auto* round = std::get_if<wire::Round>(&message))
            seen.push_back(std::to_string(round->number) + ":" + std::to_string(round->dirty_pages) +
                           (runs ? " runs" : " stands"));
        if (std::holds_alternative<wire::Sum>(message)) seen.push_back(runs ? "runs" : "stands");
        return base::ok;
    };
    const auto moved = t.migrate();
    ASSERT_TRUE(moved) << text_of(moved);
    t.expect_moved();
    EXPECT_EQ(seen, (std::vector<std::string>{"1:1000 runs", "2:100 runs", "3:0 runs", "stands"}));
    EXPECT_EQ(moved->rounds, 2U);
    EXPECT_GT(moved->bytes, 2U << 20U);
    EXPECT_LE(moved->still(), moved->total);
    EXPECT_EQ(moved->text().find("2 rounds, 2 MiB, "), 0U) << moved->text();
    EXPECT_FALSE(t.log().on);
}

/// Nothing of its memory is under way when it is to suspend itself; what it has written while that was waited for is sent before.
TEST(MigrateLive, TheOtherHostHasTakenItsMemoryWhenItSuspendsItself) {
    Live t;
    t.log().left = {1000, 0, 500};
    std::mutex mutex;
    std::vector<std::string> seen;
    const auto see = [&](const std::string& what) {
        const std::lock_guard guard(mutex);
        seen.push_back(what);
    };
    t.lines.from_source = [&](const Message& message) -> Outcome<> {
        if (const auto* round = std::get_if<wire::Round>(&message))
            see(std::to_string(round->number) + ":" + std::to_string(round->dirty_pages) + (round->asks != 0 ? " asks" : ""));
        return base::ok;
    };
    t.lines.from_target = [&](const Message& message) -> Outcome<> {
        const char* runs = t.here.runs("migrating-demo") ? " runs" : " stands";
        if (const auto* taken = std::get_if<wire::Taken>(&message)) see(std::to_string(taken->number) + " taken," + runs);
        return base::ok;
    };
    const auto moved = t.migrate();
    ASSERT_TRUE(moved) << text_of(moved);
    t.expect_moved();
    EXPECT_EQ(seen, (std::vector<std::string>{"1:1000", "2:0 asks", "2 taken, runs", "3:500", "4:0 asks", "4 taken, runs"}));
    EXPECT_EQ(moved->rounds, 2U);
}

/// Who does not say that he has taken it gets no more of it.
TEST(MigrateLive, AnotherAnswerThanThatItWasTaken) {
    const auto stays = [](const wire::Message& answer) {
        Live t;
        bool said = false;
        t.lines.from_target = [&](const Message& message) -> Outcome<> {
            if (!std::holds_alternative<wire::Taken>(message) || std::exchange(said, true)) return base::ok;
            OTRY(t.lines.target_says(answer));
            return base::fail(base::Errc::io, "cut");
        };
        const auto moved = t.migrate_without_suspend();
        t.expect_stayed();
        return text_of(moved);
    };
    EXPECT_EQ(stays(wire::Taken{1}), "it said TAKEN out of turn");
    EXPECT_EQ(stays(wire::Ready{}), "it said READY out of turn");
    EXPECT_EQ(stays(wire::Failed{"no room"}), "no room");
    Live t;
    t.lines.from_target = [&](const Message& message) -> Outcome<> {
        if (std::holds_alternative<wire::Taken>(message)) {
            EXPECT_TRUE(t.here.manager.cancel_move(t.here.demo().uuid.text()));
            return base::fail(base::Errc::io, "cut");
        }
        return base::ok;
    };
    EXPECT_EQ(text_of(t.migrate_without_suspend()), "it was cancelled");
    t.expect_stayed();
}

TEST(MigrateLive, ToItself) {
    Live t;
    t.lines.target = &t.here.manager;
    ASSERT_TRUE(t.migrate());
    t.lines.finish();
    EXPECT_EQ(t.here.count(), 1U);
    EXPECT_TRUE(t.here.runs("demo"));
}

/// In each round, and whatever fails, it goes on here and is logged no more.
TEST(MigrateLive, WhatFailsInARoundLeavesItHere) {
    const auto stays = [](const std::string& why, const std::function<void(Live&)>& defect, bool suspends = false) {
        Live t;
        defect(t);
        EXPECT_EQ(text_of(suspends ? t.migrate() : t.migrate_without_suspend()), why);
        t.expect_stayed();
        t.lines.from_source = nullptr;
        t.log() = {};
        EXPECT_TRUE(t.migrate()) << "and moves after all";
    };
    stays("no room for a log", [](Live& t) { t.log().start_error = "no room for a log"; });
    stays("torn", [](Live& t) { t.log().round_error = "torn"; });
    stays("torn", [](Live& t) {
        t.log().round_error = "torn";
        t.log().sticks = true;
    });
    stays(
        "torn", [](Live& t) { t.log().error = "torn"; }, true);
    for (const uint32_t number : {1U, 2U, 3U}) {
        stays("cut", [number](Live& t) {
            t.lines.from_source = [number](const Message& message) -> Outcome<> {
                const auto* round = std::get_if<wire::Round>(&message);
                return round != nullptr && round->number == number ? base::fail(base::Errc::io, "cut") : Outcome<>(base::ok);
            };
        });
        if (number == 3) continue;
        stays("it was cancelled", [number](Live& t) {
            t.log().in_round = [&t, number](unsigned round) {
                if (round == number) { EXPECT_TRUE(t.here.manager.cancel_move(t.here.demo().uuid.text())); }
            };
        });
    }
}

/// A guest that writes faster than the line takes it: it stands still for longer, or does not move.
TEST(MigrateLive, AGuestThatWritesTooFast) {
    for (const bool strict : {false, true}) {
        Live t;
        t.log().left.assign(1000, 5000);
        t.order.rounds = {std::chrono::milliseconds{0}, 2, strict};
        if (!strict) {
            const auto moved = t.migrate();
            ASSERT_TRUE(moved);
            EXPECT_EQ(moved->rounds, 2U);
            t.expect_moved();
            continue;
        }
        EXPECT_EQ(text_of(t.migrate_without_suspend()),
                  "its memory changes too fast for 0 ms of downtime: 5000 pages are left after 2 rounds");
        t.expect_stayed();
    }
}

/// What it writes until it stands still counts: it goes on when that takes longer than its owner lets it.
TEST(MigrateLive, AGuestThatWritesTooFastInTheEnd) {
    for (const bool strict : {true, false}) {
        Live t;
        t.log().rest = 7000;
        t.order.rounds.strict = strict;
        const auto moved = t.migrate();
        if (!strict) {
            ASSERT_TRUE(moved) << text_of(moved);
            t.expect_moved();
            continue;
        }
        EXPECT_EQ(
            text_of(moved),
            "its memory changes too fast for 0 ms of downtime: 7000 pages are left when it has suspended itself, after 2 rounds");
        t.expect_stayed();
    }
}

/// One that does not suspend itself in the end runs on as if nothing had been.
TEST(MigrateLive, AGuestThatDoesNotSuspendItself) {
    xend::Settings with = fakes::Machine::settings();
    with.suspend_timeout = std::chrono::seconds(0);
    Two t(with);
    t.order.live = true;
    EXPECT_EQ(text_of(t.migrate_without_suspend()), "Domain 'demo' did not suspend itself within 0 seconds");
    ASSERT_TRUE(t.here.manager.reap());
    t.expect_stayed();
}

/// A guest that suspends itself unasked has done what was to come next; if it stays for another reason it runs on.
TEST(MigrateLive, AGuestThatSuspendsItselfUnasked) {
    for (const unsigned in : {0U, 1U, 2U}) {
        for (const bool fails : {false, true}) {
            Live t;
            if (fails) t.log().round_error = t.log().error = "torn";
            const auto suspends = [&t, in](unsigned round) {
                const std::lock_guard guard(t.here.hypervisor.mutex);
                if (round == in) t.here.hypervisor.stop("1", xenctrl::ShutdownReason::suspend);
            };
            t.log().in_round = suspends;
            t.lines.from_source = [&suspends](const Message& message) -> Outcome<> {
                if (std::holds_alternative<wire::Offer>(message)) suspends(0);
                return base::ok;
            };
            const auto asked = [&t] {
                return std::ranges::count(t.here.stores.tree.changes, "/local/domain/1/control/shutdown");
            };
            const auto before = asked();
            const auto moved = t.migrate_without_suspend();
            EXPECT_EQ(text_of(moved), fails ? "torn" : "");
            EXPECT_EQ(asked(), before) << "it does not find that it is to suspend itself once more";
            if (fails) t.expect_stayed();
            else t.expect_moved();
        }
    }
}

/// One that ended in another way does not move.
TEST(MigrateLive, AGuestThatEnds) {
    Live t;
    t.log().in_round = [&t](unsigned) {
        const std::lock_guard guard(t.here.hypervisor.mutex);
        t.here.hypervisor.stop("1", xenctrl::ShutdownReason::crash);
    };
    EXPECT_EQ(text_of(t.migrate_without_suspend()), "it ended");
    t.lines.finish();
    EXPECT_EQ(t.there.count(), 0U);
    EXPECT_FALSE(t.here.hypervisor.log.on);
}

/// The next xend ends the log that one has left which was killed.
TEST(MigrateLive, AnXendThatIsKilledInARoundLeavesNoLog) {
    Live t;
    xend::Record before;
    t.log().in_round = [&](unsigned round) {
        if (round == 2) before = t.here.records.all.begin()->second;
    };
    t.log().round_error = "killed";
    EXPECT_FALSE(t.migrate_without_suspend());
    t.lines.finish();
    t.here.records.all[before.config.uuid] = before;
    t.here.stores.tree.write("/local/domain/1/name", "migrating-demo");
    t.log().on = true;
    ASSERT_TRUE(t.here.manager.recover());
    t.expect_stayed();
}

/// Rounds are of those that move live, and there are not so many.
TEST(MigrateLive, ATargetTakesRoundsOfOneThatIsLiveAlone) {
    for (const bool live : {false, true}) {
        int ends[2];
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        xend::SocketLine from{service::Fd(ends[0]), ""}, to{service::Fd(ends[1]), ""};
        migration::ImageReceiver image(to, std::chrono::seconds(5), 10'000, live ? 2 : 0);
        for (int i = 0; i < 3; ++i) EXPECT_TRUE(from.say(wire::Round{}));
        EXPECT_EQ(text_of(image.finish()), "it said ROUND in the image");
    }
}

}  // namespace
