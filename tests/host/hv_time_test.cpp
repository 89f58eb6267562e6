// SPDX-License-Identifier: Apache-2.0
// link: hvcore
#include "hypervisor/time/timer.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "abi/xen/sched.hpp"
#include "abi/xen/vcpu.hpp"
#include "hypervisor/domain/run.hpp"
#include "hypervisor/domain/watchdog.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/rt/clock.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;
using base::Nanos;

TEST(Clock, TicksToNanosecondsAtAnyFrequency) {
    for (uint64_t khz : {100'000ull, 999'999ull, 1'000'000ull, 1'000'001ull, 1'996'800ull, 2'400'003ull, 5'000'000ull}) {
        clock::set_frequency(khz, 1000);
        for (uint64_t seconds : {0ull, 1ull, 3600ull, 86400ull * 365}) {
            const auto want = static_cast<double>(seconds) * 1e9;
            const auto got = static_cast<double>(clock::from_tsc(1000 + seconds * khz * 1000).n);
            EXPECT_NEAR(got, want, 1 + want * 1e-9) << khz;
        }
        for (int64_t ns : {1ll, 999ll, 1'000'000ll, 123'456'789'012ll, 31'536'000'000'000'000ll}) {
            const int64_t back = clock::from_tsc(clock::to_tsc(Nanos{ns})).n;
            EXPECT_NEAR(static_cast<double>(back), static_cast<double>(ns), 12 + static_cast<double>(ns) * 2e-9) << khz;
        }
        EXPECT_EQ(clock::from_tsc(999).n, 0) << "a counter that is behind";
    }
    clock::set_frequency(1'000'000, 0);
}

/// A number whose magnitude is anywhere in [0, 2^63), each power of two as likely as the next.
int64_t any_magnitude(std::mt19937_64& random) {
    return static_cast<int64_t>((random() | uint64_t{1} << 63) >> (1 + random() % 63));
}

