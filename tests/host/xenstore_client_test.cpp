// SPDX-License-Identifier: Apache-2.0
// link: xenstored_daemon xenstore_cli
/// The client library against the daemon itself, in a process of its own that is killed and started again.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>

#include "toolstack/xenstore/cli/text.hpp"
#include "toolstack/xenstore/client.hpp"
#include "toolstack/xenstored/daemon.hpp"

namespace xenstore {
namespace {

using namespace std::chrono_literals;

class DaemonTest : public testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/xenstored-test.XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        directory_ = name;
        start();
    }
    void TearDown() override {
        kill();
        std::filesystem::remove_all(directory_);
    }
    void start() {
        int ready[2];
        ASSERT_EQ(::pipe(ready), 0);
        daemon_ = ::fork();
        ASSERT_GE(daemon_, 0);
        if (daemon_ == 0) serve(ready[1]);
        char word = 0;
        ASSERT_EQ(::read(ready[0], &word, 1), 1);
        ::close(ready[0]);
        ::close(ready[1]);
    }
    [[noreturn]] void serve(int ready) {
        xenstored::DaemonOptions options;
        options.directory = directory_;
        options.serve_domains = false;
        options.log_file = directory_ + "/log";
        xenstored::Daemon daemon(options);
        if (!daemon.start()) ::_exit(1);
        (void)!::write(ready, "r", 1);
        ::_exit(daemon.run() ? 0 : 1);
    }
    void kill() {
        ::kill(daemon_, SIGKILL);
        ::waitpid(daemon_, nullptr, 0);
    }
    std::unique_ptr<Store> connect() {
        Location where;
        where.sockets = {directory_ + "/socket"};
        where.device = "none";
        auto store = open_store(where);
        EXPECT_TRUE(static_cast<bool>(store)) << store.failure().text;
        return std::move(store).take();
    }

    std::string directory_;
    pid_t daemon_ = -1;
};

base::Errc code_of(const Store::Status& s) { return s.failure().code; }

