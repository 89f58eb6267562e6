// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// null: a CPU for each vCPU.
#include "tests/host/hv_policy.hpp"

namespace {

using namespace hvtest;

struct Null : PolicyTest {
    void make(unsigned n) { make_pool(xen::XEN_SCHEDULER_NULL, n); }
};

TEST_F(Null, EachHasACpuOfItsOwn) {
    make(3);
    for (int i = 0; i < 3; ++i) add();
    for (const double s : shares()) EXPECT_DOUBLE_EQ(s, 1.0);
}

TEST_F(Null, WhoFindsNoneWaitsUntilOneGoes) {
    make(2);
    Guest& a = add();
    add();
    Guest& late = add();
    Guest& later = add();
    auto s = shares();
    EXPECT_DOUBLE_EQ(s[0] + s[1], 2.0);
    EXPECT_DOUBLE_EQ(s[2] + s[3], 0.0);
    // Blocking gives nothing away.
    block(a.vcpu());
    sim.run(Nanos::ms(10));
    EXPECT_EQ(late.vcpu().running_on.load(), -1);
    // Being taken down does.
    a.vcpu().pause_flags.fetch_or(vpf_down);
    sched::policy_of(a.vcpu()).sleep(a.vcpu());
    sim.settle();
    EXPECT_GE(late.vcpu().running_on.load(), 0) << "it came first";
    EXPECT_EQ(later.vcpu().running_on.load(), -1);
    a.vcpu().pause_flags.store(0);
    sched::policy_of(a.vcpu()).wake(a.vcpu());
    sim.settle();
    EXPECT_EQ(a.vcpu().running_on.load(), -1);
    late.stop();
    sim.settle();
    late.destroy();
    sim.settle();
    EXPECT_GE(a.vcpu().running_on.load() + later.vcpu().running_on.load(), 0);
    guests.erase(guests.begin() + 2);
}

TEST_F(Null, WhoMayNotStayFindsAnother) {
    make(2);
    Guest& a = add();
    sim.settle();
    const auto was = static_cast<unsigned>(a.vcpu().running_on.load());
    const unsigned other = was == pool->first() ? was + 1 : pool->first();
    a.vcpu().affinity.store(CpuSet::of(other));
    sched::policy_of(a.vcpu()).affinity_changed(a.vcpu());
    sim.settle();
    EXPECT_EQ(a.vcpu().running_on.load(), static_cast<int32_t>(other));
}

TEST_F(Null, HasNoParameters) {
    make(1);
    Guest& g = place();
    xenolith::SchedGroupOp op{};
    EXPECT_EQ(group_op(g, xen::XEN_DOMCTL_SCHEDOP_getinfo, op), Errc{});
    EXPECT_EQ(group_op(g, 4, op), Errc::inval);
    xenolith::SchedPolicyOp all{};
    EXPECT_EQ(policy_op(xen::XEN_SYSCTL_SCHEDOP_getinfo, all), Errc{});
    EXPECT_EQ(policy_op(2, all), Errc::inval);
}

struct NullLife : Null, ::testing::WithParamInterface<unsigned> {};
TEST_P(NullLife, Random) {
    random_life(xen::XEN_SCHEDULER_NULL, GetParam(), Idle::as_the_policy_says, [&](int step) {
        bool taken[test_cpus] = {};
        for (auto& g : guests)
            for (unsigned i = 0; i < 2; ++i) {
                const SharedUnit& e = shared_data(g->vcpu(i));
                if (!e.seat) continue;
                ASSERT_FALSE(taken[e.seat - 1]) << "step " << step << ": two on one seat";
                taken[e.seat - 1] = true;
                ASSERT_EQ(e.runs, g->vcpu(i).runnable()) << "step " << step << ": who has a CPU waits for nobody";
            }
        for (auto& g : guests)
            for (unsigned i = 0; i < 2; ++i) {
                const SharedUnit& e = shared_data(g->vcpu(i));
                if (e.seat || !e.waits) continue;
                const CpuSet places = g->vcpu(i).affinity.load() & (*pool)->cpus.load();
                for (const unsigned c : places.empty() ? (*pool)->cpus.load() : places)
                    ASSERT_TRUE(taken[c]) << "step " << step << ": a seat is free that one waits for";
            }
    });
}
INSTANTIATE_TEST_SUITE_P(Seeds, NullLife, ::testing::Range(1u, 9u));

}  // namespace
