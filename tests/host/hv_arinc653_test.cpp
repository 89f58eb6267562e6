// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// ARINC 653: who runs when is what the table says.
#include "tests/host/hv_calls.hpp"
#include "tests/host/hv_policy.hpp"

namespace {

using namespace hvtest;
constexpr uint64_t ms = 1'000'000;

struct Arinc653 : PolicyTest {
    std::unique_ptr<xen::SysctlArinc653Schedule> table = std::make_unique<xen::SysctlArinc653Schedule>();

    void make(unsigned n) { make_pool(xen::XEN_SCHEDULER_ARINC653, n); }
    Guest& named(uint8_t name, unsigned vcpus = 1) {
        guests.push_back(std::make_unique<Guest>(static_cast<uint16_t>(guests.size() + 1), vcpus));
        Guest& g = *guests.back();
        std::memset(g->handle, name, sizeof g->handle);
        domain_move(*g.d, **pool);
        g.start();
        return g;
    }
    void entry(uint8_t name, uint32_t vcpu, uint64_t runtime) {
        auto& e = table->sched_entries[table->num_sched_entries++];
        std::memset(&e.dom_handle, name, sizeof e.dom_handle);
        e.vcpu_id = vcpu;
        e.runtime = runtime;
    }
    Errc set(uint64_t major) {
        table->major_frame = major;
        const auto s = policy().table(xen::XEN_SYSCTL_SCHEDOP_putinfo, *table);
        return s ? Errc{} : s.error();
    }
};

TEST_F(Arinc653, RunsWhatTheTableSays) {
    make(1);
    Guest& a = named(1, 2);
    Guest& b = named(2);
    named(3);
    sim.run(Nanos::ms(100));
    EXPECT_EQ(on(0), nullptr) << "nobody is in the table";
    entry(1, 0, 10 * ms);
    entry(2, 0, 5 * ms);
    entry(9, 0, 5 * ms);  // not there
    entry(1, 1, 10 * ms);
    ASSERT_EQ(set(40 * ms), Errc{});
    sim.settle();
    const int64_t begun = host::now().n;
    sim.run(Nanos::s(1), Nanos::us(500), [&] {
        const int64_t at = (host::now().n - begun) % static_cast<int64_t>(40 * ms);
        const Vcpu* wanted = at < 10'000'000   ? &a.vcpu(0)
                             : at < 15'000'000 ? &b.vcpu()
                             : at < 20'000'000 ? nullptr
                             : at < 30'000'000 ? &a.vcpu(1)
                                               : nullptr;
        ASSERT_EQ(on(0), wanted) << at;
    });
    const auto s = shares(Nanos::s(4));
    EXPECT_NEAR(s[0], 0.5, 0.001);
    EXPECT_NEAR(s[1], 0.125, 0.001);
    EXPECT_EQ(s[2], 0);
}

TEST_F(Arinc653, WhoSleepsLosesItsTurnToNobody) {
    make(1);
    Guest& a = named(1);
    named(2);
    entry(1, 0, 10 * ms);
    entry(2, 0, 10 * ms);
    ASSERT_EQ(set(20 * ms), Errc{});
    sim.run(Nanos::ms(2));
    block(a.vcpu());
    EXPECT_EQ(on(0), nullptr);
    host::become(0);
    vcpu_unblock(a.vcpu());
    sim.settle();
    EXPECT_EQ(on(0), &a.vcpu());
}

TEST_F(Arinc653, WhoComesLaterIsFoundByItsName) {
    make(1);
    entry(7, 0, 10 * ms);
    ASSERT_EQ(set(10 * ms), Errc{});
    Guest& g = named(7);
    sim.run(Nanos::ms(1));
    EXPECT_EQ(on(0), &g.vcpu());
    g.stop();
    sim.settle();
    guests.clear();
    sim.run(Nanos::ms(30));
    EXPECT_EQ(on(0), nullptr);
}

TEST_F(Arinc653, TablesHaveLimits) {
    make(1);
    EXPECT_EQ(set(10 * ms), Errc::inval) << "nothing in it";
    entry(1, 0, 10 * ms);
    EXPECT_EQ(set(0), Errc::inval);
    EXPECT_EQ(set(10 * ms - 1), Errc::inval);
    EXPECT_EQ(set(UINT64_MAX), Errc::inval);
    EXPECT_EQ(set(10 * ms), Errc{});
    entry(1, 0, 0);
    EXPECT_EQ(set(20 * ms), Errc::inval) << "a turn of no time";
    table->sched_entries[1].runtime = UINT64_MAX;
    EXPECT_EQ(set(20 * ms), Errc::inval);
    table->num_sched_entries = 65;
    EXPECT_EQ(set(20 * ms), Errc::inval);
    ASSERT_TRUE(policy().table(xen::XEN_SYSCTL_SCHEDOP_getinfo, *table));
    EXPECT_EQ(table->num_sched_entries, 1);
    EXPECT_EQ(table->major_frame, 10 * ms);
    EXPECT_EQ(table->sched_entries[0].runtime, 10 * ms);
    EXPECT_FALSE(policy().table(5, *table));
}

TEST_F(Arinc653, ByHypercall) {
    (void)control_domain();
    make(1);
    auto op = xen::zeroed<xen::Sysctl>();
    const auto call = [&](uint32_t cmd, void* where) {
        op.cmd = xen::XEN_SYSCTL_scheduler_op;
        op.interface_version = xen::XEN_SYSCTL_INTERFACE_VERSION;
        op.u.scheduler_op = {1, xen::XEN_SCHEDULER_ARINC653, cmd, 0, {}};
        op.u.scheduler_op.u.sched_arinc653.schedule.addr = address(static_cast<uint8_t*>(where));
        const auto r = hypercall(hypercall_handler(xen::HYPERVISOR_sysctl), control_domain().vcpu(), address(&op));
        return r ? Errc{} : r.error();
    };
    entry(4, 2, 7 * ms);
    table->major_frame = 8 * ms;
    ASSERT_EQ(call(xen::XEN_SYSCTL_SCHEDOP_putinfo, table.get()), Errc{});
    auto back = std::make_unique<xen::SysctlArinc653Schedule>();
    std::memset(back.get(), 0xff, sizeof *back);
    ASSERT_EQ(call(xen::XEN_SYSCTL_SCHEDOP_getinfo, back.get()), Errc{});
    EXPECT_EQ(std::memcmp(back.get(), table.get(), sizeof *back), 0) << "and nothing besides";
    EXPECT_EQ(call(xen::XEN_SYSCTL_SCHEDOP_getinfo, nullptr), Errc::fault);
    table->num_sched_entries = 0;
    EXPECT_EQ(call(xen::XEN_SYSCTL_SCHEDOP_putinfo, table.get()), Errc::inval);
}

struct Arinc653Life : Arinc653, ::testing::WithParamInterface<unsigned> {};
TEST_P(Arinc653Life, Random) {
    for (uint32_t i = 0; i < 2; ++i) entry(0, i, 3 * ms);  // both vCPUs of the domain that came last
    random_life(xen::XEN_SCHEDULER_ARINC653, GetParam(), Idle::as_the_policy_says, [&](int step) {
        if (step == 100) { ASSERT_EQ(set(10 * ms), Errc{}); }
        unsigned running = 0;
        for (unsigned n = 0; n < 3; ++n) running += on(n) != nullptr;
        ASSERT_LE(running, 1u) << step;
    });
}
INSTANTIATE_TEST_SUITE_P(Seeds, Arinc653Life, ::testing::Range(1u, 5u));

}  // namespace
