// SPDX-License-Identifier: Apache-2.0
// link: hvcore
// tsan
/// Performance counters and the profile of locks, as xenperf and xenlockprof read them.
#include <atomic>
#include <chrono>
#include <map>
#include <string>
#include <thread>

#include "abi/xen/sysctl.hpp"
#include "hypervisor/domain/run.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/hypercall/trace_control.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/sync/lock_profile.hpp"
#include "hypervisor/sync/spinlock.hpp"
#include "hypervisor/trace/counters.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;
constexpr uint64_t nowhere = 64;  ///< the first page faults
constexpr uint32_t guest_word = 0xa5a5a5a5;

struct Values {
    uint32_t counters = 0, values = 0;
    std::vector<xen::SysctlPerfcDesc> names;
    std::vector<uint32_t> all;
    /// One counter's values. Fails where there is no such name.
    std::vector<uint32_t> of(const std::string& name) const {
        size_t at = 0;
        for (const auto& d : names) {
            if (name == d.name) return {all.begin() + static_cast<long>(at), all.begin() + static_cast<long>(at + d.nr_vals)};
            at += d.nr_vals;
        }
        ADD_FAILURE() << name;
        return {};
    }
};

class Counters : public ::testing::Test {
protected:
    Guest& dom0 = control_domain();

    void SetUp() override {
        host::become(0);
        counters_end();
    }
    void TearDown() override {
        counters_end();
        host::preempt_every(0);
        host::become(0);
    }

    static Errc ask(Guest& caller, xen::Sysctl& op, uint32_t what, unsigned* turns = nullptr) {
        op.cmd = what;
        op.interface_version = xen::XEN_SYSCTL_INTERFACE_VERSION;
        const auto r = hypercall(hypercall_handler(xen::HYPERVISOR_sysctl), caller.vcpu(), address(&op), 0, 0, turns);
        return r ? Errc{} : r.error();
    }
    static Errc perfc(Guest& caller, uint32_t cmd, uint64_t desc = 0, uint64_t val = 0, xen::SysctlPerfcOp* out = nullptr,
                      unsigned* turns = nullptr) {
        auto op = xen::zeroed<xen::Sysctl>();
        op.u.perfc_op.cmd = cmd;
        op.u.perfc_op.desc.addr = desc;
        op.u.perfc_op.val.addr = val;
        const Errc e = ask(caller, op, xen::XEN_SYSCTL_perfc_op, turns);
        if (out) *out = op.u.perfc_op;
        return e;
    }
    Errc perfc(uint32_t cmd) { return perfc(dom0, cmd); }
    Values read(unsigned* turns = nullptr) {
        xen::SysctlPerfcOp sizes{};
        EXPECT_EQ(perfc(dom0, xen::XEN_SYSCTL_PERFCOP_query, 0, 0, &sizes), Errc{});
        Values v{sizes.nr_counters, sizes.nr_vals, {}, {}};
        v.names.resize(v.counters + 1);
        v.all.resize(v.values + 1, guest_word);
        std::memset(&v.names.back(), 0x5a, sizeof v.names.back());
        const auto last = v.names.back();
        EXPECT_EQ(perfc(dom0, xen::XEN_SYSCTL_PERFCOP_query, address(v.names.data()), address(v.all.data()), nullptr, turns),
                  Errc{});
        EXPECT_EQ(std::memcmp(&last, &v.names.back(), sizeof last), 0) << "more descriptions than were announced";
        EXPECT_EQ(v.all.back(), guest_word) << "more values than were announced";
        v.names.pop_back();
        v.all.pop_back();
        return v;
    }
    static uint64_t make(Vcpu& v, uint64_t op, uint64_t a0, uint64_t a1 = 0) {
        Regs r{};
        r.rax = op;
        r.rdi = a0;
        r.rsi = a1;
        hypercall_dispatch(v, r);
        return r.rax;
    }
};

TEST_F(Counters, NamesAndSizesFit) {
    const Values v = read();
    std::map<std::string, int> seen;
    uint64_t sum = 0;
    for (const auto& d : v.names) {
        EXPECT_NE(std::memchr(d.name, 0, sizeof d.name), nullptr);
        EXPECT_GT(std::string(d.name).size(), 3u);
        EXPECT_EQ(seen[d.name]++, 0) << d.name;
        EXPECT_GT(d.nr_vals, 0u);
        sum += d.nr_vals;
    }
    EXPECT_EQ(sum, v.values);
    EXPECT_EQ(v.of("vCPUs that yielded").size(), cpu_count) << "a value for each CPU";
}

