// SPDX-License-Identifier: Apache-2.0
// link: xend_fakes xendcore
// Who decides about a domain between two hosts: a stranger at the other's address, an owner who errs, a peer that asks for too much,
// journals that a crash left behind.
#include <gtest/gtest.h>

#include "lib/base/plain_text.hpp"
#include "xend_two_hosts.hpp"

namespace {

using base::Outcome;
using fakes::Host;
using fakes::Manager;
using fakes::Message;
using fakes::text_of;
using fakes::Two;
using migration::Transfer;
namespace wire = proto::relocation;

/// One that was handed over while the line was lost: the source cannot know what became of it. `runs`: it has come.
void lose(Two& t, bool runs) {
    const auto cut = [&t](const Message&) -> Outcome<> {
        t.lines.error = "No route to host";
        return base::fail(base::Errc::io, "cut");
    };
    t.lines.from_source = [cut, runs](const Message& m) {
        return std::holds_alternative<wire::Go>(m) && !runs ? cut(m) : Outcome<>(base::ok);
    };
    t.lines.from_target = [&t, cut, runs](const Message& m) {
        return std::holds_alternative<wire::Running>(m) && runs && t.lines.error.empty() ? cut(m) : Outcome<>(base::ok);
    };
    EXPECT_FALSE(t.migrate());
    t.lines.finish();
    t.lines.from_source = t.lines.from_target = nullptr;
    ASSERT_TRUE(t.here.domain("migrating-demo")->shutdown);
}

/// A host that has its address now knows nothing of it, and says that it was thrown away.
TEST(MigrateDecide, AnotherHostAtTheAddressIsNotBelieved) {
    for (const bool runs : {false, true}) {
        Two t;
        lose(t, runs);
        Host stranger(t.lines);
        t.lines.error.clear();
        t.lines.target = &stranger.manager;
        for (int i = 0; i < 2; ++i) ASSERT_TRUE(t.here.manager.reap());
        t.lines.finish();
        ASSERT_TRUE(t.here.domain("migrating-demo"));
        EXPECT_TRUE(t.here.domain("migrating-demo")->shutdown) << "it may run elsewhere";
        EXPECT_EQ(t.here.records.all.begin()->second.reason, "another host answers at its address");
        t.lines.target = &t.there.manager;
        ASSERT_TRUE(t.here.manager.reap());
        ASSERT_TRUE((t.lines.finish(), t.there.manager.reap()));
        if (runs) t.expect_moved();
        else t.expect_stayed();
    }
}

/// Its owner believes that the other host is lost. That host is asked, and says that the domain runs.
TEST(MigrateDecide, ReclaimAsksFirst) {
    Two t;
    lose(t, true);
    t.lines.error.clear();
    EXPECT_EQ(text_of(t.here.manager.decide_departure("migrating-demo", Manager::Decision::reclaim)),
              "Domain 'demo' runs on there: the copy here was removed");
    ASSERT_TRUE((t.lines.finish(), t.there.manager.reap()));
    t.expect_moved();
}

TEST(MigrateDecide, ForgetAsksFirst) {
    for (const bool runs : {false, true}) {
        Two t;
        lose(t, runs);
        t.lines.error.clear();
        const std::string why = text_of(t.here.manager.decide_departure("migrating-demo", Manager::Decision::forget));
        EXPECT_EQ(why, runs ? "" : "there had thrown domain 'demo' away: it goes on here") << "the last copy of it";
        ASSERT_TRUE((t.lines.finish(), t.there.manager.reap()));
        if (runs) t.expect_moved();
        else t.expect_stayed();
    }
}

/// It is there and does not say: it may run it. Another one in its place is no sign of it.
TEST(MigrateDecide, WhoIsThereAndSilentMayRunIt) {
    for (const auto decision : {Manager::Decision::reclaim, Manager::Decision::forget}) {
        Two t;
        lose(t, true);
        t.lines.error.clear();
        t.lines.from_target = [](const Message&) -> Outcome<> { return base::fail(base::Errc::io, "cut"); };
        const std::string why = text_of(t.here.manager.decide_departure("migrating-demo", decision));
        EXPECT_TRUE(why.starts_with("there is there, and does not say what became of domain 'demo' (")) << why;
        t.lines.finish();
        ASSERT_TRUE(t.here.domain("migrating-demo"));
        EXPECT_TRUE(t.here.domain("migrating-demo")->shutdown);
        t.lines.from_target = nullptr;
        Host stranger(t.lines);
        t.lines.target = &stranger.manager;
        ASSERT_TRUE(t.here.manager.decide_departure("migrating-demo", decision));
        EXPECT_EQ(t.here.runs("demo"), decision == Manager::Decision::reclaim);
        EXPECT_TRUE(t.here.transfers.load()->empty());
        t.lines.finish();
    }
}

/// It is there, and no longer paired: it may run it all the same.
TEST(MigrateDecide, WhoIsThereAndNotPairedMayRunIt) {
    Two t;
    lose(t, true);
    t.lines.error = "it is not paired";
    t.lines.code = base::Errc::perm;
    const std::string why = text_of(t.here.manager.decide_departure("migrating-demo", Manager::Decision::reclaim));
    EXPECT_NE(why.find("does not say what became of domain 'demo' (can't connect: it is not paired)"), std::string::npos) << why;
    EXPECT_TRUE(t.here.domain("migrating-demo")->shutdown);
    t.lines.code = base::Errc::io;
    ASSERT_TRUE(t.here.manager.decide_departure("migrating-demo", Manager::Decision::reclaim)) << "as it is not there";
    EXPECT_TRUE(t.here.runs("demo"));
}

/// While it comes its owner cannot let it run, nor end it, nor change it: it has no right to run yet.
TEST(MigrateDecide, WhatIsHalfHereIsLeftAlone) {
    Two t;
    const std::string who = "demo--incoming";
    Manager& m = t.there.manager;
    std::vector<std::string> whys;
    t.lines.from_target = [&](const Message& message) -> Outcome<> {
        if (!std::holds_alternative<wire::Ready>(message)) return base::ok;
        for (const auto& done : {m.unpause(who), m.destroy(who), m.shutdown(who, "poweroff"), m.rename(who, "mine"),
                                 m.save(who, "/tmp/x", xend::AfterSave::destroy), m.set_vcpus(who, 1)})
            whys.push_back(text_of(done));
        return base::ok;
    };
    ASSERT_TRUE(t.migrate());
    t.expect_moved();
    ASSERT_EQ(whys.size(), 6U);
    for (const std::string& why : whys)
        EXPECT_EQ(why, "Domain 'demo' is arriving from another host: it has no right to run here yet");
}

/// What a peer that lies gets for an answer.
std::string answer_to(Two& t, const wire::Offer& offer) {
    std::string answer;
    t.lines.from_target = [&](const Message& message) -> Outcome<> {
        const auto* refused = std::get_if<wire::Refuse>(&message);
        answer = refused != nullptr ? refused->reason : name_of(message);
        return base::ok;
    };
    const auto line = t.lines.connect("", 0);
    EXPECT_TRUE((*line)->say(wire::Hello{}) && (*line)->say(offer) && (*line)->say(wire::Cancel{}));
    t.lines.finish();
    t.lines.from_target = nullptr;
    return answer;
}

wire::Offer offer_of(const config::DomainConfig& config) {
    wire::Offer offer{{1, 2, 3}, 0, config.memory_mib * 1024, config.vcpus, proto::to_string(config::to_sxp(config))};
    return offer;
}

TEST(MigrateDecide, ATransferIsNotNamedLikeARecord) {
    Two t;
    xend::Record failed;
    failed.config = t.there.demo("lost");
    failed.config.uuid = config::Uuid{{1, 2, 3}};
    failed.state = xend::RecordState::failed;
    ASSERT_TRUE(t.there.records.save(failed));
    EXPECT_EQ(answer_to(t, offer_of(t.here.demo())), "The transfer's id is the uuid of a domain here");
    ASSERT_EQ(t.there.records.all.size(), 1U);
    EXPECT_EQ(t.there.records.all.begin()->second.config.name, "lost");
}

TEST(MigrateDecide, DevicesHaveALimit) {
    Two t;
    config::DomainConfig many = t.here.demo();
    for (char a = 'a'; a <= 'z'; ++a)
        for (char b = 'a'; b <= 'z'; ++b) many.disks.push_back(*config::parse_disk(std::string("phy:sda,xvd") + a + b + ",w"));
    EXPECT_EQ(answer_to(t, offer_of(many)), "the configuration: disk: more than 64 disks");
}

/// Who lets an image drip must not hold the place of who has one to send.
TEST(MigrateDecide, AnImageThatDripsEnds) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    std::atomic<bool> over = false;
    std::thread dripping([&over, fd = ends[0]] {
        xend::SocketLine from{service::Fd(fd), ""};
        for (int i = 0; i < 1000 && !over; ++i) {
            if (!from.say(wire::Image{i == 0 ? 5U << 20U : 0U, {std::byte{1}}})) break;
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
    });
    {
        xend::SocketLine to{service::Fd(ends[1]), ""};
        migration::ImageReceiver image(to, std::chrono::milliseconds(300), 1U << 30U);
        const auto begin = std::chrono::steady_clock::now();
        const std::string why = text_of(image.finish());
        EXPECT_TRUE(why == "the image comes too slowly" || why == "the other host is silent") << why;
        EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
        over = true;
    }
    dripping.join();
}

/// Bytes of the other side's do not move who reads the log, nor look like lines of it.
TEST(MigrateDecide, TextOfAPeerIsPlain) {
    EXPECT_EQ(base::plain_text("two\nlines\x1b[2J"), "two?lines?[2J");
    EXPECT_EQ(base::plain_text("M\xc3\xbcller \xe2\x80\xa6"), "M\xc3\xbcller \xe2\x80\xa6");
    EXPECT_EQ(base::plain_text("\xc2\x9b"
                               "2J \x9b \xe2\x80"),
              "??2J ? ??")
        << "control characters beyond ASCII";
    EXPECT_TRUE(base::is_plain_text(base::plain_text(std::string("\0\xff\xf0\x9f\x92", 5))));
    Two t;
    wire::Offer offer = offer_of(t.here.demo());
    offer.config = "(vm (name 'a\n\x1b[2J'))";
    EXPECT_TRUE(base::is_plain_text(answer_to(t, offer)));
}

/// Rows that nobody needs go when xend starts; those that say who may run a domain stay.
TEST(MigrateDecide, JournalsAreSwept) {
    Two t;
    const auto row = [](uint8_t id, Transfer::Step step, const std::string& uuid = "other") {
        return Transfer{{id}, step, "demo", uuid, "there", 8002, {}};
    };
    using enum Transfer::Step;
    for (const auto& one :
         {row(1, offered), row(2, handed), row(3, going), row(4, running), row(5, going, t.here.demo().uuid.text())})
        ASSERT_TRUE(t.here.transfers.save(one));
    ASSERT_TRUE(t.here.manager.recover());
    const auto left = *t.here.transfers.load();
    ASSERT_EQ(left.size(), 2U);
    EXPECT_EQ(left[0], row(4, running)) << "its source asks, perhaps in a month";
    EXPECT_EQ(left[1].id[0], 5) << "it is here";
}

}  // namespace
