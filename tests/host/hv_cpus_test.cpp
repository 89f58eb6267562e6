// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// Machines of 1, 64, 65 and 512 CPUs: sets of CPUs, who is made to flush, where a vCPU wakes up, tools' bitmaps.
#include <set>

#include "abi/xen/domctl.hpp"
#include "abi/xen/platform.hpp"
#include "hypervisor/mm/tlb.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;

/// The machine has 512 CPUs; a test looks at it as if it had fewer.
class Cpus : public ::testing::TestWithParam<unsigned> {
protected:
    const unsigned n = GetParam();
    Cpus() {
        machine(max_cpus);
        cpu_words = cpu_words_for(n);
        set_cpu_count(n);
    }
    ~Cpus() override {
        cpu_words = max_cpu_words;
        set_cpu_count(max_cpus);
    }
    std::set<unsigned> members(const CpuSet& s) {
        std::set<unsigned> all;
        for (const unsigned c : s) EXPECT_TRUE(all.insert(c).second) << c << " twice";
        return all;
    }
};

INSTANTIATE_TEST_SUITE_P(Sizes, Cpus, ::testing::Values(1, 64, 65, 512));

TEST_P(Cpus, WordsInUse) { EXPECT_EQ(cpu_words, n == 1 || n == 64 ? 1u : n == 65 ? 2u : 8u); }

TEST_P(Cpus, ASetHoldsWhatWasAdded) {
    CpuSet s;
    EXPECT_TRUE(s.empty());
    EXPECT_EQ(s.first(), max_cpus);
    EXPECT_EQ(members(s), std::set<unsigned>());
    std::set<unsigned> wanted;
    for (unsigned c = n; c-- > 0;) {
        if (c % 7 != 0 && c != n - 1) continue;
        s.add(c);
        wanted.insert(c);
        EXPECT_EQ(s.first(), c);
    }
    EXPECT_EQ(members(s), wanted);
    EXPECT_EQ(s.count(), wanted.size());
    for (unsigned c = 0; c < n; ++c) EXPECT_EQ(s.has(c), wanted.contains(c)) << c;
    s.remove(n - 1);
    wanted.erase(n - 1);
    EXPECT_EQ(members(s), wanted);
}

TEST_P(Cpus, OperationsOnTwoSets) {
    CpuSet even, low = CpuSet::below((n + 1) / 2);
    for (unsigned c = 0; c < n; c += 2) even.add(c);
    std::set<unsigned> both, either;
    for (unsigned c = 0; c < n; ++c) {
        if (c % 2 == 0 && c < (n + 1) / 2) both.insert(c);
        if (c % 2 == 0 || c < (n + 1) / 2) either.insert(c);
    }
    EXPECT_EQ(members(even & low), both);
    EXPECT_EQ(members(even | low), either);
    EXPECT_TRUE((even | low).covers(even));
    EXPECT_EQ(even.covers(even | low), n == 1);
    EXPECT_EQ(even == low, n == 1);
    EXPECT_TRUE(CpuSet::any().covers(online_cpus()));
    EXPECT_EQ(online_cpus().count(), n);
    const CpuSet last = CpuSet::of(n - 1);
    EXPECT_EQ(members(last), std::set<unsigned>{n - 1});
    EXPECT_TRUE(online_cpus().covers(last));
    EXPECT_TRUE(CpuSet::below(n - 1).empty() == (n == 1) && !CpuSet::below(n - 1).has(n - 1));
}

TEST_P(Cpus, AMaskIsChangedOneByOneOrWhole) {
    CpuMask m;
    EXPECT_TRUE(m.empty());
    EXPECT_EQ(m.none_but(0), n <= 64);
    m.set(n - 1);
    EXPECT_EQ(m.none_but(n - 1), n <= 64);
    EXPECT_EQ(m.none_but(0), n == 1);
    EXPECT_TRUE(m.test(n - 1));
    EXPECT_FALSE(m.empty());
    EXPECT_EQ(m.load(), CpuSet::of(n - 1));
    EXPECT_EQ(m.load_behind_writes(), CpuSet::of(n - 1));
    m.store(online_cpus());
    EXPECT_EQ(m.load().count(), n);
    m.clear(n - 1);
    EXPECT_FALSE(m.test(n - 1));
    EXPECT_EQ(m.load().count(), n - 1);
}

TEST_P(Cpus, OnlyWhoMayStillTranslateFlushes) {
    PageInfo page;
    tlb_clock = 1000;
    tlb_stamp(page);
    std::vector<uint64_t> before;
    CpuSet owners;
    for (unsigned c = 0; c < n; ++c) {
        cpus[c].tlb_time = c % 3 == 0 ? 1001 : 500;  // every third one has flushed since
        if (c != 1) owners.add(c);
        before.push_back(host::record(c).tlb_flushes);
    }
    tlb_clock = 1001;
    tlb_flush_before_reuse(page, owners);
    for (unsigned c = 0; c < n; ++c)
        EXPECT_EQ(host::record(c).tlb_flushes - before[c], c % 3 != 0 && c != 1 ? 1u : 0u) << "CPU " << c;
    const uint64_t beyond = n < max_cpus ? host::record(n).tlb_flushes.load() : 0;
    arch::flush_tlb(online_cpus());
    if (n < max_cpus) { EXPECT_EQ(host::record(n).tlb_flushes, beyond) << "a CPU that there is not"; }
}

