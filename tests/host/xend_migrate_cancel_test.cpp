// SPDX-License-Identifier: Apache-2.0
// link: xend_fakes xmverbs xendcore
// A domain on its way to another host, as its owner sees it: how far it is, that it is to stay after all, who is told.
#include <gtest/gtest.h>

#include <csignal>
#include <future>

#include "toolstack/xend/server/router.hpp"
#include "toolstack/xm/app.hpp"
#include "xend_two_hosts.hpp"

namespace {

using base::Outcome;
using fakes::Message;
using fakes::text_of;
using fakes::Two;
namespace wire = proto::relocation;
using namespace std::chrono_literals;

const std::string uuid = "f4bc2456-e4ce-11f1-a449-af95deeadde8";

template <class M>
std::function<Outcome<>(const Message&)> when(std::function<void()> then) {
    return [then = std::move(then)](const Message& message) -> Outcome<> {
        if (std::holds_alternative<M>(message)) then();
        return base::ok;
    };
}

/// Until it is handed over its owner has it back, whatever the other side does.
TEST(MigrateCancel, UntilItIsHandedOver) {
    const auto cancelled_at = [](const auto& message, bool suspends) {
        using M = std::decay_t<decltype(message)>;
        Two t;
        t.lines.from_source = when<M>([&t] { EXPECT_TRUE(t.here.manager.cancel_move(uuid)); });
        EXPECT_EQ(text_of(suspends ? t.migrate() : t.migrate_without_suspend()), "it was cancelled");
        t.expect_stayed();
        EXPECT_FALSE(t.here.manager.cancel_move(uuid)) << "it is not on its way";
    };
    cancelled_at(wire::Hello{}, false);
    cancelled_at(wire::Offer{}, false);
    cancelled_at(wire::Image{}, true);
    cancelled_at(wire::Sum{}, true);
    Two t;
    t.lines.from_source = when<wire::Go>(
        [&t] { EXPECT_EQ(text_of(t.here.manager.cancel_move(uuid)), "Domain 'migrating-demo' is handed over already"); });
    ASSERT_TRUE(t.migrate());
    t.expect_moved();
}

/// Who destroys it does not wait until it is there.
TEST(MigrateCancel, WhoIsDestroyedDoesNotGo) {
    Two t;
    std::future<std::string> destroyed;
    t.lines.from_source = when<wire::Offer>([&] {
        const auto move = t.here.manager.move_of(uuid);
        ASSERT_TRUE(move && *move);
        destroyed = std::async(std::launch::async, [&t] { return text_of(t.here.manager.destroy("migrating-demo")); });
        const auto until = std::chrono::steady_clock::now() + 10s;
        while (!(*move)->cancelled() && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(1ms);
    });
    EXPECT_EQ(text_of(t.migrate_without_suspend()), "it was cancelled");
    ASSERT_TRUE(destroyed.valid());
    EXPECT_EQ(destroyed.get(), "");
    t.lines.finish();
    EXPECT_EQ(t.here.count(), 0U);
    EXPECT_TRUE(t.here.records.all.empty());
    EXPECT_EQ(t.there.count(), 0U);
    EXPECT_TRUE(t.there.records.all.empty());
}

/// Nobody waits for a host that is silent, nor for a guest that does not suspend itself.
TEST(MigrateCancel, WhoIsSilentIsNotWaitedFor) {
    {
        Two t;
        std::promise<void> over;
        t.lines.from_target = when<wire::Accept>([wait = over.get_future().share()] { wait.wait(); });
        auto moved = std::async(std::launch::async, [&t] { return t.migrate_without_suspend(); });
        while (!t.here.manager.cancel_move(uuid)) std::this_thread::sleep_for(5ms);
        ASSERT_EQ(moved.wait_for(10s), std::future_status::ready);
        EXPECT_EQ(text_of(moved.get()), "it was cancelled");
        over.set_value();
        t.expect_stayed();
    }
    Two t;
    auto moved = std::async(std::launch::async, [&t] { return t.migrate_without_suspend(); });
    const auto phase = [&t]() -> std::string {
        const auto move = t.here.manager.move_of(uuid);
        return move && *move ? (*move)->phase.load() : "";
    };
    while (phase() != "the guest suspends itself") std::this_thread::sleep_for(5ms);
    EXPECT_TRUE(t.here.manager.cancel_move(uuid));
    ASSERT_EQ(moved.wait_for(10s), std::future_status::ready);
    EXPECT_EQ(text_of(moved.get()), "it was cancelled");
    t.expect_stayed();
}

TEST(MigrateCancel, OneOfTwoDecidesFirst) {
    xend::Move stays, goes;
    EXPECT_TRUE(stays.cancel() && stays.cancel());
    EXPECT_FALSE(stays.give_away());
    EXPECT_TRUE(goes.give_away());
    EXPECT_FALSE(goes.cancel());
    EXPECT_TRUE(stays.cancelled());
    EXPECT_FALSE(goes.cancelled());
}

struct Shell {
    Two& t;
    xend::Router router{t.here.manager, ""};
    std::ostringstream out, err;
    explicit Shell(Two& two) : t(two) {}
    int xm(const std::vector<std::string>& words) {
        xm::World world{router, out, err, true, [](unsigned) {}, {}};
        world.watched = true;
        return xm::run(world, words);
    }
};

/// Ctrl-C has it stay; who looks sees how far it is.
TEST(MigrateCancel, XmShowsAndInterrupts) {
    Two t;
    Shell shell(t);
    auto ended = std::async(std::launch::async, [&] { return shell.xm({"migrate", "demo", "there"}); });
    std::string seen;
    while (seen.find("suspends") == std::string::npos) {
        const auto reply = shell.router.handle({xend::Request::Method::get, "/xend/domain/" + uuid, {{"op", "migration"}}});
        seen = reply.body;
        std::this_thread::sleep_for(5ms);
    }
    EXPECT_EQ(seen, "(migration (phase 'the guest suspends itself') (sent 0) (total 67108864))");
    std::this_thread::sleep_for(600ms);  // it looks by itself
    ::raise(SIGINT);
    ASSERT_EQ(ended.wait_for(10s), std::future_status::ready);
    EXPECT_EQ(ended.get(), 1);
    const std::string said = shell.err.str();
    EXPECT_NE(said.find("\r\x1b[Kthe guest suspends itself"), std::string::npos) << said;
    EXPECT_NE(said.find("Interrupted: it stays here.\n"), std::string::npos) << said;
    EXPECT_TRUE(said.ends_with("Error: it was cancelled\n")) << said;
    t.expect_stayed();
    EXPECT_EQ(shell.router.handle({xend::Request::Method::get, "/xend/domain/demo", {{"op", "migration"}}}).body, "(migration)");
}

/// Switches learn where it is when it runs there, and twice more.
TEST(MigrateCancel, NeighboursAreTold) {
    Two t;
    const auto before = t.here.neighbours.told;
    ASSERT_TRUE(t.migrate());
    t.expect_moved();
    const std::string card = "1.0 " + config::derived_mac(*config::Uuid::parse(uuid), 0);
    EXPECT_EQ(t.there.neighbours.told, (std::vector<std::string>{card, card, card}));
    EXPECT_EQ(t.here.neighbours.told, before) << "nobody is told of one that leaves";
}

/// (external-migration-tool): its steps in order, and back when the domain stays.
TEST(MigrateCancel, TheToolIsAskedAndTakenBack) {
    xend::Settings with = fakes::Machine::settings();
    with.migration_tool = "/etc/xen/scripts/mover -v";
    for (const bool fails : {false, true}) {
        Two t(with);
        if (fails)
            t.lines.from_source = [](const Message& message) -> Outcome<> {
                return std::holds_alternative<wire::Sum>(message) ? base::fail(base::Errc::io, "cut") : Outcome<>(base::ok);
            };
        EXPECT_EQ(bool(t.migrate()), !fails);
        t.lines.finish();
        std::string asked;
        for (const auto& arguments : t.here.scripts.all_words) {
            if (arguments.size() < 2 || arguments[0] != "-type") continue;
            const bool recovers = arguments[3] == "-recover";
            asked += arguments[1] + (recovers ? "-" : "+") + arguments[recovers ? 5 : 4] + " ";
            EXPECT_EQ(arguments[2], "-v");
            EXPECT_EQ(arguments[arguments.size() - 3], "there");
            EXPECT_EQ(arguments.back(), "demo");
        }
        EXPECT_EQ(asked, std::string("vbd+0 vif+0 vbd+1 vif+1 vbd+2 vif+2 vbd+3 vif+3 ") +
                             (fails ? "vif-3 vbd-3 vif-2 vbd-2 vif-1 vbd-1 vif-0 vbd-0 " : ""));
    }
}

}  // namespace