TEST_F(Counters, NothingIsCountedBeforeSomebodyAsksNorAfterTheEnd) {
    Guest g(70);
    const auto calls = [&] { return read().of("hypercalls, by number")[xen::HYPERVISOR_xen_version]; };
    ASSERT_FALSE(trace::on());
    make(g.vcpu(), xen::HYPERVISOR_xen_version, 0);
    EXPECT_EQ(calls(), 0u);
    ASSERT_EQ(perfc(xen::XEN_SYSCTL_PERFCOP_reset), Errc{});
    for (int i = 0; i < 3; ++i) EXPECT_EQ(make(g.vcpu(), xen::HYPERVISOR_xen_version, 0), 0x40011u);
    EXPECT_EQ(calls(), 3u);
    ASSERT_EQ(perfc(xen::XEN_SYSCTL_PERFCOP_reset), Errc{});
    EXPECT_EQ(calls(), 0u);
    make(g.vcpu(), xen::HYPERVISOR_xen_version, 0);
    counters_end();
    EXPECT_FALSE(trace::on()) << "nobody pays any more";
    make(g.vcpu(), xen::HYPERVISOR_xen_version, 0);
    EXPECT_EQ(calls(), 1u) << "what was counted stays";
}

TEST_F(Counters, EachHasItsPlace) {
    Guest g(71);
    Vcpu& v = g.vcpu();
    ASSERT_EQ(perfc(xen::XEN_SYSCTL_PERFCOP_reset), Errc{});
    xen::MulticallEntry list[3]{};
    for (auto& e : list) e.op = xen::HYPERVISOR_xen_version;
    list[2].op = 0xfffff'ffff;
    EXPECT_EQ(make(v, xen::HYPERVISOR_multicall, address(list), 3), 0u);
    Values now = read();
    EXPECT_EQ(now.of("hypercalls, by number")[xen::HYPERVISOR_multicall], 1u);
    EXPECT_EQ(now.of("calls in multicalls, by number")[xen::HYPERVISOR_xen_version], 2u);
    EXPECT_EQ(now.of("calls in multicalls, by number")[63], 1u);

    constexpr unsigned cpu = 1;
    v.affinity.store(CpuSet::any().where([](unsigned c) { return c == cpu; }));
    sched::policy_of(v).affinity_changed(v);
    g.start();
    host::become(cpu);
    schedule();
    ASSERT_EQ(&current(), &v);
    vcpu_yield_current();
    vcpu_block_current();
    schedule();
    host::become(0);
    now = read();
    EXPECT_EQ(now.of("vCPUs that yielded"), (std::vector<uint32_t>{0, 1, 0, 0}));
    EXPECT_EQ(now.of("vCPUs that blocked"), (std::vector<uint32_t>{0, 1, 0, 0}));
    EXPECT_EQ(now.of("switches of vCPUs")[cpu], 2u);
    const auto states = now.of("run state changes, from * 4 + to");
    EXPECT_EQ(states[xen::RUNSTATE_running * 4 + xen::RUNSTATE_blocked], 1u);
    EXPECT_GE(states[xen::RUNSTATE_runnable * 4 + xen::RUNSTATE_running], 1u);
}

TEST_F(Counters, TracingAndCountingLeaveEachOtherAlone) {
    Guest g(72);
    ASSERT_EQ(perfc(xen::XEN_SYSCTL_PERFCOP_reset), Errc{});
    trace_events(xen::TRC_SCHED);
    trace::enable();
    EXPECT_TRUE(counters::counting());
    EXPECT_TRUE(trace::wants(xen::TRC_SCHED_WAKE));
    EXPECT_FALSE(trace::wants(xen::TRC_PV_HYPERCALL_V2));
    trace_events(xen::TRC_MEM);
    EXPECT_FALSE(trace::wants(xen::TRC_SCHED_WAKE));
    make(g.vcpu(), xen::HYPERVISOR_xen_version, 0);
    trace_end();
    EXPECT_TRUE(counters::counting());
    make(g.vcpu(), xen::HYPERVISOR_xen_version, 0);
    EXPECT_EQ(read().of("hypercalls, by number")[xen::HYPERVISOR_xen_version], 2u);
    trace::enable();
    counters_end();
    EXPECT_TRUE(trace::wants(xen::TRC_MEM_PAGE_GRANT_MAP));
    trace_end();
    trace_events(xen::TRC_ALL);
    EXPECT_FALSE(trace::on());
}

