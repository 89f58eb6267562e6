// SPDX-License-Identifier: Apache-2.0
// link: xend_fakes xendcore
// A guest that stands still for its move goes on here when the other host is slow, silent or gone; one that was handed over does not.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <future>

#include "xend_two_hosts.hpp"

namespace {

using base::Outcome;
using Clock = std::chrono::steady_clock;
using fakes::Message;
using fakes::text_of;
using fakes::Two;
using xend::SocketLine;
namespace wire = proto::relocation;
using namespace std::chrono_literals;

/// For a second, and what comes between on a machine that has other things to do.
constexpr auto soon = 5s;

/// A move of which it is known how long the guest stood still here.
struct Stop : Two {
    explicit Stop(bool live) {
        order.live = live;
        order.rounds.downtime = {};
        order.silence = order.least_stop = 1s;
        here.hypervisor.image_bytes = here.hypervisor.log.rest_bytes = 32U << 20U;
    }
    std::string why;
    std::atomic<bool> stands = false;
    Clock::duration stood{};
    std::promise<void> over;
    std::shared_future<void> released = over.get_future().share();

    /// What the other host does when the guest stands still: nothing, until the move is over.
    void hang() const {
        if (stands) released.wait_for(20s);
    }
    void move() {
        Clock::time_point since;
        {
            const fakes::SuspendingGuest guest(here, [&] {
                since = Clock::now();
                stands = true;
            });
            why = text_of(migrate_without_suspend());
        }
        stood = Clock::now() - since;
        over.set_value();
    }
    void expect_silence_was_short() {
        EXPECT_NE(why.find("the other host is silent"), std::string::npos) << why;
        EXPECT_GE(stood, 1s);
        EXPECT_LT(stood, soon);
        expect_stayed();
    }
};

TEST(MigrateStop, AHostThatTakesNothingMoreIsNotWaitedFor) {
    for (const bool live : {false, true}) {
        Stop t(live);
        t.lines.before_target_hears = [&t] { t.hang(); };
        t.move();
        t.expect_silence_was_short();
    }
}

TEST(MigrateStop, AHostThatIsNotReadyIsNotWaitedFor) {
    for (const bool live : {false, true}) {
        Stop t(live);
        t.here.hypervisor.image_bytes = 0;
        t.lines.from_target = [&t](const Message& message) -> Outcome<> {
            if (std::holds_alternative<wire::Ready>(message)) t.hang();
            return base::ok;
        };
        t.move();
        t.expect_silence_was_short();
    }
}

/// Who moves live was promised a short stop; who does not stands still for all of its memory, as long as that goes on.
TEST(MigrateStop, AHostThatIsSlow) {
    for (const bool live : {false, true}) {
        Stop t(live);
        t.lines.before_target_hears = [&t] {
            if (t.stands) std::this_thread::sleep_for(100ms);
        };
        t.move();
        if (!live) {
            EXPECT_EQ(t.why, "");
            t.expect_moved();
            continue;
        }
        EXPECT_EQ(t.why.find("it would stand still for longer than 1"), 0U) << t.why;
        EXPECT_LT(t.stood, soon);
        t.expect_stayed();
    }
}

/// Its disks are this host's own, and no reason to stand still for longer.
TEST(MigrateStop, ADiskThatHasSomethingToWrite) {
    Stop t(true);
    t.here.blocks.busy = 20ms;
    t.move();
    EXPECT_EQ(t.why.find("it would stand still for longer than 1"), 0U) << t.why;
    EXPECT_LT(t.stood, soon);
    t.expect_stayed();
}

/// Both could have it: then it is asked, and not resumed.
TEST(MigrateStop, WhoWasHandedOverIsNotResumed) {
    for (const bool live : {false, true}) {
        Stop t(live);
        bool stood_still = false;
        t.lines.from_target = [&](const Message& message) -> Outcome<> {
            if (!std::holds_alternative<wire::Running>(message)) return base::ok;
            std::this_thread::sleep_for(1500ms);
            const auto copy = t.here.hypervisor.domain(base::DomId{1});
            stood_still = copy && *copy && (*copy)->shutdown;
            return base::ok;
        };
        t.move();
        EXPECT_EQ(t.why, "");
        t.expect_moved();
        EXPECT_TRUE(stood_still);
    }
}

// -- the line -------------------------------------------------------------------------------------------------------------

struct Ends {
    int fds[2];
    Ends() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0); }
};

