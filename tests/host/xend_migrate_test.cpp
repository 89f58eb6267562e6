// SPDX-License-Identifier: Apache-2.0
// link: xend_fakes xendcore
// A domain moves from one xend to another, or to the same, and what becomes of it when something fails on the way.
#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>

#include "xend_two_hosts.hpp"

namespace {

using base::Outcome;
using fakes::Host;
using fakes::Manager;
using fakes::Message;
using fakes::MoveOrder;
using fakes::text_of;
using fakes::Two;
using fakes::WatchedLine;
namespace wire = proto::relocation;

TEST(Migrate, ItRunsThereAndIsGoneHere) {
    Two t;
    ASSERT_TRUE(t.migrate());
    t.expect_moved();
    EXPECT_EQ(t.there.nodes().find("incoming"), std::string::npos) << t.there.nodes();
    EXPECT_NE(t.there.nodes().find("/device/vbd/51712/state"), std::string::npos) << "it has its disk";
}

TEST(Migrate, ToItself) {
    Two t;
    t.lines.target = &t.here.manager;
    ASSERT_TRUE(t.migrate());
    t.lines.finish();
    EXPECT_EQ(t.here.count(), 1U);
    EXPECT_TRUE(t.here.runs("demo"));
    EXPECT_EQ(t.here.manager.find("demo")->info.id, base::DomId{2});
    EXPECT_EQ(t.here.manager.find("demo")->uuid, t.here.demo().uuid);
    EXPECT_EQ(t.here.records.all.size(), 1U);
    EXPECT_TRUE(t.here.transfers.load()->empty());
    EXPECT_NE(t.here.nodes().find("/local/domain/2/name = \"demo\""), std::string::npos) << t.here.nodes();
    EXPECT_EQ(t.here.nodes().find("incoming"), std::string::npos) << t.here.nodes();
    ASSERT_TRUE(t.here.manager.reap());
    EXPECT_TRUE(t.here.runs("demo")) << "it is a domain like any other";
}

/// The console's daemon would work on a CPU that the guest waits for.
TEST(Migrate, ItsConsoleIsShownWhenItRuns) {
    Two t;
    bool shown = true;
    t.there.hypervisor.before_unpause = [&] { shown = t.there.shows_console(); };
    ASSERT_TRUE(t.migrate());
    EXPECT_FALSE(shown);
    t.expect_moved();
    EXPECT_FALSE(t.there.records.all.begin()->second.rings);
}

TEST(Migrate, AConsoleThatCannotBeShownIsShownLater) {
    Two t;
    t.there.hypervisor.before_unpause = [&] { t.there.stores.tree.broken = "/local/domain/1/console"; };
    ASSERT_TRUE(t.migrate());
    t.lines.finish();
    EXPECT_TRUE(t.there.runs("demo--incoming"));
    EXPECT_FALSE(t.there.shows_console());
    t.there.stores.tree.broken.clear();
    ASSERT_TRUE(t.there.manager.reap());
    t.expect_moved();
    t.there.stores.tree.write("/local/domain/1/console/tty", "/dev/pts/1");
    ASSERT_TRUE(t.there.manager.reap());
    EXPECT_NE(t.there.nodes().find("/dev/pts/1"), std::string::npos) << "what the daemon wrote stays";
}

TEST(Migrate, WhatIsRefusedTouchesNothing) {
    Two t;
    const auto refused = [&](const std::string& who, const MoveOrder& order, const std::string& why) {
        const std::string before = t.here.nodes();
        EXPECT_EQ(text_of(t.here.manager.migrate(who, order)), why);
        t.lines.finish();
        EXPECT_EQ(t.here.nodes(), before);
        EXPECT_EQ(t.there.count(), 0U);
    };
    refused("0", t.order, "Cannot migrate privileged domain 0");
    refused("nosuch", t.order, "Domain 'nosuch' does not exist.");
    MoveOrder live = t.order;
    live.live = true;
    t.here.hypervisor.log.offered = false;
    refused("demo", live, "live migration needs dirty logging, which this hypervisor does not offer: leave out -l");
    t.lines.error = "Connection refused";
    refused("demo", t.order, "can't connect: Connection refused");
    t.lines.error.clear();
    t.there.hypervisor.free_pages = 10;
    refused("demo", t.order,
            "Not enough free memory and dom0_min_mem is 0, so I cannot release any more. I need 67584 KiB but only have 40.");
    t.there.hypervisor.free_pages = 100'000;
    config::DomainConfig other = t.there.demo();
    other.uuid = config::Uuid::random();
    ASSERT_TRUE(t.there.manager.create(other));
    EXPECT_EQ(text_of(t.here.manager.migrate("demo", t.order)), "Domain 'demo' already exists with ID '1'");
    t.here.stores.tree.write("/local/domain/1/control/feature-suspend", "");
    EXPECT_NE(text_of(t.here.manager.migrate("demo", t.order)).find("does not suspend itself"), std::string::npos);
    EXPECT_TRUE(t.here.runs("demo"));
}

/// Who asks just when it was made does not have to know how long its kernel takes.
TEST(Migrate, AGuestThatBootsIsWaitedFor) {
    Two t;
    t.here.stores.tree.write("/local/domain/1/control/feature-suspend", "");
    int looks = 0;
    t.here.clock.slept = [&] {
        if (++looks == 5) t.here.stores.tree.write("/local/domain/1/control/feature-suspend", "1");
    };
    const auto moved = t.migrate();
    ASSERT_TRUE(moved) << text_of(moved);
    t.expect_moved();
    EXPECT_GE(looks, 5);
}

/// A kernel that is up, and one that began long ago, will not say it any more.
TEST(Migrate, AGuestThatDoesNotSuspendItselfIsNotWaitedForLong) {
    for (const bool old : {false, true}) {
        int looks = 0;
        Two t;
        t.here.stores.tree.write("/local/domain/1/control/feature-suspend", "");
        if (old) t.here.clock.now += 3600;
        else t.here.stores.tree.write("/local/domain/1/control/feature-poweroff", "1");
        t.here.clock.slept = [&looks] { ++looks; };
        EXPECT_NE(text_of(t.migrate_without_suspend()).find("does not suspend itself"), std::string::npos);
        EXPECT_EQ(looks, old ? 0 : 10);
        t.expect_stayed();
    }
}

/// The line is cut before each message of either side. Until Go the guest stays; a Go that was not sent is asked about.
TEST(Migrate, ALineThatIsCutLosesNoGuest) {
    const auto cut = [](std::string at) -> WatchedLine::Watch {
        return [at, done = std::make_shared<bool>(false)](const Message& message) -> Outcome<> {
            if (*done || name_of(message) != at) return base::ok;
            *done = true;
            return base::fail(base::Errc::io, "cut at " + at);
        };
    };
    for (const std::string at : {"HELLO", "OFFER", "IMAGE", "SUM"}) {
        Two t;
        t.lines.from_source = cut(at);
        const bool early = at == "HELLO" || at == "OFFER";
        EXPECT_EQ(text_of(early ? t.migrate_without_suspend() : t.migrate()), "cut at " + at);
        t.expect_stayed();
    }
    for (const std::string at : {"HELLO", "ACCEPT", "READY"}) {
        Two t;
        t.lines.from_target = cut(at);
        EXPECT_FALSE(at == "READY" ? t.migrate() : t.migrate_without_suspend());
        t.expect_stayed();
    }
    {
        Two t;
        t.lines.from_source = cut("GO");
        EXPECT_FALSE(t.migrate()) << "it was asked, and had been thrown away";
        t.expect_stayed();
    }
    {
        Two t;
        t.lines.from_target = cut("RUNNING");
        EXPECT_TRUE(t.migrate()) << "it was asked, and ran";
        t.lines.finish();
        EXPECT_EQ(t.here.count(), 0U);
        ASSERT_TRUE(t.there.manager.reap());
        EXPECT_TRUE(t.there.runs("demo"));
    }
}

TEST(Migrate, AVnetThatIsNotThereIsSaidBeforeTheGuestIsAsked) {
    Two t;
    config::Vif card;
    card.vnet = "5";
    t.here.records.all.begin()->second.config.vifs.push_back(card);
    const auto moved = t.migrate_without_suspend();
    ASSERT_FALSE(moved);
    EXPECT_NE(text_of(moved).find("Vnet '5' does not exist."), std::string::npos) << text_of(moved);
    t.expect_stayed();
}

TEST(Migrate, WhatFailsThereIsSaidHere) {
    {
        Two t;
        t.there.hypervisor.build_error = "no room";
        EXPECT_FALSE(t.migrate());
        t.expect_stayed();
    }
    {
        Two t;
        t.there.blocks.error = "no loop device";
        const std::string why = text_of(t.migrate());
        EXPECT_NE(why.find("no loop device"), std::string::npos) << why;
        t.expect_stayed();
    }
    {
        Two t;
        t.here.hypervisor.save_error = "torn";
        EXPECT_EQ(text_of(t.migrate()), "torn");
        t.expect_stayed();
    }
    {
        Two t;
        t.here.blocks.settle_error = "the disk is away";
        EXPECT_EQ(text_of(t.migrate()), "the disk is away");
        t.expect_stayed();
    }
}

/// Nobody answers any more, behind Go: it stays suspended, under a name that says so, until that is known or its owner decides.
TEST(Migrate, SilenceBehindGoKeepsTheCopy) {
    for (const auto decision : {Manager::Decision::reclaim, Manager::Decision::forget}) {
        Two t;
        t.lines.from_source = [&](const Message& message) -> Outcome<> {
            if (!std::holds_alternative<wire::Go>(message)) return base::ok;
            t.lines.error = "No route to host";
            return base::fail(base::Errc::io, "cut");
        };
        const std::string why = text_of(t.migrate());
        EXPECT_NE(why.find("suspended here as 'migrating-demo'"), std::string::npos) << why;
        for (int i = 0; i < 3; ++i) ASSERT_TRUE(t.here.manager.reap());
        EXPECT_TRUE(t.here.domain("migrating-demo")->shutdown) << "never by itself";
        ASSERT_TRUE(t.here.manager.decide_departure("migrating-demo", decision));
        if (decision == Manager::Decision::reclaim) {
            t.expect_stayed();
        } else {
            EXPECT_EQ(t.here.count(), 0U);
        }
        EXPECT_FALSE(t.here.manager.decide_departure("demo", decision));
    }
}

/// The source's xend is killed while its owner has the copy forgotten: the domain runs elsewhere, and never here again.
TEST(Migrate, WhatIsForgottenNeverGoesOn) {
    Two t;
    t.lines.from_source = [&](const Message& message) -> Outcome<> {
        if (!std::holds_alternative<wire::Go>(message)) return base::ok;
        t.lines.error = "No route to host";
        return base::fail(base::Errc::io, "cut");
    };
    EXPECT_FALSE(t.migrate());
    const xend::Record before = t.here.records.all.begin()->second;
    bool told = false;
    t.here.records.saved = [&](const xend::Record&) {
        told = t.here.transfers.load()->empty();
        t.here.records.saved = nullptr;
        throw std::runtime_error("killed");
    };
    EXPECT_ANY_THROW(static_cast<void>(t.here.manager.decide_departure("migrating-demo", Manager::Decision::forget)));
    EXPECT_FALSE(told) << "without the line nobody knows that it was given away, and the record does not say yet that it goes";
    ASSERT_TRUE(t.here.manager.reap());
    EXPECT_FALSE(t.here.runs("demo"));
}

/// Its disk is full just when the domain runs; the copy of the source is gone then, and the next xend must not end this one.
TEST(Migrate, ATargetThatCannotWriteItsRecordKeepsTheDomain) {
    Two t;
    t.there.records.refuse = [](const xend::Record& record) -> Outcome<> {
        if (record.state == xend::RecordState::live) return base::fail(base::Errc::nospc, "No space left on device");
        return base::ok;
    };
    EXPECT_TRUE(t.migrate());
    t.lines.finish();
    EXPECT_EQ(t.here.count(), 0U);
    static_cast<void>(t.there.manager.recover());
    EXPECT_EQ(t.there.count(), 1U);
    t.there.records.refuse = nullptr;
    ASSERT_TRUE(t.there.manager.recover());
    ASSERT_TRUE(t.there.manager.reap());
    EXPECT_TRUE(t.there.runs("demo"));
}

/// Its name may belong to another host by then, which has never heard of the domain.
TEST(Migrate, WhoWasHandedTheDomainIsAskedByAddress) {
    Two t;
    t.order.host = "a.name";
    t.lines.from_source = [&](const Message& message) -> Outcome<> {
        return std::holds_alternative<wire::Go>(message) ? base::fail(base::Errc::io, "cut") : Outcome<>(base::ok);
    };
    EXPECT_FALSE(t.migrate());
    ASSERT_EQ(t.lines.hosts.size(), 2U);
    EXPECT_EQ(t.lines.hosts[0], "a.name");
    EXPECT_EQ(t.lines.hosts[1], "there") << "who was at the other end";
}

/// The reaper asks, and the host answers again.
TEST(Migrate, AnAnswerThatComesLateSettlesIt) {
    for (const bool arrives : {false, true}) {
        Two t;
        t.lines.from_source = [&](const Message& message) -> Outcome<> {
            if (std::holds_alternative<wire::Go>(message) && !arrives) {
                t.lines.error = "No route to host";
                return base::fail(base::Errc::io, "cut");
            }
            return base::ok;
        };
        t.lines.from_target = [&](const Message& message) -> Outcome<> {
            if (!std::holds_alternative<wire::Running>(message) || !t.lines.error.empty() || !arrives) return base::ok;
            t.lines.error = "No route to host";
            return base::fail(base::Errc::io, "cut");
        };
        EXPECT_FALSE(t.migrate());
        t.lines.finish();
        ASSERT_TRUE(t.here.domain("migrating-demo"));
        t.lines.error.clear();
        t.lines.from_source = t.lines.from_target = nullptr;
        ASSERT_TRUE(t.here.manager.reap());
        t.lines.finish();
        if (!arrives) t.expect_stayed();
        if (!arrives) continue;
        ASSERT_TRUE(t.there.manager.reap());
        t.expect_moved();
    }
}

/// The source's xend is killed behind each line of its journals; the next one asks, or lets the guest go on.
TEST(Migrate, ASourceThatIsKilledLosesNoGuest) {
    for (const std::string at : {"OFFER", "IMAGE", "SUM", "GO", "DONE"}) {
        Two t;
        xend::Record before;
        std::vector<migration::Transfer> rows;
        bool suspended = false;
        t.lines.from_source = [&](const Message& message) -> Outcome<> {
            if (name_of(message) != at || !before.config.name.empty() || t.here.records.all.empty()) return base::ok;
            before = t.here.records.all.begin()->second;
            rows = *t.here.transfers.load();
            suspended = t.here.domain("migrating-demo")->shutdown;
            return base::fail(base::Errc::io, "killed");
        };
        static_cast<void>(at == "OFFER" ? t.migrate_without_suspend() : t.migrate());
        t.lines.finish();
        if (at == "DONE") {  // its copy is gone; nothing is left to do but there
            ASSERT_TRUE(t.there.manager.reap());
            EXPECT_EQ(t.here.count(), 0U);
            EXPECT_TRUE(t.there.runs("demo"));
            continue;
        }
        ASSERT_FALSE(before.config.name.empty()) << at;
        // As it was when it was killed.
        t.here.records.all[before.config.uuid] = before;
        for (const auto& row : rows) ASSERT_TRUE(t.here.transfers.save(row));
        t.here.stores.tree.write("/local/domain/1/name", "migrating-demo");
        t.here.hypervisor.at(base::DomId{1})->shutdown = suspended;
        t.here.hypervisor.at(base::DomId{1})->reason = xenctrl::ShutdownReason::suspend;
        ASSERT_TRUE(t.here.manager.recover());
        ASSERT_TRUE(t.there.manager.reap());
        t.expect_stayed();
    }
}

/// What outlives a xend that is killed.
class Snapshot {
public:
    /// In the thread that is killed.
    explicit Snapshot(Host& host) : records_(host.records.all), rows_(*host.transfers.load()) {
        const std::lock_guard guard(host.hypervisor.mutex);
        const std::lock_guard tree(host.stores.tree.mutex);
        domains_ = host.hypervisor.all;
        nodes_ = host.stores.tree.nodes;
    }
    /// As the next one finds it.
    void restore(Host& host) const {
        const auto now = *host.transfers.load();
        for (const auto& row : now)
            ASSERT_TRUE(host.transfers.remove(
                row.id, row.goes_out() ? migration::TransferJournal::Way::out : migration::TransferJournal::Way::in));
        for (const auto& row : rows_) ASSERT_TRUE(host.transfers.save(row));
        host.records.all = records_;
        host.hypervisor.all = domains_;
        host.stores.tree.nodes = nodes_;
    }
    std::map<config::Uuid, xend::Record> records_;

private:
    std::vector<migration::Transfer> rows_;
    std::vector<xenctrl::DomainInfo> domains_;
    std::map<std::string, fakes::Tree::Node> nodes_;
};

/// The target's xend is killed before Go, and behind it: before the domain ran, and when it did and only the hypervisor knew.
TEST(Migrate, ATargetThatIsKilledLosesNoGuest) {
    enum class When : uint8_t { before_go, going, before_console, running };
    for (const When when : {When::before_go, When::going, When::before_console, When::running}) {
        Two t;
        std::optional<Snapshot> killed;
        const auto kill = [&] {
            killed.emplace(t.there);
            t.lines.error = "Connection refused";
        };
        t.lines.from_target = [&](const Message& message) -> Outcome<> {
            if (when == When::before_go && std::holds_alternative<wire::Ready>(message)) kill();
            return killed ? base::fail(base::Errc::io, "killed") : Outcome<>(base::ok);
        };
        t.there.hypervisor.before_unpause = [&] {
            if (when == When::before_console && !killed) t.there.stores.tree.broken = "/local/domain/1/console";
            if (when != When::going || killed) return;
            kill();
            throw std::runtime_error("killed");
        };
        t.there.records.after_save = [&](const xend::Record& record) {
            if (when < When::before_console || record.state != xend::RecordState::live || killed) return;
            t.there.stores.tree.broken.clear();
            kill();
            killed->records_.begin()->second.state = xend::RecordState::creating;
            throw std::runtime_error("killed");
        };
        EXPECT_FALSE(t.migrate());
        t.lines.finish();
        ASSERT_TRUE(killed);
        if (when != When::before_go) { EXPECT_TRUE(t.here.domain("migrating-demo")->shutdown) << "it gave the right away"; }
        killed->restore(t.there);
        ASSERT_TRUE(t.there.manager.recover());
        t.lines.error.clear();
        t.lines.from_target = nullptr;
        t.there.hypervisor.before_unpause = nullptr;
        ASSERT_TRUE(t.here.manager.reap());
        t.lines.finish();
        ASSERT_TRUE(t.there.manager.reap());
        if (when == When::before_go) t.expect_stayed();
        else t.expect_moved();
    }
}

/// What a hostile host says makes nothing here.
TEST(Migrate, NothingIsMadeOfNonsense) {
    Two t;
    const auto talk = [&](const std::vector<Message>& messages) {
        int ends[2];
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        std::thread server([&t, fd = ends[1]] {
            EXPECT_TRUE(t.there.manager.receive(std::make_unique<xend::SocketLine>(service::Fd(fd), "a stranger")));
        });
        {
            xend::SocketLine line{service::Fd(ends[0]), "there"};
            for (const Message& message : messages) static_cast<void>(line.say(message));
        }
        server.join();
        EXPECT_EQ(t.there.count(), 0U);
        EXPECT_TRUE(t.there.records.all.empty());
        EXPECT_TRUE(t.there.transfers.load()->empty());
    };
    wire::Offer offer{{1, 2, 3}, 0, 64 * 1024, 2, "(vm (name demo))"};
    talk({});
    talk({wire::Go{}});
    talk({wire::Hello{}, wire::Go{}});
    talk({wire::Hello{}, offer, wire::Image{}, wire::Sum{}, wire::Go{}});
    offer.config = "(vm (name";
    talk({wire::Hello{}, offer});
    offer.config = proto::to_string(config::to_sxp(t.here.demo()));
    offer.memory_kib = 1;
    talk({wire::Hello{}, offer});
    offer.memory_kib = 64 * 1024;
    talk({wire::Hello{}, offer});
    talk({wire::Hello{}, offer, wire::Sum{}, wire::Go{}});
    talk({wire::Hello{}, offer, wire::Image{~uint64_t{0}, {}}, wire::Sum{}, wire::Go{}});
    talk({wire::Hello{}, offer, wire::Go{}, wire::Go{}});
    talk({wire::Hello{}, wire::Ask{{1, 2, 3}}, wire::Done{}});
    offer.transfer = t.here.demo().uuid.bytes;
    std::string answer;
    t.lines.from_target = [&](const Message& message) -> Outcome<> {
        answer = name_of(message);
        return base::ok;
    };
    const auto line = t.lines.connect("", 0);
    EXPECT_TRUE((*line)->say(wire::Hello{}) && (*line)->say(offer));
    static_cast<void>((*line)->say(wire::Cancel{}));  // it may have hung up already
    t.lines.finish();
    EXPECT_EQ(answer, "REFUSE") << "it would wait for its own lock";
}

TEST(Migrate, WhoMaySendIsWhatTheOptionSays) {
    using xend::AllowedHosts;
    const auto some = AllowedHosts::parse(R"(^localhost$ ^.*\.example\.org$ 10\.0\..*)");
    ASSERT_TRUE(some);
    EXPECT_TRUE(some->allow({"127.0.0.1", "localhost"}, true));
    EXPECT_TRUE(some->allow({"1.2.3.4", "a.example.org"}, false));
    EXPECT_FALSE(some->allow({"1.2.3.4", "a.example.org.evil.net"}, false));
    EXPECT_TRUE(some->allow({"10.0.3.4"}, false));
    EXPECT_FALSE(some->allow({"110.0.3.4"}, false)) << "the whole of it";
    const auto none = AllowedHosts::parse("");
    EXPECT_TRUE(none->allow({"127.0.0.1"}, true));
    EXPECT_FALSE(none->allow({"10.0.3.4"}, false));
    EXPECT_EQ(AllowedHosts::parse("([").failure().text, "'([' is no regular expression");
}

/// Any user of this machine can connect to each of its addresses, not only to the loopback one.
TEST(Migrate, WhoComesFromAnAddressOfThisMachineIsLocal) {
    ifaddrs* list = nullptr;
    ASSERT_EQ(::getifaddrs(&list), 0);
    int seen = 0;
    for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
        if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
        auto address = *reinterpret_cast<const sockaddr_in*>(at->ifa_addr);
        address.sin_port = 0;
        socklen_t size = sizeof address;
        auto* const any = reinterpret_cast<sockaddr*>(&address);
        const service::Fd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const service::Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (::bind(server.get(), any, size) != 0 || ::listen(server.get(), 1) != 0) continue;
        ASSERT_EQ(::getsockname(server.get(), any, &size), 0);
        ASSERT_EQ(::connect(client.get(), any, size), 0);
        const service::Fd taken(::accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
        const auto peer = xend::peer_of(taken.get());
        ASSERT_TRUE(peer);
        EXPECT_TRUE(peer->local) << peer->address;
        ++seen;
    }
    ::freeifaddrs(list);
    EXPECT_GT(seen, 0);
}

/// What is said comes as it was said, also in pieces; who is silent in the midst of it is not waited for.
TEST(Migrate, AnImageArrivesWhole) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    xend::SocketLine from{service::Fd(ends[0]), ""}, to{service::Fd(ends[1]), ""};
    std::vector<std::byte> bytes(3'000'000);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
    std::thread sender([&] {
        migration::ImageSender image(from, [](uint64_t) { return Outcome<>(base::ok); });
        EXPECT_TRUE(image.write(std::span(bytes).first(10)));
        EXPECT_TRUE(image.zeros(5));
        EXPECT_TRUE(image.zeros(1'000'000));
        EXPECT_TRUE(image.write(bytes));
        const auto sum = image.finish();
        ASSERT_TRUE(sum);
        EXPECT_EQ(sum->length, 10 + 5 + 1'000'000 + bytes.size());
        EXPECT_TRUE(from.say(*sum));
        EXPECT_TRUE(from.say(wire::Image{7, {std::byte{1}}}));
        wire::Sum wrong = *sum;
        EXPECT_TRUE(from.say(wrong));
    });
    migration::ImageReceiver image(to, std::chrono::seconds(5), 10'000'000);
    std::vector<std::byte> got(10 + 5 + 1'000'000 + bytes.size());
    for (size_t done = 0; done < got.size();) {
        const size_t some = std::min<size_t>(got.size() - done, 123'457);
        ASSERT_EQ(*image.read(std::span(got).subspan(done, some)), some);
        done += some;
    }
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), got.end() - static_cast<ptrdiff_t>(bytes.size())));
    EXPECT_EQ(got[10 + 500], std::byte{});
    EXPECT_TRUE(image.finish());
    migration::ImageReceiver other(to, std::chrono::seconds(5), 10'000'000);
    EXPECT_EQ(text_of(other.finish()), "the image is not what was sent");
    sender.join();
    migration::ImageReceiver silent(to, std::chrono::milliseconds(20), 10);
    EXPECT_EQ(text_of(silent.finish()), "the other host is silent");
}