TEST_F(Counters, WhatIsRefused) {
    Guest g(73);
    EXPECT_EQ(perfc(g, xen::XEN_SYSCTL_PERFCOP_query), Errc::perm);
    EXPECT_EQ(perfc(g, xen::XEN_SYSCTL_PERFCOP_reset), Errc::perm);
    EXPECT_FALSE(counters::counting());
    EXPECT_EQ(perfc(0), Errc::inval);
    EXPECT_EQ(perfc(3), Errc::inval);
    EXPECT_EQ(perfc(dom0, xen::XEN_SYSCTL_PERFCOP_query, nowhere), Errc::fault);
    EXPECT_EQ(perfc(dom0, xen::XEN_SYSCTL_PERFCOP_query, 0, nowhere), Errc::fault);
}

TEST_F(Counters, ALongAnswerStopsAndGoesOn) {
    ASSERT_EQ(perfc(xen::XEN_SYSCTL_PERFCOP_reset), Errc{});
    const Values whole = read();
    host::preempt_every(1);
    unsigned turns = 0;
    const Values parts = read(&turns);
    EXPECT_EQ(turns, whole.counters);
    EXPECT_EQ(parts.values, whole.values);
    for (size_t i = 0; i < whole.names.size(); ++i) EXPECT_STREQ(parts.names[i].name, whole.names[i].name);
    EXPECT_EQ(std::count(parts.all.begin(), parts.all.end(), guest_word), 0);
}

TEST_F(Counters, AnotherCpuCountsWhileTheyAreRead) {
    ASSERT_EQ(perfc(xen::XEN_SYSCTL_PERFCOP_reset), Errc{});
    constexpr uint32_t times = 200'000;
    std::thread other([] {
        host::become(1);
        for (uint32_t i = 0; i < times; ++i) counters::count(counters::Counter::timers);
    });
    uint32_t last = 0;
    for (int i = 0; i < 200; ++i) {
        const uint32_t now = read().of("timers that came")[1];
        EXPECT_GE(now, last);
        last = now;
    }
    other.join();
    EXPECT_EQ(read().of("timers that came"), (std::vector<uint32_t>{0, times, 0, 0}));
}

// -- locks ------------------------------------------------------------------------------------------------------------

class Locks : public Counters {
protected:
    Errc lockprof(Guest& caller, uint32_t cmd, std::vector<xen::SysctlLockprofData>* out = nullptr, uint64_t* time = nullptr) {
        auto op = xen::zeroed<xen::Sysctl>();
        op.u.lockprof_op.cmd = cmd;
        if (out) op.u.lockprof_op.data.addr = address(out->data());
        if (out) op.u.lockprof_op.max_elem = static_cast<uint32_t>(out->size());
        const Errc e = ask(caller, op, xen::XEN_SYSCTL_lockprof_op);
        count = op.u.lockprof_op.nr_elem;
        if (time) *time = op.u.lockprof_op.time;
        return e;
    }
    xen::SysctlLockprofData of(const std::string& name) {
        std::vector<xen::SysctlLockprofData> all(64);
        EXPECT_EQ(lockprof(dom0, xen::XEN_SYSCTL_LOCKPROF_query, &all), Errc{});
        for (uint32_t i = 0; i < count; ++i)
            if (name == all[i].name) return all[i];
        ADD_FAILURE() << name;
        return {};
    }
    uint32_t count = 0;
};

/// Waits for a lock of this rank while another CPU holds it for this long.
void wait_for(Rank rank, Nanos held) {
    Spinlock lock(rank);
    std::atomic<int> step{0};
    std::thread holder([&] {
        host::become(1);
        Guard g(lock);
        step.store(1);
        while (step.load() != 2) std::this_thread::yield();
        std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the other one has come to the lock by then
        host::advance(held);
    });
    while (step.load() != 1) std::this_thread::yield();
    step.store(2);
    { Guard g(lock); }
    holder.join();
}