double seconds(const std::function<void()>& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

TEST_F(DaemonTest, ADaemonThatHangsIsWaitedForOnceAndThenBriefly) {
    Location where;
    where.sockets = {directory_ + "/socket"};
    where.device = "none";
    where.answer = 1s;
    auto s = std::move(open_store(where)).take();
    ASSERT_TRUE(static_cast<bool>(s->write("/a", "1")));
    ASSERT_TRUE(static_cast<bool>(s->watch("/a", "t")));
    ::kill(daemon_, SIGSTOP);
    EXPECT_NEAR(seconds([&] { EXPECT_EQ(s->read("/a").failure().code, base::Errc::timedout); }), 1.0, 0.5);
    EXPECT_LT(seconds([&] {
                  const auto again = s->read("/a");
                  EXPECT_EQ(again.failure().code, base::Errc::timedout);
                  EXPECT_EQ(again.failure().text, "Cannot read /a: xenstored does not answer");
              }),
              0.6);
    ::kill(daemon_, SIGCONT);
    // It may take a moment to work off what was asked of it.
    for (int i = 0; i < 20 && !s->read("/a"); ++i) {}
    EXPECT_EQ(*s->read("/a"), "1");
    ASSERT_TRUE(static_cast<bool>(s->write("/a", "2")));
    EXPECT_TRUE((*s->next_event(5s)).has_value()) << "the watch is set again";
}

TEST_F(DaemonTest, ARequestThatWaitsCanBeStopped) {
    int stop[2];
    ASSERT_EQ(::pipe(stop), 0);
    Location where;
    where.sockets = {directory_ + "/socket"};
    where.device = "none";
    where.stop = stop[0];
    auto s = std::move(open_store(where)).take();
    ::kill(daemon_, SIGSTOP);
    (void)!::write(stop[1], "x", 1);
    EXPECT_LT(seconds([&] { EXPECT_EQ(s->read("/a").failure().code, base::Errc::intr); }), 3.0);
    kill();
    EXPECT_LT(seconds([&] { EXPECT_FALSE(s->read("/a")); }), 3.0) << "nor is a daemon that is gone waited for";
    start();
    ::close(stop[0]);
    ::close(stop[1]);
}

TEST_F(DaemonTest, ReadsAndWrites) {
    auto s = connect();
    ASSERT_TRUE(static_cast<bool>(s->write("/a/b", std::string("x\0y", 3))));
    EXPECT_EQ(*s->read("/a/b"), std::string("x\0y", 3));
    EXPECT_EQ(s->read("/none").failure().code, base::Errc::noent);
    EXPECT_EQ(s->read("/none").failure().text, "Cannot read /none: No such file or directory");
    EXPECT_EQ(code_of(s->write("/a", std::string(5000, 'x'))), base::Errc::toobig);
    EXPECT_FALSE((*read_if_there(*s, "/none")).has_value());
    EXPECT_EQ(*s->domain_path(base::DomId{7}), "/local/domain/7");
    EXPECT_EQ(*s->is_introduced(base::DomId{7}), false);
    EXPECT_EQ(*s->control({"check"}), "OK");
    const Permissions p{{base::DomId{3}, Access::read}, {base::DomId{4}, Access::both}};
    ASSERT_TRUE(static_cast<bool>(s->set_permissions("/a/b", p)));
    EXPECT_EQ(*s->permissions("/a/b"), p);
}

TEST_F(DaemonTest, ListsThousandsOfChildren) {
    auto s = connect();
    ASSERT_TRUE(static_cast<bool>(s->mkdir("/empty")));
    EXPECT_TRUE(s->directory("/empty")->empty());
    std::vector<std::string> names;
    for (int i = 0; i < 3000; ++i) {
        names.push_back("child-" + std::to_string(i));
        ASSERT_TRUE(static_cast<bool>(s->write("/many/" + names.back(), "")));
    }
    EXPECT_EQ(*s->directory("/many"), names);
}

TEST_F(DaemonTest, ConflictingTransactionsAreRepeated) {
    auto a = connect();
    auto b = connect();
    ASSERT_TRUE(static_cast<bool>(a->write("/n", "0")));
    int runs = 0;
    const auto done = in_transaction(*a, [&](Transaction& t) -> Store::Status {
        const int n = std::stoi(OTRY(t.read("/n")));
        if (++runs < 3) OTRY(b->write("/n", std::to_string(10 * runs)));
        return t.write("/n", std::to_string(n + 1));
    });
    EXPECT_TRUE(static_cast<bool>(done));
    EXPECT_EQ(runs, 3);
    EXPECT_EQ(*a->read("/n"), "21");
    const auto refused = in_transaction(*a, [](Transaction& t) -> Store::Status {
        OTRY(t.write("/n", "lost"));
        return base::fail(base::Errc::inval, "changed my mind");
    });
    EXPECT_EQ(code_of(refused), base::Errc::inval);
    EXPECT_EQ(*a->read("/n"), "21");
}

std::vector<Change> hundred_changes() {
    std::vector<Change> out{{Change::Kind::mkdir, "/many"}};
    out.push_back({Change::Kind::permissions, "/many", {}, {{base::DomId{3}, Access::read}}});
    for (int i = 0; i < 98; ++i) out.push_back({Change::Kind::write, "/many/" + std::to_string(i), std::to_string(i * i)});
    return out;
}

TEST_F(DaemonTest, ManyChangesAtOnceAreMadeInTheirOrder) {
    auto s = connect();
    ASSERT_TRUE(static_cast<bool>(s->watch("/", "t")));
    const std::vector<Change> changes = hundred_changes();
    ASSERT_TRUE(static_cast<bool>(in_transaction(*s, [&](Transaction& t) { return t.change_all(changes); })));
    EXPECT_EQ(s->directory("/many")->size(), 98U);
    EXPECT_EQ(*s->read("/many/97"), "9409");
    EXPECT_EQ(*s->permissions("/many/50"), changes[1].permissions) << "inherited";
    EXPECT_TRUE((*s->next_event(1s)).has_value()) << "events among the answers are kept";
    EXPECT_EQ(code_of(s->change_all(changes, TransactionId{77})), base::Errc::again) << "no such transaction";
}

TEST_F(DaemonTest, OneRefusedAmongManyChangesIsNamedAndNothingStays) {
    auto s = connect();
    std::vector<Change> changes = hundred_changes();
    changes[40].path = "/no good";
    changes[41].path = "/no better";
    const auto refused = in_transaction(*s, [&](Transaction& t) { return t.change_all(changes); });
    EXPECT_EQ(code_of(refused), base::Errc::inval);
    EXPECT_EQ(refused.failure().text, "Cannot write /no good: Invalid argument");
    EXPECT_EQ(s->directory("/many").failure().code, base::Errc::noent);
    changes[40] = {Change::Kind::write, "/many/40", std::string(5000, 'x')};
    EXPECT_EQ(code_of(in_transaction(*s, [&](Transaction& t) { return t.change_all(changes); })), base::Errc::toobig);
    EXPECT_EQ(s->directory("/many").failure().code, base::Errc::noent);
    EXPECT_TRUE(static_cast<bool>(s->write("/after", "1"))) << "the answers are in step";
    EXPECT_EQ(*s->read("/after"), "1");
}

TEST_F(DaemonTest, ADeathAmongManyChangesRepeatsTheTransaction) {
    auto s = connect();
    int runs = 0;
    const auto done = in_transaction(*s, [&](Transaction& t) -> Store::Status {
        if (runs++ == 0) {
            kill();
            start();
        }
        return t.change_all(hundred_changes());
    });
    ASSERT_TRUE(static_cast<bool>(done)) << done.failure().text;
    EXPECT_EQ(runs, 2);
    EXPECT_EQ(s->directory("/many")->size(), 98U);
}

bool readable(int fd) {
    pollfd p{fd, POLLIN, 0};
    return ::poll(&p, 1, 0) == 1;
}

TEST_F(DaemonTest, EventsWaitBehindTheDescriptor) {
    auto s = connect();
    auto other = connect();
    ASSERT_TRUE(static_cast<bool>(s->watch("/w", "t")));
    EXPECT_EQ(**s->next_event(1s), (Event{"/w", "t"}));
    EXPECT_FALSE((*s->poll_event()).has_value());
    EXPECT_FALSE(readable(s->event_fd()));
    ASSERT_TRUE(static_cast<bool>(other->write("/w/1", "")));
    ASSERT_TRUE(static_cast<bool>(other->write("/w/2", "")));
    EXPECT_EQ(*s->read("/w/1"), "");  // the events come in before this reply
    EXPECT_TRUE(readable(s->event_fd()));
    EXPECT_EQ(**s->poll_event(), (Event{"/w/1", "t"}));
    EXPECT_EQ(**s->poll_event(), (Event{"/w/2", "t"}));
    EXPECT_FALSE((*s->poll_event()).has_value());
    EXPECT_FALSE(readable(s->event_fd()));
    ASSERT_TRUE(static_cast<bool>(other->write("/w/3", "")));
    ASSERT_TRUE(static_cast<bool>(s->unwatch("/w", "t")));
    EXPECT_FALSE((*s->next_event(50ms)).has_value());
}

TEST_F(DaemonTest, SurvivesTheDaemonsDeath) {
    auto s = connect();
    ASSERT_TRUE(static_cast<bool>(s->write("/kept", "1")));
    ASSERT_TRUE(static_cast<bool>(s->watch("/kept", "t")));
    EXPECT_TRUE((*s->next_event(1s)).has_value());
    int runs = 0;
    const auto done = in_transaction(*s, [&](Transaction& t) -> Store::Status {
        OTRY(t.write("/tx", std::to_string(runs)));
        if (runs++ == 0) {
            kill();
            start();
        }
        return t.write("/tx2", "x");
    });
    ASSERT_TRUE(static_cast<bool>(done)) << done.failure().text;
    EXPECT_EQ(runs, 2);
    EXPECT_EQ(*s->read("/tx"), "1");
    EXPECT_EQ(*s->read("/kept"), "1");
    EXPECT_EQ(**s->next_event(2s), (Event{"/kept", "t"}));  // the watch was set again
    auto other = connect();
    ASSERT_TRUE(static_cast<bool>(other->write("/kept", "2")));
    EXPECT_EQ(**s->next_event(2s), (Event{"/kept", "t"}));
}

TEST_F(DaemonTest, AnIdleClientFindsTheNewDaemonByItself) {
    auto s = connect();
    ASSERT_TRUE(static_cast<bool>(s->watch("/x", "t")));
    EXPECT_TRUE((*s->next_event(1s)).has_value());
    kill();
    start();
    EXPECT_EQ(**s->next_event(3s), (Event{"/x", "t"}));
}

TEST_F(DaemonTest, TwentyDeathsLoseNoAcknowledgedWrite) {
    auto s = connect();
    for (int i = 0; i < 20; ++i) {
        for (int k = 0; k < 20; ++k)
            ASSERT_TRUE(static_cast<bool>(s->write("/r/" + std::to_string(i) + "/" + std::to_string(k), "v")));
        kill();
        start();
    }
    for (int i = 0; i < 20; ++i) EXPECT_EQ(s->directory("/r/" + std::to_string(i))->size(), 20u);
}

TEST(Permission, TextBothWays) {
    for (const char* text : {"n0", "r5", "w32751", "b1"}) EXPECT_EQ(to_string(*parse_permission(text)), text);
    for (const char* text : {"", "n", "x1", "r-1", "r1x", "r65536", "1"})
        EXPECT_FALSE(parse_permission(text).has_value()) << text;
}

TEST(Listing, LooksAsPeopleKnowIt) {
    using namespace cli;
    const Layout plain{false, true, 80};
    EXPECT_EQ(listing_line(plain, 0, "tool", "", "n0"), "tool = \"\"  . . . . . . . . . . . . . . . . . . . . . . . . .  (n0)");
    EXPECT_EQ(listing_line(plain, 1, "d3", "", "n0"), " d3 = \"\" . . . . . . . . . . . . . . . . . . . . . . . . . .  (n0)");
    const Layout full{true, true, static_cast<size_t>(-1)};
    EXPECT_EQ(listing_line(full, 3, "/a/b", "v", "n0,r1"), "/a/b = \"v\"   (n0,r1)");
    const std::string cut = listing_line({false, false, 80}, 0, "long", std::string(200, 'x'), "");
    EXPECT_EQ(cut, "long = \"" + std::string(68, 'x') + "\\...\"");
    EXPECT_EQ(escaped(std::string("a\nb\x01\\c\"d\te\0f", 12)), "a\\nb\\001\\\\c\"d\\te\\000f");
    EXPECT_EQ(unescaped("a\\nb\\x01\\\\c\\t\\000"), std::string("a\nb\x01\\c\t\0", 8));
    EXPECT_FALSE(unescaped("trailing\\").has_value());
    EXPECT_FALSE(unescaped("\\q").has_value());
}

}  // namespace
}  // namespace xenstore
