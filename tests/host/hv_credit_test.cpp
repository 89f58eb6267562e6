// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// credit: shares, caps, slices and the time for which who has run stays on its CPU.
#include <memory>
#include <vector>

#include "abi/xen/sysctl.hpp"
#include "hypervisor/domain/domain.hpp"
#include "tests/host/hv_simulation.hpp"

namespace {

using namespace hvtest;

struct Credit : ::testing::Test {
    Simulation sim{test_cpus};
    std::unique_ptr<TestPool> pool;
    std::vector<std::unique_ptr<Guest>> guests;

    void make_pool(unsigned cpu_count) { pool = std::make_unique<TestPool>(sim, xen::XEN_SCHEDULER_CREDIT, cpu_count); }
    Guest& add(uint16_t weight = 256, uint16_t cap = 0, unsigned vcpus = 1) {
        guests.push_back(std::make_unique<Guest>(static_cast<uint16_t>(guests.size() + 1), vcpus));
        Guest& g = *guests.back();
        domain_move(*g.d, **pool);
        EXPECT_TRUE(set_params(g->sched, weight, cap));
        g.start();
        return g;
    }
    std::vector<double> shares(Nanos duration = Nanos::s(1)) {
        sim.settle();
        std::vector<int64_t> before;
        for (auto& g : guests) before.push_back(time_of(*g));
        sim.run(duration);
        std::vector<double> got;
        for (size_t i = 0; i < guests.size(); ++i)
            got.push_back(static_cast<double>(time_of(*guests[i]) - before[i]) / static_cast<double>(duration.n));
        return got;
    }
    static int64_t time_of(Guest& g) {
        int64_t n = 0;
        for (unsigned i = 0; i < g->limits.max_vcpus; ++i) n += sched::runtime(g.vcpu(i)).n;
        return n;
    }
    Errc set(uint32_t tslice_ms, uint32_t ratelimit_us, uint32_t delay_us) {
        xenolith::SchedPolicyOp op{};
        op.cmd = xen::XEN_SYSCTL_SCHEDOP_putinfo;
        op.u.sched_credit = {tslice_ms, ratelimit_us, delay_us};
        const auto s = (*pool)->policy->policy_params(op);
        return s ? Errc{} : s.error();
    }
    xen::SysctlCreditSchedule get() {
        xenolith::SchedPolicyOp op{};
        op.cmd = xen::XEN_SYSCTL_SCHEDOP_getinfo;
        EXPECT_TRUE((*pool)->policy->policy_params(op));
        return op.u.sched_credit;
    }
    ~Credit() override {
        for (auto& g : guests) g->stop();
        sim.settle();
        guests.clear();
    }
};

TEST_F(Credit, SharesOnOneCpu) {
    make_pool(1);
    add(256);
    add(512);
    const auto s = shares();
    EXPECT_NEAR(s[0], 1.0 / 3, 0.02);
    EXPECT_NEAR(s[1], 2.0 / 3, 0.02);
}

TEST_F(Credit, SharesOnThreeCpus) {
    make_pool(3);
    for (int i = 0; i < 4; ++i) add(256);
    for (const double s : shares(Nanos::s(3))) EXPECT_NEAR(s, 0.75, 0.02);
}

TEST_F(Credit, CapsAreKept) {
    make_pool(3);
    add(256, 25);
    add(256, 150, 3);
    add(4096, 10);
    const auto s = shares();
    EXPECT_NEAR(s[0], 0.25, 0.005);
    EXPECT_NEAR(s[1], 1.5, 0.03);
    EXPECT_NEAR(s[2], 0.1, 0.002);
}

TEST_F(Credit, NobodyStarves) {
    make_pool(1);
    for (int i = 0; i < 20; ++i) add(static_cast<uint16_t>(i % 2 ? 4096 : 16));
    for (const double s : shares(Nanos::s(60))) EXPECT_GT(s, 0.00015);
}

TEST_F(Credit, ASliceIsAsLongAsItWasSaidToBe) {
    make_pool(1);
    add();
    add();
    const auto turns = [&](uint32_t ms) {
        EXPECT_EQ(set(ms, 0, 0), Errc{});
        int switches = 0;
        const Vcpu* last = cpus[pool->first()].current;
        sim.run(Nanos::s(10), Nanos::us(500), [&] {
            if (cpus[pool->first()].current != last) ++switches;
            last = cpus[pool->first()].current;
        });
        return switches;
    };
    EXPECT_NEAR(turns(30), 333, 10);
    EXPECT_NEAR(turns(5), 2000, 50);
    EXPECT_NEAR(turns(1000), 10, 2);
}

TEST_F(Credit, ALongSliceIsPaidFor) {
    make_pool(1);
    EXPECT_EQ(set(1000, 0, 0), Errc{});
    Guest& first = add();
    add();
    sim.run(Nanos::ms(3500));
    // Who has just had its second goes away for a moment: the other one has its turn nevertheless.
    host::become(pool->first());
    Vcpu& v = *cpus[pool->first()].current;
    vcpu_block_current();
    sim.settle();
    vcpu_unblock(v);
    sim.run(Nanos::s(20));
    const double half = static_cast<double>(time_of(first)) / 23.5e9;
    EXPECT_NEAR(half, 0.5, 0.05);
}

TEST_F(Credit, WhoHasRunStaysForTheDelay) {
    make_pool(2);
    EXPECT_EQ(set(30, 0, 10'000), Errc{});
    Guest& a = add();
    Guest& b = add();
    const unsigned left = pool->first(), right = left + 1;
    for (Guest* g : {&a, &b}) {
        g->vcpu().affinity.store(CpuSet::of(left));
        sched::policy_of(g->vcpu()).affinity_changed(g->vcpu());
    }
    sim.run(Nanos::ms(50));
    Guest& runs = cpus[left].current == &a.vcpu() ? a : b;
    Guest& waits = &runs == &a ? b : a;
    host::become(left);
    vcpu_yield_current();
    sim.settle();
    ASSERT_EQ(cpus[left].current, &waits.vcpu());
    // It ran until just now. It may go to the other CPU, which idles, but not at once.
    runs.vcpu().affinity.store(CpuSet::any());
    sched::policy_of(runs.vcpu()).affinity_changed(runs.vcpu());
    sim.run(Nanos::ms(9));
    EXPECT_TRUE(cpus[right].current->idle);
    sim.run(Nanos::ms(2));
    EXPECT_EQ(cpus[right].current, &runs.vcpu()) << "and nobody had to tell that CPU";
}

TEST_F(Credit, ParametersHaveXensLimits) {
    make_pool(1);
    EXPECT_EQ(get().tslice_ms, 30u);
    EXPECT_EQ(set(1, 0, 0), Errc{});
    EXPECT_EQ(set(1000, 500'000, 100'000), Errc{});
    EXPECT_EQ(set(0, 0, 0), Errc::inval);
    EXPECT_EQ(set(1001, 0, 0), Errc::inval);
    EXPECT_EQ(set(30, 99, 0), Errc::inval);
    EXPECT_EQ(set(1000, 500'001, 0), Errc::inval);
    EXPECT_EQ(set(2, 2001, 0), Errc::inval) << "longer than a slice";
    EXPECT_EQ(set(30, 0, 100'001), Errc::inval);
    EXPECT_EQ(get().tslice_ms, 1000u) << "what is refused changes nothing";
    EXPECT_EQ(get().ratelimit_us, 500'000u);
    EXPECT_EQ(get().vcpu_migr_delay_us, 100'000u);
    xenolith::SchedPolicyOp op{};
    op.cmd = 2;
    EXPECT_EQ((*pool)->policy->policy_params(op).error(), Errc::inval);
}

TEST_F(Credit, APoolBeginsWithWhatPoolsBeginWith) {
    make_pool(1);
    EXPECT_EQ(set(77, 0, 5), Errc{});
    pool.reset();
    make_pool(1);
    EXPECT_EQ(get().tslice_ms, 30u);
    EXPECT_EQ(get().vcpu_migr_delay_us, 0u);
}

TEST_F(Credit, WhoMovesHasTheUsualShareThere) {
    make_pool(1);
    Guest g(9);
    EXPECT_TRUE(set_params(g->sched, 1000, 50));
    domain_move(*g.d, **pool);
    EXPECT_EQ(g->sched.weight.load(), 256);
    EXPECT_EQ(g->sched.cap.load(), 0);
    g.start();
    sim.settle();
    EXPECT_EQ(cpus[pool->first()].current, &g.vcpu());
    g.stop();
    sim.settle();
}

}  // namespace