TEST_F(Locks, AWaitIsCountedWithItsTime) {
    ASSERT_EQ(lockprof(dom0, xen::XEN_SYSCTL_LOCKPROF_reset), Errc{});
    EXPECT_EQ(of("grant").block_cnt, 0u);
    wait_for(Rank::grant, Nanos::ms(5));
    const auto d = of("grant");
    EXPECT_EQ(d.type, static_cast<int32_t>(xen::LOCKPROF_TYPE_GLOBAL));
    EXPECT_EQ(d.block_cnt, 1u);
    EXPECT_NEAR(static_cast<double>(d.block_time), 5e6, 1e3);
    EXPECT_EQ(of("grant_maptrack").block_cnt, 0u);
    ASSERT_EQ(lockprof(dom0, xen::XEN_SYSCTL_LOCKPROF_reset), Errc{});
    EXPECT_EQ(of("grant").block_cnt, 0u);
    EXPECT_EQ(of("grant").block_time, 0u);
}

TEST_F(Locks, TakingIsCountedInDebugImagesAlone) {
    ASSERT_EQ(lockprof(dom0, xen::XEN_SYSCTL_LOCKPROF_reset), Errc{});
    Spinlock lock(Rank::pci);
    for (int i = 0; i < 7; ++i) {
        Guard g(lock);
        host::advance(Nanos::us(3));
    }
#ifdef HV_DEBUG
    EXPECT_EQ(of("pci").lock_cnt, 7u);
    EXPECT_NEAR(static_cast<double>(of("pci").lock_time), 21e3, 100);
#else
    EXPECT_EQ(of("pci").lock_cnt, 0u);
    EXPECT_EQ(of("pci").lock_time, 0u);
#endif
    EXPECT_EQ(of("pci").block_cnt, 0u);
}

TEST_F(Locks, OnlyAsManyAreStoredAsThereIsRoomFor) {
    EXPECT_EQ(lockprof(dom0, xen::XEN_SYSCTL_LOCKPROF_query), Errc{});
    EXPECT_EQ(count, lock_profile::class_count);
    std::vector<xen::SysctlLockprofData> all(4);
    std::memset(&all[3], 0x5a, sizeof all[3]);
    const auto last = all[3];
    auto op = xen::zeroed<xen::Sysctl>();
    op.u.lockprof_op.cmd = xen::XEN_SYSCTL_LOCKPROF_query;
    op.u.lockprof_op.data.addr = address(all.data());
    op.u.lockprof_op.max_elem = 3;
    EXPECT_EQ(ask(dom0, op, xen::XEN_SYSCTL_lockprof_op), Errc{});
    EXPECT_EQ(op.u.lockprof_op.nr_elem, lock_profile::class_count) << "how many there are";
    EXPECT_STREQ(all[0].name, "console");
    EXPECT_STREQ(all[2].name, "timer");
    EXPECT_EQ(std::memcmp(&all[3], &last, sizeof last), 0);
    // More room than there are, and an array that is not there.
    op.u.lockprof_op.max_elem = ~0u;
    op.u.lockprof_op.data.addr = nowhere;
    EXPECT_EQ(ask(dom0, op, xen::XEN_SYSCTL_lockprof_op), Errc::fault);
}

TEST_F(Locks, TheTimeIsThatSinceTheReset) {
    ASSERT_EQ(lockprof(dom0, xen::XEN_SYSCTL_LOCKPROF_reset), Errc{});
    host::advance(Nanos::ms(30));
    uint64_t time = 0;
    EXPECT_EQ(lockprof(dom0, xen::XEN_SYSCTL_LOCKPROF_query, nullptr, &time), Errc{});
    EXPECT_EQ(time, 30'000'000u);
    EXPECT_EQ(lockprof(dom0, 0), Errc::inval);
    EXPECT_EQ(lockprof(dom0, 3), Errc::inval);
    Guest g(74);
    EXPECT_EQ(lockprof(g, xen::XEN_SYSCTL_LOCKPROF_query), Errc::perm);
    EXPECT_EQ(lockprof(g, xen::XEN_SYSCTL_LOCKPROF_reset), Errc::perm);
}

}  // namespace
