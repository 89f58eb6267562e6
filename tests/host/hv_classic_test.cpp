// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// The policies of older Xens: round robin, BVT, sEDF and Atropos.
#include "tests/host/hv_policy.hpp"

namespace {

using namespace hvtest;
constexpr uint32_t put = xen::XEN_DOMCTL_SCHEDOP_putinfo, get = xen::XEN_DOMCTL_SCHEDOP_getinfo;
constexpr uint64_t ms = 1'000'000;

// -- round robin ------------------------------------------------------------------------------------------------------

struct RoundRobin : PolicyTest {
    void make(unsigned n) { make_pool(xenolith::SCHEDULER_RROBIN, n); }
    Errc set(uint64_t ns) {
        xenolith::SchedPolicyOp op{};
        op.u.slice = ns;
        return policy_op(xen::XEN_SYSCTL_SCHEDOP_putinfo, op);
    }
};

TEST_F(RoundRobin, EachHasTheSame) {
    make(3);
    for (int i = 0; i < 7; ++i) add();
    for (const double s : shares(Nanos::s(3))) EXPECT_NEAR(s, 3.0 / 7, 0.01);
}

TEST_F(RoundRobin, ASliceIsAsLongAsItWasSaidToBe) {
    make(1);
    add();
    add();
    for (const uint64_t slice : {10 * ms, ms, 100 * ms}) {
        ASSERT_EQ(set(slice), Errc{});
        sim.run(Nanos::ms(200));
        int switches = 0;
        const Vcpu* last = on(0);
        sim.run(Nanos::s(2), Nanos::us(500), [&] {
            if (on(0) != last) ++switches;
            last = on(0);
        });
        EXPECT_NEAR(switches, static_cast<double>(2000 * ms / slice), 2);
    }
    EXPECT_EQ(set(99'999), Errc::inval);
    EXPECT_EQ(set(1'000'000'001), Errc::inval);
    xenolith::SchedPolicyOp op{};
    EXPECT_EQ(policy_op(xen::XEN_SYSCTL_SCHEDOP_getinfo, op), Errc{});
    EXPECT_EQ(op.u.slice, 100 * ms);
}

TEST_F(RoundRobin, WhoSleepsWaitsForHisTurn) {
    make(1);
    for (int i = 0; i < 4; ++i) add();
    sim.settle();
    Vcpu& v = *on(0);
    block(v);
    host::become(0);
    vcpu_unblock(v);
    sim.run(Nanos::ms(29));
    EXPECT_NE(on(0), &v);
    sim.run(Nanos::ms(2));
    EXPECT_EQ(on(0), &v);
}

TEST_F(RoundRobin, AThousandTakeTurns) {
    make(1);
    for (int i = 0; i < 40; ++i) add(25);
    sim.run(Nanos::s(10));  // each once
    for (const double s : shares(Nanos::s(100))) EXPECT_NEAR(s, 0.025, 0.0005);
}

// -- BVT --------------------------------------------------------------------------------------------------------------

struct Bvt : PolicyTest {
    void make(unsigned n) { make_pool(xenolith::SCHEDULER_BVT, n); }
    Errc set(Guest& g, const xenolith::SchedBvt& p) {
        xenolith::SchedGroupOp op{};
        op.u.bvt = p;
        return group_op(g, put, op);
    }
    Errc allow(uint64_t ns) {
        xenolith::SchedPolicyOp op{};
        op.u.ctx_allow = ns;
        return policy_op(xen::XEN_SYSCTL_SCHEDOP_putinfo, op);
    }
};

TEST_F(Bvt, SharesAreInverseToTheAdvance) {
    make(1);
    Guest &a = add(), &b = add(), &c = add();
    EXPECT_EQ(set(a, {10, 0, 0, 0, 0}), Errc{});
    EXPECT_EQ(set(b, {20, 0, 0, 0, 0}), Errc{});
    EXPECT_EQ(set(c, {40, 0, 0, 0, 0}), Errc{});
    const auto s = shares(Nanos::s(3));
    EXPECT_NEAR(s[0], 4.0 / 7, 0.01);
    EXPECT_NEAR(s[1], 2.0 / 7, 0.01);
    EXPECT_NEAR(s[2], 1.0 / 7, 0.01);
}

TEST_F(Bvt, OnThreeCpusToo) {
    make(3);
    for (int i = 0; i < 5; ++i) add();
    for (const double s : shares(Nanos::s(3))) EXPECT_NEAR(s, 0.6, 0.012);
}

TEST_F(Bvt, NobodyStarves) {
    make(1);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(set(add(), {i == 0 ? 10'000u : 1u, 0, 0, 0, 0}), Errc{});
    const auto s = shares(Nanos::s(600));
    EXPECT_GT(s[0], 0.000005);
    for (int i = 1; i < 10; ++i) EXPECT_NEAR(s[static_cast<size_t>(i)], 0.111, 0.003);
}

/// How long one that wakes up waits beside two spinners, on average; ns.
int64_t wait_of_a_waker(Bvt& t, bool warps) {
    t.make(1);
    t.add();
    t.add();
    Guest& waker = t.add();
    EXPECT_EQ(t.set(waker, {10, warps, 100'000, 0, 0}), Errc{});
    Vcpu& v = waker.vcpu();
    Nanos woken = host::now(), total{};
    int wakes = 0;
    t.sim.run(Nanos::s(2), Nanos::us(100), [&] {
        if (v.running_on.load() >= 0 && host::now() - v.runstate.since() >= Nanos::us(500)) {
            t.block(v);
            woken = host::now() + Nanos::ms(17);
        } else if ((v.pause_flags.load() & vpf_blocked) && host::now() >= woken) {
            host::become(0);
            vcpu_unblock(v);
            t.sim.settle();
            const Nanos waits_since = host::now();
            (void)waits_since;
            ++wakes;
        } else if (v.running_on.load() < 0 && !(v.pause_flags.load() & vpf_blocked)) {
            total = total + Nanos::us(100);
        }
    });
    EXPECT_GT(wakes, 50);
    return total.n / wakes;
}

TEST_F(Bvt, WarpingIsWaitingLess) {
    const int64_t with = wait_of_a_waker(*this, true);
    EXPECT_LT(with, 5'100'000) << "the allowance of who runs";
}

TEST_F(Bvt, WarpingIsNotHavingMore) {
    make(1);
    Guest& a = add();
    add();
    EXPECT_EQ(set(a, {10, 1, 100'000, 0, 0}), Errc{});
    sim.run(Nanos::s(3));  // what it borrows at first
    const auto s = shares(Nanos::s(3));
    EXPECT_NEAR(s[0], 0.5, 0.01);
}

TEST_F(Bvt, AWarpHasItsLimit) {
    make(1);
    Guest& a = add();
    add();
    EXPECT_EQ(set(a, {10, 1, 1'000'000'000, 20 * ms, 1000 * ms}), Errc{});
    sim.settle();
    EXPECT_NEAR(static_cast<double>(shares(Nanos::s(3))[0]), 0.5, 0.02) << "not the whole CPU for ever";
}

TEST_F(Bvt, TheAllowanceIsTheShortestTurn) {
    make(1);
    add();
    add();
    for (const uint64_t allowance : {5 * ms, 20 * ms, 50 * ms}) {
        ASSERT_EQ(allow(allowance), Errc{});
        sim.run(Nanos::ms(500));
        int64_t shortest = INT64_MAX;
        const Vcpu* last = on(0);
        Nanos got = host::now();
        bool first = true;
        sim.run(Nanos::s(1), Nanos::us(500), [&] {
            if (on(0) == last) return;
            if (!first) shortest = std::min(shortest, (host::now() - got).n);
            first = false;
            got = host::now();
            last = on(0);
        });
        EXPECT_GE(shortest, static_cast<int64_t>(allowance) - 500'000);
    }
    EXPECT_EQ(allow(1001 * ms), Errc::inval);
    EXPECT_EQ(allow(0), Errc{});
}

TEST_F(Bvt, ParametersHaveLimits) {
    make(1);
    Guest& g = place(2);
    xenolith::SchedGroupOp op{};
    EXPECT_EQ(group_op(g, get, op), Errc{});
    EXPECT_EQ(op.u.bvt.mcu_advance, 10u);
    EXPECT_EQ(set(g, {0, 0, 0, 0, 0}), Errc::inval);
    EXPECT_EQ(set(g, {10'001, 0, 0, 0, 0}), Errc::inval);
    EXPECT_EQ(set(g, {1, 2, 0, 0, 0}), Errc::inval);
    EXPECT_EQ(set(g, {1, 1, 1'000'000'001, 0, 0}), Errc::inval);
    EXPECT_EQ(set(g, {1, 1, 0, UINT64_MAX, 0}), Errc::inval);
    EXPECT_EQ(set(g, {77, 1, -5, 6, 7}), Errc{});
    EXPECT_EQ(group_op(g, get, op), Errc{});
    EXPECT_EQ(op.u.bvt.mcu_advance, 77u);
    EXPECT_EQ(op.u.bvt.warpvalue, -5);
    EXPECT_EQ(op.u.bvt.warpl, 6u);
    EXPECT_EQ(op.u.bvt.warpu, 7u);
    EXPECT_EQ(group_op(g, 2, op), Errc::inval);
}

// -- sEDF -------------------------------------------------------------------------------------------------------------

struct Sedf : PolicyTest {
    void make(unsigned n) { make_pool(xenolith::SCHEDULER_SEDF, n); }
    Errc set(Guest& g, const xenolith::SchedSedf& p) {
        xenolith::SchedGroupOp op{};
        op.u.sedf = p;
        return group_op(g, put, op);
    }
};

TEST_F(Sedf, SlicesAreKept) {
    make(1);
    EXPECT_EQ(set(add(), {20 * ms, 5 * ms, 0, 0, 0}), Errc{});
    EXPECT_EQ(set(add(), {100 * ms, 40 * ms, 0, 0, 0}), Errc{});
    add();  // best effort
    add();
    const auto s = shares(Nanos::s(1));
    EXPECT_NEAR(s[0], 0.25, 0.005);
    EXPECT_NEAR(s[1], 0.4, 0.008);
    EXPECT_NEAR(s[2], 0.175, 0.0035);
    EXPECT_NEAR(s[3], 0.175, 0.0035);
}

TEST_F(Sedf, DeadlinesAreKeptBesideBestEffort) {
    make(1);
    for (int i = 0; i < 3; ++i) add();
    Guest& g = place();
    EXPECT_EQ(set(g, {10 * ms, 9 * ms, 0, 0, 0}), Errc{});
    g.start();
    sim.settle();
    const int64_t begun = host::now().n;
    sim.run(Nanos::s(1), Nanos::ms(1), [&] {
        const int64_t periods = (host::now().n - begun) / 10'000'000;
        ASSERT_GE(time_of(g), periods * 9'000'000 - 5'000);
    });
}

TEST_F(Sedf, Weights) {
    make(1);
    EXPECT_EQ(set(add(), {0, 0, 0, 0, 256}), Errc{});
    EXPECT_EQ(set(add(), {0, 0, 0, 0, 512}), Errc{});
    const auto s = shares(Nanos::s(1));
    EXPECT_NEAR(s[0], 0.95 / 3, 0.007);
    EXPECT_NEAR(s[1], 0.95 * 2 / 3, 0.013);
    Guest& reserved = add();
    EXPECT_EQ(set(reserved, {100 * ms, 50 * ms, 0, 0, 0}), Errc{});
    const auto less = shares(Nanos::s(1));
    EXPECT_NEAR(less[0], 0.45 / 3, 0.004);
    EXPECT_NEAR(less[1], 0.45 * 2 / 3, 0.008);
    EXPECT_NEAR(less[2], 0.5, 0.01);
}

TEST_F(Sedf, WhoGoesLeavesItsPartToOthers) {
    make(1);
    EXPECT_EQ(set(add(), {0, 0, 0, 0, 256}), Errc{});
    Guest& goes = add();
    EXPECT_EQ(set(goes, {0, 0, 0, 0, 256}), Errc{});
    EXPECT_NEAR(shares()[0], 0.475, 0.01);
    goes.stop();
    sim.settle();
    domain_move(*goes.d, sched::pool0());
    EXPECT_NEAR(shares()[0], 0.95, 0.02);
}

TEST_F(Sedf, WeightsOfBestEffort) {
    make(1);
    EXPECT_EQ(set(add(), {0, 0, 0, 1, 100}), Errc{});
    EXPECT_EQ(set(add(), {0, 0, 0, 1, 300}), Errc{});
    const auto s = shares(Nanos::s(1));
    EXPECT_NEAR(s[0], 0.25, 0.005);
    EXPECT_NEAR(s[1], 0.75, 0.015);
}

TEST_F(Sedf, ParametersHaveLimits) {
    make(1);
    Guest& g = place(2);
    xenolith::SchedGroupOp op{};
    EXPECT_EQ(group_op(g, get, op), Errc{});
    EXPECT_EQ(op.u.sedf.period, 100 * ms);
    EXPECT_EQ(op.u.sedf.slice, 0u);
    EXPECT_EQ(op.u.sedf.extratime, 1u);
    EXPECT_EQ(set(g, {9'999, 5'000, 0, 0, 0}), Errc::inval);
    EXPECT_EQ(set(g, {10'000 * ms + 1, 5'000, 0, 0, 0}), Errc::inval);
    EXPECT_EQ(set(g, {10'000, 4'999, 0, 0, 0}), Errc::inval);
    EXPECT_EQ(set(g, {10'000, 10'001, 0, 0, 0}), Errc::inval);
    EXPECT_EQ(set(g, {10'000, 5'000, 10'001, 0, 0}), Errc::inval);
    EXPECT_EQ(set(g, {10'000, 5'000, 0, 2, 0}), Errc::inval);
    EXPECT_EQ(set(g, {10'000, 0, 0, 0, 0}), Errc::inval) << "it would never run";
    EXPECT_EQ(set(g, {10'000, 5'000, 0, 0, 256}), Errc::inval) << "a weight is instead of them";
    EXPECT_EQ(set(g, {0, 0, 0, 0, 65'536}), Errc::inval);
    EXPECT_EQ(set(g, {10'000, 5'000, 6'000, 1, 0}), Errc{});
    EXPECT_EQ(group_op(g, get, op), Errc{});
    EXPECT_EQ(op.u.sedf.period, 10'000u);
    EXPECT_EQ(op.u.sedf.latency, 6'000u);
    EXPECT_EQ(op.u.sedf.weight, 0u);
}

// -- Atropos ----------------------------------------------------------------------------------------------------------

struct Atropos : PolicyTest {
    void make(unsigned n) { make_pool(xenolith::SCHEDULER_ATROPOS, n); }
    Errc set(Guest& g, const xenolith::SchedAtropos& p) {
        xenolith::SchedGroupOp op{};
        op.u.atropos = p;
        return group_op(g, put, op);
    }
};

TEST_F(Atropos, SlicesAreKeptAndTheRestGoesRound) {
    make(1);
    EXPECT_EQ(set(add(), {20 * ms, 8 * ms, 20 * ms, 0, 0}), Errc{});
    EXPECT_EQ(set(add(), {50 * ms, 10 * ms, 50 * ms, 1, 0}), Errc{});
    EXPECT_EQ(set(add(), {10'000 * ms, 10 * ms, 10'000 * ms, 1, 0}), Errc{});
    const auto s = shares(Nanos::s(4));
    EXPECT_NEAR(s[0], 0.4, 0.008);
    EXPECT_NEAR(s[1], 0.4, 0.02) << "its own, and half of the rest";
    EXPECT_NEAR(s[2], 0.2, 0.02);
}

TEST_F(Atropos, WhoWakesUpIsThereWithinItsLatency) {
    make(1);
    EXPECT_EQ(set(add(), {100 * ms, 70 * ms, 100 * ms, 1, 0}), Errc{});
    Guest& g = place();
    EXPECT_EQ(set(g, {100 * ms, 10 * ms, 3 * ms, 0, 0}), Errc{});
    g.start();
    sim.run(Nanos::ms(50));
    Vcpu& v = g.vcpu();
    Nanos wakes_at{}, worst{};
    int wakes = 0;
    bool waits = false;
    sim.run(Nanos::s(5), Nanos::us(100), [&] {
        const Nanos now = host::now();
        if (v.running_on.load() >= 0 && waits) {
            waits = false;
            worst = std::max(worst, now - wakes_at);
            ++wakes;
        }
        if (v.running_on.load() >= 0 && now - v.runstate.since() >= Nanos::ms(1)) {
            block(v);
            wakes_at = now + Nanos::ms(130);
        } else if ((v.pause_flags.load() & vpf_blocked) && now >= wakes_at) {
            wakes_at = now;
            waits = true;
            host::become(0);
            vcpu_unblock(v);
        }
    });
    EXPECT_GT(wakes, 30);
    EXPECT_LE(worst.n, 3'000'000);
}

TEST_F(Atropos, WakingOftenIsNotHavingMore) {
    make(1);
    EXPECT_EQ(set(add(), {100 * ms, 70 * ms, 100 * ms, 0, 0}), Errc{});
    Guest& g = add();
    EXPECT_EQ(set(g, {100 * ms, 10 * ms, ms, 0, 0}), Errc{});
    sim.settle();
    Vcpu& v = g.vcpu();
    Nanos asleep{};
    const int64_t before = time_of(g);
    sim.run(Nanos::s(2), Nanos::us(100), [&] {
        if (v.running_on.load() >= 0 && host::now() - v.runstate.since() >= Nanos::us(900)) {
            block(v);
            asleep = host::now();
        } else if ((v.pause_flags.load() & vpf_blocked) && host::now() - asleep >= Nanos::us(300)) {
            host::become(0);
            vcpu_unblock(v);
        }
    });
    EXPECT_LT(static_cast<double>(time_of(g) - before), 0.105 * 2e9);
}

TEST_F(Atropos, ParametersHaveLimits) {
    make(1);
    Guest& g = place();
    xenolith::SchedGroupOp op{};
    EXPECT_EQ(group_op(g, get, op), Errc{});
    EXPECT_EQ(op.u.atropos.period, 10'000 * ms);
    EXPECT_EQ(op.u.atropos.slice, 10 * ms);
    EXPECT_EQ(set(g, {ms, ms + 1, ms, 0, 0}), Errc::inval);
    EXPECT_EQ(set(g, {ms, ms, ms + 1, 0, 0}), Errc::inval);
    EXPECT_EQ(set(g, {ms, ms, ms, 2, 0}), Errc::inval);
    EXPECT_EQ(set(g, {ms, 0, ms, 1, 0}), Errc::inval);
    EXPECT_EQ(set(g, {2 * ms, ms, ms, 1, 0}), Errc{});
    EXPECT_EQ(group_op(g, get, op), Errc{});
    EXPECT_EQ(op.u.atropos.latency, ms);
}

struct ClassicLife : PolicyTest, ::testing::WithParamInterface<std::tuple<uint32_t, unsigned>> {};
TEST_P(ClassicLife, Random) {
    random_life(std::get<0>(GetParam()), std::get<1>(GetParam()), Idle::never_beside_a_waiter, [](int) {});
}
INSTANTIATE_TEST_SUITE_P(Seeds, ClassicLife,
                         ::testing::Combine(::testing::Values(xenolith::SCHEDULER_RROBIN, xenolith::SCHEDULER_BVT,
                                                              xenolith::SCHEDULER_SEDF, xenolith::SCHEDULER_ATROPOS),
                                            ::testing::Range(1u, 7u)));

}  // namespace