TEST_P(Cpus, AToolsBitmapHasAnyLength) {
    Guest& dom0 = control_domain();
    const auto with_room = [&](uint32_t bits) {
        std::vector<uint8_t> map((bits + 7) / 8 + 1, 0xa5);
        auto op = xen::zeroed<xen::Domctl>();
        op.cmd = xen::XEN_DOMCTL_setvcpuaffinity;
        op.interface_version = xen::XEN_DOMCTL_INTERFACE_VERSION;
        auto& a = op.u.vcpuaffinity;
        a.flags = xen::XEN_VCPUAFFINITY_HARD;
        a.cpumap_hard = {{address(map.data())}, bits, 0};
        std::fill(map.begin(), map.end() - 1, uint8_t{0});
        const unsigned last = std::min(bits, n) - 1;
        map[last / 8] = static_cast<uint8_t>(1 << last % 8);
        EXPECT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_domctl), dom0.vcpu(), address(&op))) << bits;
        EXPECT_EQ(map.back(), 0xa5) << "behind the map";
        EXPECT_EQ(dom0.vcpu().affinity.load(), n == 1 ? CpuSet::any() : CpuSet::of(last)) << bits << " bits";
        std::fill(map.begin(), map.end() - 1, uint8_t{0xff});
        op.cmd = xen::XEN_DOMCTL_getvcpuaffinity;
        EXPECT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_domctl), dom0.vcpu(), address(&op))) << bits;
        EXPECT_TRUE(map[last / 8] >> last % 8 & 1) << bits;
        for (unsigned c = 0; n > 1 && c + 1 < map.size() * 8 - 7 && c / 8 + 1 < map.size(); ++c)
            EXPECT_EQ(map[c / 8] >> c % 8 & 1, c == last) << "bit " << c << " of " << bits;
        // All that there are is any; one that there is not is refused.
        std::fill(map.begin(), map.end() - 1, uint8_t{0xff});
        op.cmd = xen::XEN_DOMCTL_setvcpuaffinity;
        EXPECT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_domctl), dom0.vcpu(), address(&op)));
        EXPECT_EQ(dom0.vcpu().affinity.load(), bits >= n ? CpuSet::any() : CpuSet::below(bits)) << bits << " bits";
        if (bits <= n) return;
        std::fill(map.begin(), map.end() - 1, uint8_t{0});
        map[n / 8] = static_cast<uint8_t>(1 << n % 8);
        const auto r = hypercall(hypercall_handler(xen::HYPERVISOR_domctl), dom0.vcpu(), address(&op));
        EXPECT_TRUE(!r && r.error() == Errc::inval) << bits;
    };
    for (const uint32_t bits : {1u, 8u, 13u, 64u, 65u, 100u, 512u, 1000u}) with_room(bits);
}

/// dom0's question for idle times names CPUs in a bitmap, and gets an array by number.
TEST_P(Cpus, IdleTimesOfAllCpus) {
    Guest& dom0 = control_domain();
    std::vector<uint8_t> map(max_cpus / 8, 0xff);
    std::vector<uint64_t> times(max_cpus, 77);
    auto op = xen::zeroed<xen::PlatformOp>();
    op.cmd = xen::XENPF_getidletime;
    op.interface_version = xen::XENPF_INTERFACE_VERSION;
    op.u.getidletime.cpumap_bitmap.addr = address(map.data());
    op.u.getidletime.cpumap_nr_cpus = max_cpus;
    op.u.getidletime.idletime.addr = address(times.data());
    host::advance(base::Nanos::ms(1));
    ASSERT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_platform_op), dom0.vcpu(), address(&op)));
    for (unsigned c = 0; c < max_cpus; ++c) {
        EXPECT_EQ(map[c / 8] >> c % 8 & 1, c < n) << c;
        EXPECT_EQ(times[c] != 77, c < n) << c;
    }
}

class Scheduling : public ::testing::Test {
protected:
    Scheduling() { machine(max_cpus); }
    static void settle(std::initializer_list<unsigned> which) {
        for (int turn = 0; turn < 4; ++turn)
            for (const unsigned c : which) {
                host::become(c);
                host::soft_interrupts();
            }
        host::become(0);
    }
};

TEST_F(Scheduling, AVcpuWakesUpOnAnIdleCpuOfAnyWord) {
    Guest g(7, 3);
    CpuSet two;
    two.add(300);
    two.add(509);
    g.vcpu(0).soft_affinity.store(CpuSet::of(509));
    for (unsigned i = 0; i < 3; ++i) {
        g.vcpu(i).affinity.store(two);
        sched::policy_of(g.vcpu(i)).affinity_changed(g.vcpu(i));
    }
    g.start();
    settle({300, 509});
    EXPECT_EQ(g.vcpu(0).running_on, 509) << "where it likes to be";
    EXPECT_EQ(g.vcpu(1).running_on, 300) << "the other idle one";
    EXPECT_EQ(g.vcpu(2).running_on, -1) << "waits: no third CPU is allowed";
    // A place in another word is free: it goes there at once.
    g.vcpu(2).affinity.store(CpuSet::of(64));
    sched::policy_of(g.vcpu(2)).affinity_changed(g.vcpu(2));
    settle({64, 300, 509});
    EXPECT_EQ(g.vcpu(2).running_on, 64);
    g.stop();
    settle({64, 300, 509});
}

TEST_F(Scheduling, WhoMayRunOnlyOnACpuThatLeavesMayRunAnywhere) {
    Guest g(8);
    g.vcpu().affinity.store(CpuSet::of(511));
    sched::policy_of(g.vcpu()).affinity_changed(g.vcpu());
    g.start();
    settle({511});
    ASSERT_EQ(g.vcpu().running_on, 511);
    sched::pool0().policy->remove_cpu(511);
    settle({511, 0});
    EXPECT_EQ(g.vcpu().running_on, 0) << "the first of those that stay";
    sched::pool0().policy->add_cpu(511, *cpus[511].idle);
    settle({0, 511});
    EXPECT_EQ(g.vcpu().running_on, 511);
    g.stop();
    settle({0, 511});
}

}  // namespace
