// SPDX-License-Identifier: Apache-2.0
// link: hvcore
#include "hypervisor/sched/scheduler.hpp"

#include <algorithm>
#include <memory>
#include <random>

#include "lib/x86/boot_options.hpp"
#include "tests/host/hv_simulation.hpp"

namespace {

using namespace hvtest;
using base::Nanos;

std::vector<double> shares(unsigned cpu_count, const std::vector<uint16_t>& weights, Nanos duration = Nanos::s(10)) {
    Simulation sim(cpu_count);
    std::vector<std::unique_ptr<Guest>> guests;
    for (size_t i = 0; i < weights.size(); ++i) {
        guests.push_back(std::make_unique<Guest>(static_cast<uint16_t>(i + 1)));
        EXPECT_TRUE(set_weight((*guests[i])->sched, weights[i]));
        confine(*guests[i], cpu_count);
        guests[i]->start();
    }
    sim.settle();
    std::vector<Nanos> before;
    for (auto& g : guests) before.push_back(sched::runtime(g->vcpu()));
    sim.run(duration);
    std::vector<double> got;
    for (size_t i = 0; i < guests.size(); ++i)
        got.push_back(static_cast<double>((sched::runtime(guests[i]->vcpu()) - before[i]).n) / static_cast<double>(duration.n));
    for (auto& g : guests) g->stop();
    sim.settle();
    return got;
}

TEST(Fairness, WeightsOnOneCpu) {
    auto s = shares(1, {256, 512});
    EXPECT_NEAR(s[0], 1.0 / 3, 0.01);
    EXPECT_NEAR(s[1], 2.0 / 3, 0.01);
    s = shares(1, {256, 256});
    EXPECT_NEAR(s[0], 0.5, 0.01);
    s = shares(1, {10, 100, 1000, 65535}, Nanos::s(100));
    const double total = 10 + 100 + 1000 + 65535;
    EXPECT_NEAR(s[0], 10 / total, 0.02);
    EXPECT_NEAR(s[2], 1000 / total, 0.02);
    EXPECT_NEAR(s[3], 65535 / total, 0.02);
}

TEST(Fairness, ThreeOnTwoCpus) {
    for (double s : shares(2, {256, 256, 256})) EXPECT_NEAR(s, 2.0 / 3, 0.02);
}

TEST(Fairness, WeightsOnTwoCpus) {
    auto s = shares(2, {256, 256, 512});
    EXPECT_NEAR(s[0], 0.5, 0.02);
    EXPECT_NEAR(s[1], 0.5, 0.02);
    EXPECT_NEAR(s[2], 1.0, 0.02);
    s = shares(2, {100, 200, 300, 400});
    for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(s[i], 0.2 * static_cast<double>(i + 1), 0.02) << i;
}

TEST(Fairness, AWeightBeyondOneCpuTakesOne) {
    auto s = shares(2, {10000, 10, 10, 10});
    EXPECT_NEAR(s[0], 1.0, 0.02);
    for (size_t i = 1; i < 4; ++i) EXPECT_NEAR(s[i], 1.0 / 3, 0.02) << i;
}

TEST(Fairness, ManyOnFourCpus) {
    auto s = shares(4, std::vector<uint16_t>(13, 256));
    for (double x : s) EXPECT_NEAR(x, 4.0 / 13, 0.02);
}

TEST(Fairness, PinnedNextToFree) {
    Simulation sim(2);
    Guest pinned(1), a(2), b(3);
    pinned.vcpu().affinity.store(CpuSet::of(1));
    confine(a, 2);
    confine(b, 2);
    for (Guest* g : {&pinned, &a, &b}) g->start();
    sim.run(Nanos::s(10));
    for (Guest* g : {&pinned, &a, &b}) {
        EXPECT_NEAR(static_cast<double>(sched::runtime(g->vcpu()).n), 10e9 * 2 / 3, 10e9 * 0.02);
        g->stop();
    }
    sim.settle();
}

/// What a guest ran, in CPUs, over `duration` from now on.
double used(Simulation& sim, Guest& g, Nanos duration) {
    const auto total = [&] {
        Nanos t{};
        for (unsigned i = 0; i < g->limits.max_vcpus; ++i) t = t + sched::runtime(g.vcpu(i));
        return t.n;
    };
    const int64_t before = total();
    sim.run(duration);
    return static_cast<double>(total() - before) / static_cast<double>(duration.n);
}

TEST(Caps, AloneOnACpu) {
    for (const uint16_t cap : {uint16_t{1}, uint16_t{7}, uint16_t{50}, uint16_t{99}, uint16_t{100}, uint16_t{300}}) {
        Simulation sim(1);
        Guest g(1);
        confine(g, 1);
        EXPECT_TRUE(set_cap(g, cap));
        g.start();
        sim.settle();
        const double wanted = std::min<double>(cap, 100) / 100;
        EXPECT_NEAR(used(sim, g, Nanos::s(1)), wanted, wanted * 0.02) << cap;
        g.stop();
        sim.settle();
    }
}

TEST(Caps, OneForAllVcpus) {
    for (const uint16_t cap : {uint16_t{30}, uint16_t{100}, uint16_t{150}, uint16_t{250}}) {
        Simulation sim(test_cpus);
        Guest g(1, 3);
        EXPECT_TRUE(set_cap(g, cap));
        g.start();
        sim.settle();
        EXPECT_NEAR(used(sim, g, Nanos::s(1)), cap / 100.0, cap / 100.0 * 0.02) << cap;
        g.stop();
        sim.settle();
    }
}

TEST(Caps, WhatIsNotUsedIsOthers) {
    Simulation sim(1);
    Guest capped(1), free(2);
    confine(capped, 1);
    confine(free, 1);
    EXPECT_TRUE(set_params(capped->sched, 10000, 25));
    capped.start();
    free.start();
    sim.settle();
    const Nanos before = sched::runtime(free.vcpu());
    EXPECT_NEAR(used(sim, capped, Nanos::s(1)), 0.25, 0.005) << "whatever its weight";
    EXPECT_NEAR(static_cast<double>((sched::runtime(free.vcpu()) - before).n), 0.75e9, 0.015e9);
    for (Guest* g : {&capped, &free}) g->stop();
    sim.settle();
}

TEST(Caps, ManyOnOneCpu) {
    Simulation sim(1);
    std::vector<std::unique_ptr<Guest>> guests;
    for (uint16_t i = 1; i <= 40; ++i) {
        guests.push_back(std::make_unique<Guest>(i));
        confine(*guests.back(), 1);
        EXPECT_TRUE(set_cap(*guests.back(), 2));
        guests.back()->start();
    }
    sim.settle();
    sim.run(Nanos::s(2));
    for (auto& g : guests) {
        EXPECT_NEAR(static_cast<double>(sched::runtime(g->vcpu()).n), 0.04e9, 0.001e9);
        g->stop();
    }
    sim.settle();
}

TEST(Caps, SleepSavesNothing) {
    Simulation sim(1);
    Guest g(1);
    confine(g, 1);
    EXPECT_TRUE(set_cap(g, 20));
    g.start();
    sim.settle();
    host::become(0);
    vcpu_block_current();
    sim.run(Nanos::s(5));
    host::become(0);
    vcpu_unblock(g.vcpu());
    EXPECT_NEAR(used(sim, g, Nanos::ms(100)), 0.2, 0.025);
    g.stop();
    sim.settle();
}

TEST(Caps, WakingWhileItWaitsDoesNotHelp) {
    Simulation sim(2);
    Guest g(1, 2);
    EXPECT_TRUE(set_cap(g, 40));
    confine(g, 2);
    g.start();
    sim.settle();
    const int64_t before = sched::runtime(g.vcpu(0)).n + sched::runtime(g.vcpu(1)).n;
    unsigned n = 0;
    sim.run(Nanos::s(1), Nanos::us(200), [&] {
        Vcpu& v = g.vcpu(++n % 2);
        host::become(n / 2 % 2);
        if (n % 3 == 0 && cpus[n / 2 % 2].current == &v) vcpu_block_current();
        else vcpu_unblock(v);
        sched::pause_nosync(v);
        sched::unpause(v);
        if (n % 7 == 0) {
            v.affinity.store(CpuSet::of(n / 7 % 2));
            sched::policy_of(v).affinity_changed(v);
        }
        sim.settle();
    });
    EXPECT_LT(static_cast<double>(sched::runtime(g.vcpu(0)).n + sched::runtime(g.vcpu(1)).n - before), 0.41e9);
    g.stop();
    sim.settle();
}

TEST(Caps, AChangeIsSeenAtOnce) {
    Simulation sim(1);
    Guest g(1);
    confine(g, 1);
    EXPECT_TRUE(set_cap(g, 1));
    g.start();
    sim.run(Nanos::ms(1001));
    ASSERT_TRUE(cpus[0].current->idle) << "it has used its share of this period";
    EXPECT_TRUE(set_cap(g, 0));
    EXPECT_NEAR(used(sim, g, Nanos::ms(1)), 1.0, 0.001);
    EXPECT_TRUE(set_cap(g, 1));
    EXPECT_NEAR(used(sim, g, Nanos::s(1)), 0.01, 0.0105) << "what it had been given before it may use";
    EXPECT_NEAR(used(sim, g, Nanos::s(1)), 0.01, 0.0002);
    g.stop();
    sim.settle();
}

TEST(Latency, ASleeperPreemptsASpinner) {
    Simulation sim(1);
    Guest spinner(1), sleeper(2);
    confine(spinner, 1);
    confine(sleeper, 1);
    spinner.start();
    sleeper.start();
    sim.settle();
    Vcpu& v = sleeper.vcpu();
    Nanos woken{}, worst{}, total{};
    int wakes = 0;
    Nanos next_wake{}, next_sleep{};
    bool waiting = false;
    sim.run(Nanos::s(2), Nanos::us(10), [&] {
        const Nanos now = host::now();
        if (cpus[0].current == &v) {
            if (waiting) {
                waiting = false;
                if (wakes) {  // the first is its start
                    total = total + (now - woken);
                    worst = std::max(worst, now - woken);
                }
                next_sleep = now + Nanos::us(50);
                ++wakes;
            } else if (now >= next_sleep) {
                host::become(0);
                vcpu_block_current();
                next_wake = now + Nanos::ms(2);
                sim.settle();
            }
        } else if (!waiting && now >= next_wake) {
            waiting = true;
            woken = now;
            host::become(0);
            vcpu_unblock(v);
        }
    });
    EXPECT_GT(wakes, 900);
    EXPECT_LT(total.n / wakes, 50'000);
    EXPECT_LT(worst.n, 300'000);
    for (Guest* g : {&spinner, &sleeper}) g->stop();
    sim.settle();
}

TEST(Latency, WakingOftenDoesNotBuyTime) {
    Simulation sim(1);
    Guest spinner(1), greedy(2);
    confine(spinner, 1);
    confine(greedy, 1);
    spinner.start();
    greedy.start();
    Vcpu& v = greedy.vcpu();
    Nanos blocked_at{};
    sim.run(Nanos::s(10), Nanos::us(100), [&] {
        // Wants 80 %: runs 4 ms, sleeps 1 ms.
        host::become(0);
        if (cpus[0].current == &v && host::now() - v.runstate.since() > Nanos::ms(4)) {
            vcpu_block_current();
            blocked_at = host::now();
            sim.settle();
        } else if ((v.pause_flags.load() & vpf_blocked) && host::now() - blocked_at > Nanos::ms(1)) {
            vcpu_unblock(v);
        }
    });
    // It cannot use what falls into its sleeps, but it must not get more than its half.
    EXPECT_LT(sched::runtime(v).n, 5'200'000'000);
    EXPECT_GT(sched::runtime(v).n, 3'800'000'000);
    for (Guest* g : {&spinner, &greedy}) g->stop();
    sim.settle();
}

// -- the rate limit ------------------------------------------------------------------------------------------------------

class RateLimit : public ::testing::Test {
protected:
    Simulation sim{1};
    std::atomic<uint32_t>& limit = sched::pool0().policy->ratelimit_us;
    const uint32_t before = limit.load();
    ~RateLimit() override { limit.store(before); }

    struct Seen {
        Nanos mean{}, worst{};         ///< of the waits of one that wakes up 200 us after it went to sleep
        Nanos shortest = Nanos::s(1);  ///< that the spinner had the CPU at a time
        int wakes = 0;
    };
    /// A spinner and one that works for 20 us, then sleeps for 200 us.
    Seen beside_a_spinner(uint32_t us) {
        limit.store(us);
        Guest spinner(1), sleeper(2);
        confine(spinner, 1);
        confine(sleeper, 1);
        spinner.start();
        sleeper.start();
        sim.settle();
        Vcpu& v = sleeper.vcpu();
        Seen seen;
        Nanos total{}, woken{}, got = host::now(), sleeps_at{};
        bool waits = false, runs = cpus[0].current == &v;
        sim.run(Nanos::ms(200), Nanos::us(10), [&] {
            const Nanos now = host::now();
            if (const bool runs_now = cpus[0].current == &v; runs_now != runs) {
                runs = runs_now;
                if (!runs) got = now;
                if (runs && waits) {
                    seen.shortest = std::min(seen.shortest, now - got);
                    seen.worst = std::max(seen.worst, now - woken);
                    total = total + (now - woken);
                    ++seen.wakes;
                    waits = false;
                }
                if (runs) sleeps_at = now + Nanos::us(20);
            }
            host::become(0);
            if (runs && now >= sleeps_at) {
                vcpu_block_current();
                sim.settle();
                woken = now + Nanos::us(200);
                runs = false;
                got = now;
            } else if (!runs && !waits && woken.n && now >= woken) {
                waits = true;
                vcpu_unblock(v);
            }
        });
        seen.mean = {seen.wakes ? total.n / seen.wakes : 0};
        for (Guest* g : {&spinner, &sleeper}) g->stop();
        sim.settle();
        return seen;
    }
};

TEST_F(RateLimit, IsHowLongWakersWaitBesideASpinner) {
    const Seen none = beside_a_spinner(0), usual = beside_a_spinner(before), xens = beside_a_spinner(1000),
               long_one = beside_a_spinner(5000);
    EXPECT_EQ(before, x86::BootOptions{}.ratelimit_us);
    for (const Seen* s : {&none, &usual}) {
        EXPECT_GT(s->wakes, 700);
        EXPECT_LE(s->mean.n, 13'000) << "they slept for longer than the limit, so it delays nobody";
        EXPECT_LE(s->worst.n, 110'000);
    }
    // 200 us of each limit are over when the sleeper wakes up.
    EXPECT_NEAR(static_cast<double>(xens.mean.n), 800e3, 20e3);
    EXPECT_GE(xens.shortest.n, 1'000'000);
    EXPECT_LE(xens.worst.n, 820'000);
    EXPECT_NEAR(static_cast<double>(long_one.mean.n), 4800e3, 20e3);
    EXPECT_GE(long_one.shortest.n, 5'000'000);
}

TEST_F(RateLimit, MayBeLongerThanASlice) {
    const auto turns = [&](uint32_t us) {
        limit.store(us);
        Guest a(1), b(2);
        confine(a, 1);
        confine(b, 1);
        a.start();
        b.start();
        sim.settle();
        int switches = 0;
        Vcpu* last = cpus[0].current;
        sim.run(Nanos::s(2), Nanos::ms(1), [&] {
            if (cpus[0].current != last) ++switches;
            last = cpus[0].current;
        });
        a.stop();
        b.stop();
        sim.settle();
        return switches;
    };
    EXPECT_NEAR(turns(before), 200, 10);
    EXPECT_NEAR(turns(50'000), 40, 3);
    EXPECT_NEAR(turns(500'000), 4, 1);
}

TEST_F(RateLimit, DoesNotHoldWhoGoesByItself) {
    limit.store(500'000);
    Guest a(1), b(2);
    confine(a, 1);
    confine(b, 1);
    a.start();
    b.start();
    sim.settle();
    for (int round = 0; round < 6; ++round) {
        Vcpu& first = *cpus[0].current;
        host::become(0);
        if (round % 2) sched::policy_of(first).yield(first);
        else vcpu_block_current();
        sim.settle();
        EXPECT_NE(cpus[0].current, &first) << round;
        if (round % 2 == 0) vcpu_unblock(first);
        sim.settle();
        EXPECT_NE(cpus[0].current, &first) << "whoever has the CPU now keeps it";
    }
    Vcpu& stays = *cpus[0].current;
    Guest& paused = &stays == &a.vcpu() ? a : b;
    paused.stop();
    sim.settle();
    EXPECT_NE(cpus[0].current, &stays);
    for (Guest* g : {&a, &b}) g->stop();
    sim.settle();
}

class RandomLife : public ::testing::TestWithParam<unsigned> {};

TEST_P(RandomLife, NobodyWaitsForAnIdleCpu) {
    Simulation sim(test_cpus);
    std::vector<std::unique_ptr<Guest>> guests;
    std::mt19937 random(GetParam());
    for (uint16_t i = 1; i <= 6; ++i) {
        guests.push_back(std::make_unique<Guest>(i, 3));
        set_weight(guests.back()->d->sched, static_cast<uint16_t>(random() % 1000 + 1));
        guests.back()->start();
    }
    constexpr unsigned leaving = test_cpus - 1;  // the CPU that comes and goes
    CpuSet some;
    uint64_t there = (uint64_t{1} << test_cpus) - 1;
    unsigned capped = 0;
    const auto allowed = [&](const Vcpu& v) {
        const uint64_t mask = v.affinity.word(0) & there;
        return mask ? mask : there;
    };
    for (int step = 0; step < 20000; ++step) {
        Guest& g = *guests[random() % guests.size()];
        Vcpu& v = g.vcpu(static_cast<unsigned>(random() % 3));
        const auto on = static_cast<unsigned>(random() % test_cpus);
        host::become(on);
        const auto what = random() % 8;
        switch (what) {
            case 0:
                if (!cpus[on].current->idle) vcpu_block_current();
                break;
            case 1:
            case 2: vcpu_unblock(v); break;
            case 3:
                some.set_word(0, random() % 15 + 1);
                v.affinity.store(some);
                sched::policy_of(v).affinity_changed(v);
                break;
            case 4:
                if (!cpus[on].current->idle) vcpu_yield_current();
                break;
            case 5: {
                if (on == leaving || random() % 16 != 0) break;
                there ^= uint64_t{1} << leaving;
                Scheduler& policy = *sched::pool0().policy;
                if (there >> leaving & 1) {
                    policy.add_cpu(leaving, *cpus[leaving].idle);
                } else {
                    policy.remove_cpu(leaving);
                }
                break;
            }
            case 6:
                // None, or one that these vCPUs reach.
                ASSERT_TRUE(random() % 8 != 0 || set_cap(g, static_cast<uint16_t>(random() % 3 * 20)));
                break;
            default: host::advance(Nanos::us(static_cast<int64_t>(random() % 3000)));
        }
        sim.settle();
        // Work conservation: nobody who may run on an idle CPU waits, but for a cap.
        for (auto& any : guests) {
            const SchedGroup& group = any->d->sched;
            if (group.cap.load() && group.allowance.load() <= 0 && group.periods.load() == host::now().n / 10'000'000) {
                ++capped;
                continue;
            }
            for (unsigned i = 0; i < 3; ++i) {
                Vcpu& w = any->vcpu(i);
                if (!w.runnable() || w.running_on.load() >= 0) continue;
                for (unsigned c = 0; c < test_cpus; ++c)
                    ASSERT_FALSE(cpus[c].current->idle && (allowed(w) >> c & 1))
                        << "step " << step << " op " << what << " cpu " << c << ", waiting on " << w.cpu.load();
            }
        }
        // And nobody runs where it may not, or when it may not.
        for (unsigned c = 0; c < test_cpus; ++c) {
            const Vcpu& w = *cpus[c].current;
            if (w.idle) continue;
            ASSERT_TRUE(allowed(w) >> c & 1) << "step " << step << " op " << what << " cpu " << c;
            ASSERT_TRUE(w.runnable());
        }
    }
    for (auto& g : guests) {
        xen::VcpuRunstateInfo info = sched::runstate(g->vcpu());
        EXPECT_GT(info.time[0] + info.time[1] + info.time[2] + info.time[3], 0u);
        g->stop();
    }
    EXPECT_GT(capped, 1000u) << "caps were never met";
    if (!(there >> leaving & 1)) sched::pool0().policy->add_cpu(leaving, *cpus[leaving].idle);
    sim.settle();
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomLife, ::testing::Range(42u, 62u));

}  // namespace