/// It would be taken for the rest of that one, and is not waited for again.
TEST(Migrate, NothingIsSaidBehindAPartOfAMessage) {
    class Torn final : public xend::SocketLine {
    public:
        using SocketLine::SocketLine;
        int parts = 0;

    private:
        Outcome<Part> send_part(std::span<const std::byte>) override {
            if (++parts == 1) return Part{1, 0};
            return base::fail(base::Errc::timedout, "the other host is silent");
        }
    };
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const service::Fd there(ends[1]);
    Torn line{service::Fd(ends[0]), ""};
    EXPECT_EQ(text_of(line.say(wire::Done{})), "the other host is silent");
    EXPECT_EQ(text_of(line.say(wire::Cancel{})), "the connection was lost");
    EXPECT_EQ(line.parts, 2);
}

/// An image of any size and its zeros come as they went, also where its head goes by itself, and what follows is understood.
TEST(Migrate, ImagesOfAnySizeCome) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    xend::SocketLine here{service::Fd(ends[0]), ""}, there{service::Fd(ends[1]), ""};
    for (const size_t size : {size_t{0}, size_t{1}, (size_t{1} << 16U) - 1, size_t{1} << 16U, size_t{3} << 20U}) {
        wire::Image image{size + 7, std::vector<std::byte>(size)};
        for (size_t i = 0; i < size; ++i) image.bytes[i] = static_cast<std::byte>(i * 2654435761U >> 24U);
        std::thread sender([&] {
            EXPECT_TRUE(here.say(image));
            EXPECT_TRUE(here.say(wire::Round{3, 4, 1}));
        });
        const auto came = there.hear(std::chrono::seconds(30)), next = there.hear(std::chrono::seconds(30));
        sender.join();
        ASSERT_TRUE(came) << came.failure().text;
        ASSERT_TRUE(next) << next.failure().text;
        EXPECT_TRUE(*came == wire::Message(image)) << size;
        EXPECT_TRUE(*next == wire::Message(wire::Round{3, 4, 1}));
    }
}

}  // namespace
