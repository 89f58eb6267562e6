// SPDX-License-Identifier: Apache-2.0
// link: xenstored_core
#include "toolstack/xenstored/server.hpp"

#include <algorithm>

#include "tests/host/xenstored_harness.hpp"

namespace xenstored::test {
namespace {

using Strings = std::vector<std::string>;

TEST(Wire, ReplyHasTheRequestsNumbersAndType) {
    Harness h;
    Connection& c = h.socket();
    const std::string payload = words({"/local/x"}) + "value";
    proto::XsMessage m{{xen::XS_WRITE, 0x11223344, 0, static_cast<uint32_t>(payload.size())},
                       std::as_bytes(std::span(payload.data(), payload.size()))};
    h.server.handle(c, m);
    const std::string golden("\x0b\0\0\0\x44\x33\x22\x11\0\0\0\0\x03\0\0\0OK\0", 19);
    EXPECT_EQ(c.out.all(), golden);
}

TEST(Wire, ErrorsAreNames) {
    Harness h;
    Connection& c = h.socket();
    EXPECT_EQ(h.read(c, "/nope"), "!ENOENT");
    EXPECT_EQ(h.read(c, "/bad path"), "!EINVAL");
    EXPECT_EQ(h.ask(c, 20, words({"1"})).error(), "ENOSYS");  // XS_RESTRICT, removed
    EXPECT_EQ(h.ask(c, 999, words({"1"})).error(), "ENOSYS");
    EXPECT_EQ(h.ask(c, xen::XS_READ, "/no-nul").error(), "EINVAL");
    EXPECT_EQ(h.ask(c, xen::XS_READ, "").error(), "EINVAL");
}

TEST(Nodes, WriteMakesParentsAndKeepsBinaryValues) {
    Harness h;
    Connection& c = h.socket();
    const std::string value("a\0b\n", 4);
    EXPECT_EQ(h.write(c, "/a/b/c", value), "");
    EXPECT_EQ(h.read(c, "/a/b/c"), value);
    EXPECT_EQ(h.read(c, "/a/b"), "");
    EXPECT_EQ(h.list(c, "/a"), "b");
    EXPECT_EQ(h.mkdir(c, "/a/b/c"), "");
    EXPECT_EQ(h.read(c, "/a/b/c"), value);
}

TEST(Nodes, RemoveTakesAllBelow) {
    Harness h;
    Connection& c = h.socket();
    h.write(c, "/a/b/c", "1");
    EXPECT_EQ(h.remove(c, "/a/missing"), "");
    EXPECT_EQ(h.remove(c, "/missing/x"), "ENOENT");
    EXPECT_EQ(h.remove(c, "/"), "EINVAL");
    EXPECT_EQ(h.remove(c, "/a"), "");
    EXPECT_EQ(h.read(c, "/a/b/c"), "!ENOENT");
}

TEST(Nodes, RelativePathsAreBelowTheDomainsHome) {
    Harness h;
    Connection& tool = h.socket();
    h.write(tool, "/local/domain/5/name", "five");
    h.chmod(tool, "/local/domain/5", {"n0", "r5"});
    h.chmod(tool, "/local/domain/5/name", {"n0", "r5"});
    h.write(tool, "/local/domain/0/name", "zero");
    Connection& guest = h.domain(5);
    EXPECT_EQ(h.read(guest, "name"), "five");
    EXPECT_EQ(h.read(tool, "name"), "zero");
}

TEST(Nodes, LongListingsComeInParts) {
    Harness h;
    Connection& c = h.socket();
    std::string expected;
    for (int i = 0; i < 2000; ++i) {
        h.write(c, "/many/child-" + std::to_string(i), "");
        expected += "child-" + std::to_string(i) + '\0';
    }
    EXPECT_EQ(h.list(c, "/many"), "!E2BIG");
    std::string all, generation;
    for (;;) {
        const Answer a = h.ask(c, xen::XS_DIRECTORY_PART, words({"/many", std::to_string(all.size())}));
        ASSERT_TRUE(a.ok());
        ASSERT_LE(a.payload.size(), 4096u);
        const size_t nul = a.payload.find('\0');
        if (generation.empty()) generation = a.payload.substr(0, nul);
        EXPECT_EQ(a.payload.substr(0, nul), generation);
        all += a.payload.substr(nul + 1);
        if (all.ends_with(std::string(2, '\0'))) break;
    }
    all.pop_back();
    EXPECT_EQ(all, expected);
    h.write(c, "/many/one-more", "");
    EXPECT_NE(h.ask(c, xen::XS_DIRECTORY_PART, words({"/many", "0"})).payload.substr(0, generation.size()), generation);
}

struct PermissionCase {
    const char* modes[3];
    bool owner_writes, listed_reads, listed_writes, other_reads, other_writes;
};

/// Domain 1 owns, domain 2 is listed, domain 3 is anybody else.
TEST(Permissions, Matrix) {
    const PermissionCase cases[] = {
        {{"n1", nullptr, nullptr}, true, false, false, false, false}, {{"r1", nullptr, nullptr}, true, true, false, true, false},
        {{"w1", nullptr, nullptr}, true, false, true, false, true},   {{"b1", nullptr, nullptr}, true, true, true, true, true},
        {{"n1", "r2", nullptr}, true, true, false, false, false},     {{"n1", "w2", nullptr}, true, false, true, false, false},
        {{"n1", "b2", nullptr}, true, true, true, false, false},      {{"b1", "n2", nullptr}, true, false, false, true, true},
        {{"r1", "w2", nullptr}, true, false, true, true, false},      {{"n1", "r2", "b3"}, true, true, false, true, true},
    };
    for (const PermissionCase& one : cases) {
        Harness h;
        Connection& tool = h.socket();
        Connection& owner = h.domain(1);
        Connection& listed = h.domain(2);
        Connection& other = h.domain(3);
        h.write(tool, "/node", "v");
        std::string payload = words({"/node"});
        for (const char* mode : one.modes) {
            if (mode != nullptr) payload += words({mode});
        }
        ASSERT_EQ(h.ask(tool, xen::XS_SET_PERMS, payload).error(), "");
        const std::string what = one.modes[0] + std::string(one.modes[1] != nullptr ? one.modes[1] : "");
        EXPECT_EQ(h.write(owner, "/node", "v"), one.owner_writes ? "" : "EACCES") << what;
        EXPECT_EQ(h.read(listed, "/node"), one.listed_reads ? "v" : "!EACCES") << what;
        EXPECT_EQ(h.write(listed, "/node", "v"), one.listed_writes ? "" : "EACCES") << what;
        EXPECT_EQ(h.read(other, "/node"), one.other_reads ? "v" : "!EACCES") << what;
        EXPECT_EQ(h.write(other, "/node", "v"), one.other_writes ? "" : "EACCES") << what;
        EXPECT_EQ(h.chmod(listed, "/node", {"b1"}), "EACCES") << what;
        EXPECT_EQ(h.read(tool, "/node"), "v");
    }
}

TEST(Permissions, AreInheritedAndCreatorsOwn) {
    Harness h;
    Connection& tool = h.socket();
    Connection& guest = h.domain(1);
    h.write(tool, "/d", "");
    h.chmod(tool, "/d", {"n0", "b1", "r2"});
    EXPECT_EQ(h.write(guest, "/d/x/y", "v"), "");
    EXPECT_EQ(h.ask(tool, xen::XS_GET_PERMS, words({"/d/x"})).payload, words({"n1", "b1", "r2"}));
    h.write(tool, "/d/tool", "v");
    EXPECT_EQ(h.ask(tool, xen::XS_GET_PERMS, words({"/d/tool"})).payload, words({"n0", "b1", "r2"}));
    EXPECT_EQ(h.chmod(guest, "/d/x", {"n2"}), "EPERM");  // ownership cannot be given away
    EXPECT_EQ(h.chmod(guest, "/d/x", {"n1", "b3"}), "");
}

TEST(Permissions, AMissingNodeIsMissingOnlyToThoseWhoMayLook) {
    Harness h;
    Connection& tool = h.socket();
    Connection& guest = h.domain(1);
    h.write(tool, "/open", "");
    h.chmod(tool, "/open", {"r0"});
    h.write(tool, "/closed", "");
    EXPECT_EQ(h.read(guest, "/open/x/y"), "!ENOENT");
    EXPECT_EQ(h.read(guest, "/closed/x/y"), "!EACCES");
    EXPECT_EQ(h.write(guest, "/open/x", "v"), "EACCES");
}

TEST(Permissions, TargetLendsItsRights) {
    Harness h;
    Connection& tool = h.socket();
    h.domain(1);
    Connection& helper = h.domain(2);
    h.write(tool, "/one", "v");
    h.chmod(tool, "/one", {"n1"});
    EXPECT_EQ(h.read(helper, "/one"), "!EACCES");
    EXPECT_EQ(h.ask(tool, xen::XS_SET_TARGET, words({"2", "1"})).error(), "");
    EXPECT_EQ(h.read(helper, "/one"), "v");
    h.effects.states.erase(1);
    h.server.check_domains();
    EXPECT_FALSE(helper.caller.target.has_value());
}

TEST(Permissions, GuestsCannotCommandTheDaemon) {
    Harness h;
    Connection& guest = h.domain(1);
    for (const uint32_t type : {xen::XS_INTRODUCE, xen::XS_RELEASE, xen::XS_RESUME, xen::XS_SET_TARGET, xen::XS_CONTROL}) {
        EXPECT_EQ(h.ask(guest, type, words({"2", "1", "1"})).error(), "EACCES") << type;
    }
    EXPECT_EQ(h.ask(guest, xen::XS_IS_DOMAIN_INTRODUCED, words({"1"})).payload, words({"T"}));
    EXPECT_EQ(h.ask(guest, xen::XS_GET_DOMAIN_PATH, words({"7"})).payload, words({"/local/domain/7"}));
}

TEST(Transactions, SeeASnapshotAndCommitAtOnce) {
    Harness h;
    Connection& a = h.socket();
    Connection& b = h.socket();
    h.write(a, "/x", "1");
    const uint32_t tx = h.begin(a);
    h.write(a, "/y", "in", tx);
    EXPECT_EQ(h.read(b, "/y"), "!ENOENT");
    h.write(b, "/z", "later");
    EXPECT_EQ(h.read(a, "/z", tx), "!ENOENT");
    EXPECT_EQ(h.read(a, "/y", tx), "in");
    EXPECT_EQ(h.end(a, h.begin(a)), "");
    EXPECT_EQ(h.ask(a, xen::XS_TRANSACTION_END, words({"X"}), tx).error(), "EINVAL");
}

TEST(Transactions, OnlyRealConflictsFail) {
    Harness h;
    Connection& a = h.socket();
    Connection& b = h.socket();
    h.write(a, "/local/domain/1/x", "1");
    h.write(a, "/local/domain/2/x", "1");
    uint32_t tx = h.begin(a);
    h.write(a, "/local/domain/1/new", "v", tx);
    h.write(b, "/local/domain/2/x", "other");    // elsewhere
    h.write(b, "/local/domain/3/x", "sibling");  // a sibling of a parent
    EXPECT_EQ(h.end(a, tx), "");
    EXPECT_EQ(h.read(b, "/local/domain/1/new"), "v");

    tx = h.begin(a);
    EXPECT_EQ(h.read(a, "/local/domain/2/x", tx), "other");
    h.write(b, "/local/domain/2/x", "changed");
    h.write(a, "/q", "1", tx);
    EXPECT_EQ(h.end(a, tx), "EAGAIN");
    EXPECT_EQ(h.read(a, "/q"), "!ENOENT");

    tx = h.begin(a);
    h.list(a, "/local/domain", tx);
    h.write(b, "/local/domain/4/x", "1");
    EXPECT_EQ(h.end(a, tx), "EAGAIN");  // the listing has changed

    tx = h.begin(a);
    h.remove(a, "/local/domain/4", tx);
    h.write(b, "/local/domain/4/deep/new", "1");
    EXPECT_EQ(h.end(a, tx), "EAGAIN");  // something came into what was removed
    EXPECT_EQ(h.end(a, tx), "ENOENT");  // it is over

    tx = h.begin(a);
    EXPECT_EQ(h.read(a, "/late/come", tx), "!ENOENT");
    h.write(b, "/late/come", "1");
    h.write(a, "/q", "1", tx);
    EXPECT_EQ(h.end(a, tx), "EAGAIN");  // what was missing appeared
    EXPECT_EQ(h.end(a, h.begin(a), "F"), "");
}

TEST(Transactions, EventsComeAtCommitOnly) {
    Harness h;
    Connection& a = h.socket();
    Connection& b = h.socket();
    h.watch(b, "/x", "t");
    h.take_events(b);
    const uint32_t tx = h.begin(a);
    h.write(a, "/x/1", "v", tx);
    EXPECT_EQ(h.take_events(b), Strings{});
    EXPECT_EQ(h.end(a, tx), "");
    EXPECT_EQ(h.take_events(b), Strings{"/x/1|t"});
    const uint32_t dropped = h.begin(a);
    h.write(a, "/x/2", "v", dropped);
    h.end(a, dropped, "F");
    EXPECT_EQ(h.take_events(b), Strings{});
}

TEST(Watches, FireOnceAtFirstThenForAllBelow) {
    Harness h;
    Connection& c = h.socket();
    EXPECT_EQ(h.watch(c, "/a", "tok"), "");
    EXPECT_EQ(h.take_events(c), Strings{"/a|tok"});
    EXPECT_EQ(h.watch(c, "/a", "tok"), "EEXIST");
    h.write(c, "/a/b/c", "1");
    h.write(c, "/ab", "1");
    h.chmod(c, "/a/b", {"r0"});
    EXPECT_EQ(h.take_events(c), (Strings{"/a/b/c|tok", "/a/b|tok"}));
    EXPECT_EQ(h.ask(c, xen::XS_UNWATCH, words({"/a", "tok"})).error(), "");
    EXPECT_EQ(h.ask(c, xen::XS_UNWATCH, words({"/a", "tok"})).error(), "ENOENT");
    h.write(c, "/a/b/c", "2");
    EXPECT_EQ(h.take_events(c), Strings{});
}

TEST(Watches, BelowARemovedNodeTellTheirOwnPath) {
    Harness h;
    Connection& c = h.socket();
    h.write(c, "/a/b/c", "1");
    h.watch(c, "/a/b/c", "deep");
    h.watch(c, "/a/b/missing", "missing");
    h.watch(c, "/", "root");
    h.take_events(c);
    h.remove(c, "/a");
    Strings events = h.take_events(c);
    std::sort(events.begin(), events.end());
    EXPECT_EQ(events, (Strings{"/a/b/c|deep", "/a|root"}));
}

TEST(Watches, RelativeOnesReportRelativePaths) {
    Harness h;
    Connection& tool = h.socket();
    Connection& guest = h.domain(5);
    h.write(tool, "/local/domain/5/control", "");
    h.chmod(tool, "/local/domain/5", {"r0"});
    h.chmod(tool, "/local/domain/5/control", {"n5"});
    h.watch(guest, "control/shutdown", "t");
    EXPECT_EQ(h.take_events(guest), Strings{"control/shutdown|t"});
    h.write(tool, "/local/domain/5/control/shutdown", "poweroff");
    EXPECT_EQ(h.take_events(guest), Strings{"control/shutdown|t"});
}

TEST(Watches, DoNotTellOfWhatMayNotBeRead) {
    Harness h;
    Connection& tool = h.socket();
    Connection& guest = h.domain(5);
    h.watch(guest, "/", "all");
    h.take_events(guest);
    h.write(tool, "/secret/key", "1");
    EXPECT_EQ(h.take_events(guest), Strings{});
    h.write(tool, "/open", "1");
    h.chmod(tool, "/open", {"n0", "r5"});
    EXPECT_EQ(h.take_events(guest), Strings{"/open|all"});
    h.remove(tool, "/open");
    EXPECT_EQ(h.take_events(guest), Strings{"/open|all"});
}

TEST(Watches, SpecialsFollowDomains) {
    Harness h;
    Connection& tool = h.socket();
    Connection& guest = h.domain(5);
    h.watch(tool, "@introduceDomain", "i");
    h.watch(tool, "@releaseDomain", "r");
    h.watch(guest, "@releaseDomain", "g");
    h.take_events(tool);
    h.take_events(guest);
    h.domain(6);
    EXPECT_EQ(h.take_events(tool), Strings{"@introduceDomain|i"});
    h.effects.states[6].shutdown = true;
    h.server.check_domains();
    EXPECT_EQ(h.take_events(tool), Strings{"@releaseDomain|r"});
    h.server.check_domains();
    EXPECT_EQ(h.take_events(tool), Strings{});  // told already
    EXPECT_EQ(h.take_events(guest), Strings{});
    EXPECT_EQ(h.chmod(tool, "@releaseDomain", {"n0", "r5"}), "");
    h.effects.states.erase(6);
    h.server.check_domains();
    EXPECT_EQ(h.take_events(tool), Strings{"@releaseDomain|r"});
    EXPECT_EQ(h.take_events(guest), Strings{"@releaseDomain|g"});
    EXPECT_EQ(h.ask(tool, xen::XS_IS_DOMAIN_INTRODUCED, words({"6"})).payload, words({"F"}));
}

TEST(Watches, AreBoundedForOneWhoDoesNotRead) {
    Quota quota;
    quota.output_bytes = 4096;
    Harness h(quota);
    Connection& tool = h.socket();
    Connection& guest = h.domain(5);
    h.write(tool, "/busy", "");
    h.chmod(tool, "/busy", {"r0"});
    h.watch(guest, "/busy", "t");
    h.take_events(guest);
    for (int i = 0; i < 5000; ++i) {
        const std::string payload = words({"/busy/" + std::to_string(i)}) + "v";
        proto::XsMessage m{{xen::XS_WRITE, 7, 0, static_cast<uint32_t>(payload.size())},
                           std::as_bytes(std::span(payload.data(), payload.size()))};
        h.server.handle(tool, m);
        tool.out.clear();
    }
    EXPECT_LT(guest.out.bytes(), 8192u);
    h.take_events(guest);
    h.server.catch_up(guest);
    EXPECT_EQ(h.take_events(guest), Strings{"/busy|t"});  // what was lost is told in one
}

TEST(Quota, NodesWatchesTransactionsAndSizes) {
    Quota quota;
    quota.nodes = 10;
    quota.watches = 3;
    quota.transactions = 2;
    Harness h(quota);
    Connection& tool = h.socket();
    Connection& guest = h.domain(1);
    h.write(tool, "/g", "");
    h.chmod(tool, "/g", {"b0"});
    std::string last;
    int made = 0;
    while ((last = h.write(guest, "/g/" + std::to_string(made), "v")).empty() && made < 100) ++made;
    EXPECT_EQ(made, 10);
    EXPECT_EQ(last, "ENOSPC");
    EXPECT_EQ(h.write(guest, "/g/0", std::string(2048, 'x')), "ENOSPC");
    EXPECT_EQ(h.remove(guest, "/g/3"), "");
    const uint32_t tx = h.begin(guest);
    EXPECT_EQ(h.write(guest, "/g/a", "v", tx), "");
    EXPECT_EQ(h.write(guest, "/g/b", "v", tx), "ENOSPC");
    EXPECT_EQ(h.end(guest, tx), "");
    for (const char* t : {"1", "2", "3"}) EXPECT_EQ(h.watch(guest, "/g", t), "");
    EXPECT_EQ(h.watch(guest, "/g", "4"), "E2BIG");
    h.begin(guest);
    h.begin(guest);
    EXPECT_EQ(h.ask(guest, xen::XS_TRANSACTION_START, words({""})).error(), "ENOSPC");
    EXPECT_EQ(h.ask(guest, xen::XS_RESET_WATCHES, words({""})).error(), "");
    EXPECT_EQ(h.watch(guest, "/g", "4"), "");
    h.begin(guest);
    EXPECT_EQ(h.chmod(guest, "/g/0", {"n1", "r2", "r3", "r4", "r5", "r6"}), "ENOSPC");
    EXPECT_EQ(h.server.database().check(), Strings{});
}

TEST(Quota, TransactionCannotBeUsedToPassIt) {
    Quota quota;
    quota.nodes = 5;
    Harness h(quota);
    Connection& tool = h.socket();
    Connection& guest = h.domain(1);
    h.write(tool, "/g", "");
    h.chmod(tool, "/g", {"b0"});
    const uint32_t a = h.begin(guest);
    const uint32_t b = h.begin(guest);
    for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(h.write(guest, "/g/a" + std::to_string(i), "v", a), "");
        EXPECT_EQ(h.write(guest, "/g/b" + std::to_string(i), "v", b), "");
    }
    EXPECT_EQ(h.end(guest, a), "");
    EXPECT_EQ(h.end(guest, b), "ENOSPC");
    EXPECT_EQ(h.server.database().nodes_of(DomId{1}), 5);
}

TEST(Quota, WritingTheSameNodeInATransactionIsBounded) {
    Harness h;
    Connection& tool = h.socket();
    Connection& guest = h.domain(1);
    h.write(tool, "/g", "");
    h.chmod(tool, "/g", {"b0"});
    const uint32_t tx = h.begin(guest);
    int done = 0;
    while (done < 10000 && h.write(guest, "/g/x", std::string(1000, 'v'), tx).empty()) ++done;
    EXPECT_GT(done, 200);
    EXPECT_LT(done, 300);
}

TEST(Domains, LeaveNothingBehindForTheNextOfTheirNumber) {
    Harness h;
    Connection& tool = h.socket();
    Connection& guest = h.domain(9);
    h.write(tool, "/local/domain/9/data", "");
    h.chmod(tool, "/local/domain/9/data", {"n9"});
    h.write(guest, "data/mine", "1");
    h.write(tool, "/shared", "1");
    h.chmod(tool, "/shared", {"n0", "r9", "r4"});
    h.effects.states.erase(9);
    h.server.check_domains();
    EXPECT_FALSE(h.effects.attached.contains(9));
    EXPECT_EQ(h.read(tool, "/local/domain/9/data"), "!ENOENT");
    EXPECT_EQ(h.ask(tool, xen::XS_GET_PERMS, words({"/shared"})).payload, words({"n0", "r4"}));
    EXPECT_EQ(h.server.database().nodes_of(DomId{9}), 0);
    Connection& next = h.domain(9);
    EXPECT_EQ(h.read(next, "/shared"), "!EACCES");
    EXPECT_EQ(h.server.database().check(), Strings{});
}

TEST(Domains, IntroducingAgainStartsTheRingAnew) {
    Harness h;
    Connection& tool = h.socket();
    Connection& guest = h.domain(9);
    h.watch(guest, "x", "t");
    h.watch(tool, "@introduceDomain", "i");
    h.take_events(tool);
    EXPECT_EQ(h.ask(tool, xen::XS_INTRODUCE, words({"9", "77", "8"})).error(), "");
    EXPECT_EQ(h.take_events(tool), Strings{});
    EXPECT_TRUE(h.server.domains().at(9).ring->watches.empty());
    EXPECT_EQ(h.ask(tool, xen::XS_INTRODUCE, words({"10", "77", "8"})).error(), "EINVAL");  // no such domain
    EXPECT_EQ(h.ask(tool, xen::XS_INTRODUCE, words({"9", "x", "8"})).error(), "EINVAL");
    EXPECT_EQ(h.ask(tool, xen::XS_RELEASE, words({"9"})).error(), "");
    EXPECT_EQ(h.ask(tool, xen::XS_RELEASE, words({"9"})).error(), "EINVAL");
}

TEST(Control, ChecksAndSetsQuotas) {
    Harness h;
    Connection& tool = h.socket();
    h.write(tool, "/a/b", "1");
    EXPECT_EQ(h.ask(tool, xen::XS_CONTROL, words({"check"})).payload, words({"OK"}));
    EXPECT_EQ(h.ask(tool, xen::XS_CONTROL, words({"quota", "set", "nodes", "1"})).error(), "");
    EXPECT_EQ(h.ask(tool, xen::XS_CONTROL, words({"quota", "set", "no-such", "1"})).error(), "EINVAL");
    EXPECT_EQ(h.ask(tool, xen::XS_CONTROL, words({"no-such"})).error(), "EINVAL");
    EXPECT_TRUE(h.ask(tool, xen::XS_CONTROL, words({"memreport"})).payload.starts_with("nodes 3"));
}

}  // namespace
}  // namespace xenstored::test