// What a deadline needs: the tick that it asks for is the first one at which its time has come, over all of int64.
TEST(Clock, ADeadlineIsNeverEarlyAndNeverWraps) {
    constexpr uint64_t never = ~uint64_t{0};
    std::mt19937_64 random(11);
    for (uint64_t khz : {1ull, 1'000ull, 32'768ull, 100'000ull, 999'999ull, 1'000'000ull, 1'000'001ull, 1'996'800ull,
                         2'999'997ull, 3'000'000ull, 5'800'000ull, 10'000'000ull, 4'000'000'000ull}) {
        for (uint64_t base : {0ull, 1003ull, 1ull << 62, ~0ull - 1'000'000ull}) {
            clock::set_frequency(khz, base);
            int64_t times[4000];
            for (int64_t& t : times) t = any_magnitude(random) * (random() % 8 ? 1 : -1);
            times[0] = INT64_MIN;
            times[1] = INT64_MAX;
            times[2] = INT64_MAX - 1;
            times[3] = 6'148'914'691'236'517'205;  // times 3, just past 2^64
            times[4] = 0;
            std::sort(std::begin(times), std::end(times));
            uint64_t before = 0;
            for (const int64_t t : times) {
                const uint64_t tsc = clock::to_tsc(Nanos{t});
                ASSERT_GE(tsc, before) << "not monotone at " << t << ", " << khz << " kHz";
                ASSERT_GE(tsc, base);
                before = tsc;
                if (tsc != never) {
                    ASSERT_GE(clock::from_tsc(tsc).n, t) << "early, " << khz << " kHz";
                    if (t > 0) { ASSERT_LT(clock::from_tsc(tsc - 1).n, t) << "late, " << khz << " kHz"; }
                } else {
                    ASSERT_LT(clock::from_tsc(never - 1).n, t) << "a time that comes, " << khz << " kHz";
                }
            }
            EXPECT_EQ(clock::to_tsc(Nanos::never()), never);
        }
    }
    clock::set_frequency(1'000'000, 0);
}

TEST(Clock, TimeNeverStepsBackOverTheWholeRange) {
    std::mt19937_64 random(12);
    for (uint64_t khz : {1ull, 32'768ull, 1'000'000ull, 2'400'003ull, 10'000'000ull}) {
        for (uint64_t base : {0ull, 1ull << 62, ~0ull >> 1}) {
            clock::set_frequency(khz, base);
            uint64_t ticks[4000];
            for (uint64_t& t : ticks) t = static_cast<uint64_t>(any_magnitude(random));
            ticks[0] = INT64_MAX;
            std::sort(std::begin(ticks), std::end(ticks));
            int64_t before = 0;
            for (const uint64_t t : ticks) {
                const int64_t now = clock::from_tsc(base + t).n;
                ASSERT_GE(now, before) << khz << " kHz, tick " << t;
                before = now;
            }
            EXPECT_LT(before, INT64_MAX) << "a time that comes is not never";
            EXPECT_EQ(clock::from_tsc(base - 1).n, 0);
        }
    }
    clock::set_frequency(1'000'000, 0);
}

TEST(Clock, Wallclock) {
    clock::set_wallclock(1000, 5, Nanos{2'000'000'010});
    auto w = clock::wallclock();
    EXPECT_EQ(w.sec, 997u);
    EXPECT_EQ(w.nsec, 999'999'995u);
    clock::set_wallclock(1, 0, Nanos::s(5));
    EXPECT_EQ(clock::wallclock().sec, 0u);
}

struct Shot {
    Timer timer;
    int fired = 0;
    Nanos at{};
    Shot()
        : timer(
              [](void* p) {
                  auto* s = static_cast<Shot*>(p);
                  ++s->fired;
                  s->at = host::now();
              },
              this) {}
};

TEST(Timers, FireInOrderAndOnce) {
    machine();
    std::vector<std::unique_ptr<Shot>> shots;
    const Nanos start = host::now();
    for (int i = 0; i < 100; ++i) {
        shots.push_back(std::make_unique<Shot>());
        timer::set(shots.back()->timer, start + Nanos::us((i * 37) % 100 + 1), 0);
    }
    EXPECT_EQ(host::record(0).deadline.load(), (start + Nanos::us(1)).n);
    for (int us = 1; us <= 100; ++us) {
        host::advance(Nanos::us(1));
        timer::run_expired();
        for (int i = 0; i < 100; ++i) EXPECT_EQ(shots[static_cast<size_t>(i)]->fired, (i * 37) % 100 + 1 <= us);
    }
}

TEST(Timers, RandomOperationsAgainstAReference) {
    machine();
    std::mt19937 random(7);
    std::vector<std::unique_ptr<Shot>> shots;
    std::map<Shot*, Nanos> armed;
    for (int i = 0; i < 200; ++i) shots.push_back(std::make_unique<Shot>());
    for (int step = 0; step < 20000; ++step) {
        Shot& s = *shots[random() % shots.size()];
        switch (random() % 4) {
            case 0:
            case 1: {
                const Nanos t = host::now() + Nanos::us(static_cast<int64_t>(random() % 500));
                timer::set(s.timer, t, random() % 2 ? 0 : 1);
                armed[&s] = t;
                break;
            }
            case 2:
                timer::stop(s.timer);
                armed.erase(&s);
                break;
            default:
                host::advance(Nanos::us(static_cast<int64_t>(random() % 20)));
                for (unsigned cpu : {0u, 1u}) {
                    host::become(cpu);
                    timer::run_expired();
                }
                host::become(0);
                for (auto it = armed.begin(); it != armed.end();) {
                    if (it->second <= host::now()) {
                        ASSERT_EQ(it->first->fired, 1);
                        it->first->fired = 0;
                        it = armed.erase(it);
                    } else {
                        ++it;
                    }
                }
                for (auto& any : shots) ASSERT_EQ(any->fired, 0);
        }
    }
    for (auto& s : shots) timer::stop(s->timer);
}

TEST(Timers, AnotherCpuIsTold) {
    machine();
    Shot s;
    const uint64_t kicks = host::record(2).kicks.load();
    timer::set(s.timer, host::now() + Nanos::us(5), 2);
    EXPECT_EQ(host::record(2).kicks.load(), kicks + 1);
    host::become(2);
    host::soft_interrupts();
    EXPECT_EQ(host::record(2).deadline.load(), (host::now() + Nanos::us(5)).n);
    host::advance(Nanos::us(5));
    timer::run_expired();
    EXPECT_EQ(s.fired, 1);
    host::become(0);
}

/// Runs this CPU's timers; what is programmed afterwards is in the future, or the interrupt would come again at once.
void take_timer_interrupt() {
    timer::run_expired();
    EXPECT_GT(host::record(0).deadline.load(), host::now().n);
}

bool timer_event(Guest& g) {
    const bool pending = g.vcpu().info.load()->evtchn_upcall_pending;
    g.vcpu().info.load()->evtchn_upcall_pending = 0;
    g.vcpu().info.load()->evtchn_pending_sel = 0;
    for (uint64_t& word : g->shared->evtchn_pending) word = 0;
    return pending;
}

// Deadlines that a guest may choose: each is over, comes, or never comes; none makes the timer interrupt come for ever.
TEST(GuestDeadlines, PastFarAndNegative) {
    control_domain();
    Guest g(5);
    g.start();
    (void)must(event_bind_virq(g, xen::VIRQ_TIMER, VcpuId(0)));
    for (uint64_t& word : g->shared->evtchn_mask) word = 0;
    Vcpu& v = g.vcpu();
    v.info.load()->evtchn_upcall_mask = 0;
    struct {
        uint64_t at;
        bool by_timer_op, by_vcpu_op, by_poll;  ///< it fires at once
    } const cases[] = {
        {1, true, true, true},
        {static_cast<uint64_t>(host::now().n), true, true, true},
        {static_cast<uint64_t>(host::now().n) + (uint64_t{1} << 49), false, false, false},
        {6'148'914'691'236'517'205, false, false, false},
        {INT64_MAX - 1, false, false, false},
        {INT64_MAX, false, false, false},
        // As signed numbers these are before boot. VCPUOP_set_singleshot_timer counts in unsigned ones.
        {uint64_t{1} << 63, false, false, true},
        {(uint64_t{1} << 63) + 5, false, false, true},
        {~uint64_t{0}, false, false, true},
    };
    for (const auto& c : cases) {
        SCOPED_TRACE(c.at);
        (void)must(hypercall(hypercall_handler(xen::HYPERVISOR_set_timer_op), v, c.at));
        take_timer_interrupt();
        EXPECT_EQ(timer_event(g), c.by_timer_op);

        const xen::VcpuSetSingleshotTimer shot{c.at, 0, 0};
        (void)must(hypercall(hypercall_handler(xen::HYPERVISOR_vcpu_op), v, xen::VCPUOP_set_singleshot_timer, 0, address(&shot)));
        take_timer_interrupt();
        EXPECT_EQ(timer_event(g), c.by_vcpu_op);
        timer::stop(v.singleshot);

        const xen::SchedPoll poll{{}, 0, 0, c.at};
        (void)must(hypercall(hypercall_handler(xen::HYPERVISOR_sched_op), v, xen::SCHEDOP_poll, address(&poll)));
        EXPECT_TRUE(v.polling.load());
        take_timer_interrupt();
        EXPECT_EQ(!v.polling.load(), c.by_poll);
        vcpu_unblock(v);
        timer::stop(v.poll_timer);
    }
    // A wrapped time is neither at once nor never: the guest hears back in a tenth of a second.
    (void)must(hypercall(hypercall_handler(xen::HYPERVISOR_set_timer_op), v, ~uint64_t{0}));
    host::advance(Nanos::ms(101));
    take_timer_interrupt();
    EXPECT_TRUE(timer_event(g));

    const uint32_t longest = ~0u;
    EXPECT_EQ(must(domain_watchdog(g, 0, longest)), 1u);
    take_timer_interrupt();
    EXPECT_FALSE(g->shut_down.load());
}

TEST(GuestDeadlines, APeriodIsAtLeastAMillisecond) {
    control_domain();
    Guest g(5);
    g.start();
    (void)must(event_bind_virq(g, xen::VIRQ_TIMER, VcpuId(0)));
    for (uint64_t& word : g->shared->evtchn_mask) word = 0;
    Vcpu& v = g.vcpu();
    const auto set = [&](uint64_t period) {
        const xen::VcpuSetPeriodicTimer p{period};
        return hypercall(hypercall_handler(xen::HYPERVISOR_vcpu_op), v, xen::VCPUOP_set_periodic_timer, 0, address(&p));
    };
    for (uint64_t period : {uint64_t{0}, uint64_t{1}, uint64_t{999'999}, uint64_t{1} << 62, uint64_t{1} << 63, ~uint64_t{0}})
        EXPECT_EQ(set(period).error(), Errc::inval) << period;
    v.running_on = 0;
    (void)must(set(1'000'000));
    (void)timer_event(g);
    unsigned ticks = 0;
    for (unsigned us = 0; us < 100'000; us += 100) {
        host::advance(Nanos::us(100));
        take_timer_interrupt();
        ticks += timer_event(g);
    }
    EXPECT_GE(ticks, 99u);
    EXPECT_LE(ticks, 100u);
    (void)must(set((uint64_t{1} << 62) - 1));
    host::advance(Nanos::s(1));
    take_timer_interrupt();
    EXPECT_FALSE(timer_event(g));
    v.running_on = -1;
}

}  // namespace