/// One byte after the other, for as long as somebody listens.
std::thread drip(int fd, std::string bytes) {
    return std::thread([fd, bytes = std::move(bytes)] {
        for (const char& byte : bytes) {
            if (::send(fd, &byte, 1, MSG_NOSIGNAL) != 1) break;
            std::this_thread::sleep_for(20ms);
        }
        ::close(fd);
    });
}

TEST(HurriedLine, HearsNobodyWhoDrips) {
    const Ends ends;
    std::thread other = drip(ends.fds[1], std::string(500, '\0'));
    {
        SocketLine line{service::Fd(ends.fds[0]), ""};
        const auto start = Clock::now();
        line.hurry(migration::Haste{1000ms, start + 60ms});
        EXPECT_EQ(text_of(line.hear(10s)), "the other host is silent");
        EXPECT_LT(Clock::now() - start, soon);
    }
    other.join();
}

TEST(HurriedLine, HearsNobodyWhoStopsInAMessage) {
    const Ends ends;
    const service::Fd other(ends.fds[1]);
    SocketLine line{service::Fd(ends.fds[0]), ""};
    ASSERT_EQ(::send(other.get(), "x", 1, 0), 1);
    const auto start = Clock::now();
    line.hurry(migration::Haste{50ms, start + 1h});
    EXPECT_EQ(text_of(line.hear(10s)), "the other host is silent");
    EXPECT_LT(Clock::now() - start, soon);
}

TEST(HurriedLine, SaysNothingToWhoTakesNothing) {
    for (const bool now_or_never : {false, true}) {
        const Ends ends;
        const service::Fd other(ends.fds[1]);
        SocketLine line{service::Fd(ends.fds[0]), ""};
        wire::Image image;
        image.bytes.resize(1U << 20U);
        const auto start = Clock::now();
        line.hurry(now_or_never ? migration::Haste{0ms, start} : migration::Haste{50ms, start + 1h});
        EXPECT_EQ(text_of(line.say(image)), "the other host is silent");
        EXPECT_LT(Clock::now() - start, soon);
    }
}

/// What goes at once goes.
TEST(HurriedLine, SaysWhatNeedsNoTime) {
    const Ends ends;
    SocketLine line{service::Fd(ends.fds[0]), ""}, other{service::Fd(ends.fds[1]), ""};
    line.hurry(migration::Haste{0ms, Clock::now()});
    EXPECT_TRUE(line.say(wire::Cancel{"no"}));
    const auto heard = other.hear(10s);
    ASSERT_TRUE(heard);
    EXPECT_TRUE(std::holds_alternative<wire::Cancel>(*heard));
}

/// A host that was switched off takes bytes as far as the kernel here is concerned.
TEST(HurriedLine, TheKernelGivesUpAsSoon) {
    const service::Fd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    ASSERT_EQ(::bind(server.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    ASSERT_EQ(::listen(server.get(), 1), 0);
    ASSERT_EQ(::getsockname(server.get(), reinterpret_cast<sockaddr*>(&at), &size), 0);
    service::Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    const int fd = client.get();
    SocketLine line{std::move(client), "there"};
    const auto limit = [fd] {
        unsigned time = 0;
        socklen_t length = sizeof time;
        EXPECT_EQ(::getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &time, &length), 0);
        return time;
    };
    EXPECT_EQ(limit(), 30'000U);
    line.hurry(migration::Haste{1000ms, Clock::now() + 2s});
    EXPECT_EQ(limit(), 1000U);
    line.hurry(migration::Haste{0ms, Clock::now()});
    EXPECT_EQ(limit(), 1000U) << "what goes at once is to arrive";
    line.hurry(std::nullopt);
    EXPECT_EQ(limit(), 30'000U);
}

}  // namespace
