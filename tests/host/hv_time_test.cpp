// SPDX-License-Identifier: Apache-2.0
// link: hvcore
#include "hypervisor/time/timer.hpp"

#include <map>
#include <memory>
#include <random>
#include <vector>

#include "hypervisor/rt/clock.hpp"
#include "tests/host/hv_fixture.hpp"

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
    Shot() : timer([](void* p) {
                   auto* s = static_cast<Shot*>(p);
                   ++s->fired;
                   s->at = host::now();
               }, this) {}
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

}  // namespace
