// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// rtds: budgets, deadlines, extra time, and the limits of parameters.
#include "tests/host/hv_calls.hpp"
#include "tests/host/hv_policy.hpp"

namespace {

using namespace hvtest;

struct Rtds : PolicyTest {
    Errc set(Vcpu& v, uint32_t period_us, uint32_t budget_us, bool extra) {
        xen::DomctlSchedParamVcpu p{};
        p.u.rtds = {period_us, budget_us, extra ? xen::XEN_DOMCTL_SCHEDRT_extra : 0};
        const auto s = policy().unit_params(v, xen::XEN_DOMCTL_SCHEDOP_putvcpuinfo, p);
        return s ? Errc{} : s.error();
    }
    xen::DomctlSchedRtds get(Vcpu& v) {
        xen::DomctlSchedParamVcpu p{};
        EXPECT_TRUE(policy().unit_params(v, xen::XEN_DOMCTL_SCHEDOP_getvcpuinfo, p));
        return p.u.rtds;
    }
    void make(unsigned cpus_of_it) { make_pool(xen::XEN_SCHEDULER_RTDS, cpus_of_it); }
    Guest& add_with(uint32_t period_us, uint32_t budget_us, bool extra) {
        Guest& g = place();
        EXPECT_EQ(set(g.vcpu(), period_us, budget_us, extra), Errc{});
        g.start();
        return g;
    }
};

TEST_F(Rtds, EachHasItsBudgetAndNoMore) {
    make(1);
    add_with(10'000, 2'500, false);
    add_with(7'000, 2'100, false);
    add_with(100'000, 10'000, false);
    const auto s = shares();
    EXPECT_NEAR(s[0], 0.25, 0.005);
    EXPECT_NEAR(s[1], 0.3, 0.006);
    EXPECT_NEAR(s[2], 0.1, 0.002);
}

TEST_F(Rtds, WhatIsLeftGoesToThoseWithExtratime) {
    make(1);
    add_with(10'000, 2'000, true);
    add_with(10'000, 2'000, true);
    add_with(10'000, 3'000, false);
    const auto s = shares();
    EXPECT_NEAR(s[0] + s[1], 0.7, 0.007);
    EXPECT_GT(std::min(s[0], s[1]), 0.29) << "by another budget each, while there is time";
    EXPECT_NEAR(s[2], 0.3, 0.006);
}

/// Whose budgets fit gets them in each period, whatever others want.
TEST_F(Rtds, DeadlinesAreKept) {
    for (unsigned seed = 1; seed <= 8; ++seed) {
        make(1);
        std::mt19937 random(seed);
        struct Task {
            Guest* g;
            int64_t period, budget, begun;
        };
        std::vector<Task> tasks;
        double load = 0;
        while (load < 0.9) {
            const auto period = static_cast<int64_t>(random() % 50 + 2) * 1000;
            const auto budget = static_cast<int64_t>(static_cast<double>(period) * static_cast<double>(random() % 30 + 1) / 100);
            if (load + static_cast<double>(budget) / static_cast<double>(period) > 1) break;
            load += static_cast<double>(budget) / static_cast<double>(period);
            Guest& g = add_with(static_cast<uint32_t>(period), static_cast<uint32_t>(budget), random() % 2 == 0);
            tasks.push_back({&g, period * 1000, budget * 1000, host::now().n});
        }
        sim.settle();
        sim.run(Nanos::s(1), Nanos::ms(1), [&] {
            const int64_t now = host::now().n;
            for (const Task& t : tasks) {
                const int64_t periods = (now - t.begun) / t.period;
                ASSERT_GE(time_of(*t.g), periods * t.budget - 5'000)
                    << "seed " << seed << " period " << t.period << " budget " << t.budget;
            }
        });
        for (auto& g : guests) g->stop();
        sim.settle();
        guests.clear();
        pool.reset();
        if (HasFatalFailure()) return;
    }
}

TEST_F(Rtds, ASleeperIsThereInItsPeriod) {
    make(1);
    Guest& spinner = add_with(10'000, 6'000, true);
    Guest& sleeper = add_with(5'000, 1'500, false);
    sim.settle();
    Vcpu& v = sleeper.vcpu();
    Nanos woken = host::now(), worst{};
    int wakes = 0;
    sim.run(Nanos::s(2), Nanos::us(100), [&] {
        if (v.running_on.load() >= 0 && host::now() - v.runstate.since() >= Nanos::ms(1)) {
            worst = std::max(worst, host::now() - woken);
            block(v);
            woken = host::now() + Nanos::ms(7);
            ++wakes;
        } else if ((v.pause_flags.load() & vpf_blocked) && host::now() >= woken) {
            woken = host::now();
            host::become(0);
            vcpu_unblock(v);
        }
    });
    EXPECT_GT(wakes, 200);
    EXPECT_LE(worst.n, 5'000'000) << "it works for 1 ms, and has 5 for it";
    EXPECT_GT(static_cast<double>(time_of(spinner)), 1.5e9);
}

TEST_F(Rtds, ThreeCpusForFour) {
    make(3);
    for (int i = 0; i < 4; ++i) add_with(10'000, 5'000, false);
    for (const double s : shares()) EXPECT_NEAR(s, 0.5, 0.01);
}

TEST_F(Rtds, ParametersHaveXensLimits) {
    make(1);
    Guest& g = place(2);
    EXPECT_EQ(get(g.vcpu()).period, 10'000u);
    EXPECT_EQ(get(g.vcpu()).budget, 4'000u);
    EXPECT_EQ(get(g.vcpu()).flags, xen::XEN_DOMCTL_SCHEDRT_extra);
    EXPECT_EQ(set(g.vcpu(), 10, 10, false), Errc{});
    EXPECT_EQ(get(g.vcpu()).flags, 0u);
    EXPECT_EQ(get(g.vcpu(1)).period, 10'000u) << "each vCPU has its own";
    EXPECT_EQ(set(g.vcpu(), 9, 9, false), Errc::inval);
    EXPECT_EQ(set(g.vcpu(), 100, 9, false), Errc::inval);
    EXPECT_EQ(set(g.vcpu(), 100, 101, false), Errc::inval);
    EXPECT_EQ(set(g.vcpu(), UINT32_MAX, UINT32_MAX, false), Errc{});
    xenolith::SchedGroupOp op{};
    op.u.rtds = {50'000, 5'000, 0};
    EXPECT_EQ(group_op(g, xen::XEN_DOMCTL_SCHEDOP_putinfo, op), Errc{});
    EXPECT_EQ(get(g.vcpu(0)).period, 50'000u);
    EXPECT_EQ(get(g.vcpu(1)).budget, 5'000u);
    op.u.rtds = {0, 5, 0};
    EXPECT_EQ(group_op(g, xen::XEN_DOMCTL_SCHEDOP_putinfo, op), Errc::inval);
    EXPECT_EQ(group_op(g, xen::XEN_DOMCTL_SCHEDOP_getinfo, op), Errc{});
    EXPECT_EQ(op.u.rtds.period, 10'000u) << "of the domain the usual is told";
    EXPECT_EQ(group_op(g, 9, op), Errc::inval);
}

TEST_F(Rtds, ByHypercallForEachVcpu) {
    (void)control_domain();
    make(1);
    Guest& g = place(3);
    xen::DomctlSchedParamVcpu list[3] = {};
    auto op = xen::zeroed<xen::Domctl>();
    const auto call = [&](uint32_t cmd, uint32_t count, uint32_t policy_id = xen::XEN_SCHEDULER_RTDS) {
        op.cmd = xen::XEN_DOMCTL_scheduler_op;
        op.interface_version = xen::XEN_DOMCTL_INTERFACE_VERSION;
        op.domain = g->id.raw;
        auto& s = op.u.scheduler_op;
        s.sched_id = policy_id;
        s.cmd = cmd;
        s.u.v = {{address(&list[0])}, count, 0};
        const auto r = hypercall(hypercall_handler(xen::HYPERVISOR_domctl), control_domain().vcpu(), address(&op));
        return r ? Errc{} : r.error();
    };
    list[0].vcpuid = 2;
    list[0].u.rtds = {20'000, 3'000, 0};
    list[1].vcpuid = 0;
    list[1].u.rtds = {30'000, 4'000, xen::XEN_DOMCTL_SCHEDRT_extra};
    ASSERT_EQ(call(xen::XEN_DOMCTL_SCHEDOP_putvcpuinfo, 2), Errc{});
    EXPECT_EQ(op.u.scheduler_op.u.v.nr_vcpus, 2u);
    for (uint32_t i = 0; i < 3; ++i) list[i] = {{}, i};
    ASSERT_EQ(call(xen::XEN_DOMCTL_SCHEDOP_getvcpuinfo, 3), Errc{});
    EXPECT_EQ(list[0].u.rtds.period, 30'000u);
    EXPECT_EQ(list[0].u.rtds.flags, xen::XEN_DOMCTL_SCHEDRT_extra);
    EXPECT_EQ(list[1].u.rtds.budget, 4'000u);
    EXPECT_EQ(list[2].u.rtds.budget, 3'000u);
    EXPECT_EQ(list[2].u.rtds.flags, 0u);
    list[0].vcpuid = 3;
    EXPECT_EQ(call(xen::XEN_DOMCTL_SCHEDOP_getvcpuinfo, 1), Errc::inval) << "no such vCPU";
    list[0] = {{}, 0};
    EXPECT_EQ(call(xen::XEN_DOMCTL_SCHEDOP_putvcpuinfo, 1), Errc::inval) << "no budget";
    EXPECT_EQ(call(xen::XEN_DOMCTL_SCHEDOP_getvcpuinfo, 1, xen::XEN_SCHEDULER_CREDIT2), Errc::inval);
}

struct RtdsLife : Rtds, ::testing::WithParamInterface<unsigned> {};
TEST_P(RtdsLife, Random) {
    random_life(xen::XEN_SCHEDULER_RTDS, GetParam(), Idle::never_beside_a_waiter, [](int) {});
}
INSTANTIATE_TEST_SUITE_P(Seeds, RtdsLife, ::testing::Range(1u, 9u));

}  // namespace
