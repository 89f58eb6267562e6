// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// What tools ask the hypervisor, beyond the life of domains: features of the CPU, pools, frame types, whole contexts, debug keys,
/// and dom0's questions about the machine.
#include <memory>
#include <string>

#include "abi/xen/domctl.hpp"
#include "abi/xen/platform.hpp"
#include "abi/xen/sysctl.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/guest/pv/descriptors.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/rt/log_ring.hpp"
#include "hypervisor/sched/scheduler.hpp"
#include "tests/host/hv_paged_guest.hpp"

namespace {

using namespace hvtest;

Errc error_of(auto&& r) { return r ? Errc{} : r.error(); }

class Tools : public ::testing::Test {
protected:
    Guest& dom0 = control_domain();
    CpuPolicy saved_raw = raw_policy, saved_pv = pv_policy;
    ~Tools() override {
        raw_policy = saved_raw;
        pv_policy = saved_pv;
    }
    xen::Sysctl sys(uint32_t cmd) {
        auto op = xen::zeroed<xen::Sysctl>();
        op.cmd = cmd;
        op.interface_version = xen::XEN_SYSCTL_INTERFACE_VERSION;
        return op;
    }
    xen::Domctl dom(uint32_t cmd, uint16_t domain) {
        auto op = xen::zeroed<xen::Domctl>();
        op.cmd = cmd;
        op.interface_version = xen::XEN_DOMCTL_INTERFACE_VERSION;
        op.domain = domain;
        return op;
    }
    xen::PlatformOp platform(uint32_t cmd) {
        auto op = xen::zeroed<xen::PlatformOp>();
        op.cmd = cmd;
        op.interface_version = xen::XENPF_INTERFACE_VERSION;
        return op;
    }
    Errc call(xen::Sysctl& op) {
        return error_of(hypercall(hypercall_handler(xen::HYPERVISOR_sysctl), dom0.vcpu(), address(&op)));
    }
    Errc call(xen::PlatformOp& op) {
        return error_of(hypercall(hypercall_handler(xen::HYPERVISOR_platform_op), dom0.vcpu(), address(&op)));
    }
    Errc call(xen::Domctl& op) {
        Vcpu* const running = std::exchange(this_cpu().current, &dom0.vcpu());
        const Errc e = error_of(hypercall(hypercall_handler(xen::HYPERVISOR_domctl), dom0.vcpu(), address(&op)));
        this_cpu().current = running;
        return e;
    }
};

constexpr uint32_t no_subleaf = xen::XEN_CPUID_NO_SUBLEAF;

TEST_F(Tools, FeatureWordsAreThoseOfTheLeaves) {
    constexpr uint32_t words = 14;
    ASSERT_TRUE(raw_policy.set({1, no_subleaf, 9, 9, 0x11, 0x10}));
    ASSERT_TRUE(raw_policy.set({7, 0, 0x77, 0x75, 0x76, 0x79}));
    ASSERT_TRUE(raw_policy.set({0xd, 1, 0xd1, 9, 9, 9}));
    ASSERT_TRUE(pv_policy.set({1, no_subleaf, 0, 0, 0x1, 0}));
    auto op = sys(xen::XEN_SYSCTL_get_cpu_featureset);
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(op.u.cpu_featureset.nr_features, words) << "without a buffer: how many";
    uint32_t got[words + 1];
    const auto ask = [&](uint32_t index, uint32_t room) {
        std::fill(std::begin(got), std::end(got), 0x5555u);
        op.u.cpu_featureset = {index, room, {address(got)}};
        return call(op);
    };
    ASSERT_EQ(ask(xen::XEN_SYSCTL_cpu_featureset_host, words + 1), Errc{});
    EXPECT_EQ(op.u.cpu_featureset.nr_features, words);
    EXPECT_EQ(got[0], 0x10u);
    EXPECT_EQ(got[1], 0x11u);
    EXPECT_EQ(got[4], 0xd1u);
    EXPECT_EQ(got[5], 0x75u);
    EXPECT_EQ(got[6], 0x76u);
    EXPECT_EQ(got[9], 0x79u);
    EXPECT_EQ(got[13], 0u) << "a leaf that is not there";
    EXPECT_EQ(got[words], 0x5555u);
    ASSERT_EQ(ask(xen::XEN_SYSCTL_cpu_featureset_pv, words), Errc{});
    EXPECT_EQ(got[1] & ~(1u << 31), 0x1u) << "the guests' own";
    EXPECT_EQ(ask(xen::XEN_SYSCTL_cpu_featureset_raw, 2), Errc::nobufs);
    EXPECT_EQ(op.u.cpu_featureset.nr_features, 2u);
    EXPECT_EQ(got[1], 0x11u);
    EXPECT_EQ(got[2], 0x5555u) << "no more than there is room for";
    EXPECT_EQ(ask(xen::XEN_SYSCTL_cpu_featureset_hvm, words), Errc::opnotsupp);
    EXPECT_EQ(ask(99, words), Errc::inval);
}

TEST_F(Tools, PoliciesAreCopiedWhole) {
    ASSERT_TRUE(raw_policy.set({1, no_subleaf, 1, 2, 3, 4}));
    ASSERT_TRUE(pv_policy.set({1, no_subleaf, 5, 6, 7, 8}));
    std::vector<xen::CpuidLeaf> leaves(CpuPolicy::capacity);
    auto op = sys(xen::XEN_SYSCTL_get_cpu_policy);
    const auto ask = [&](uint32_t index, uint32_t room) {
        op.u.cpu_policy = xen::zeroed<xen::SysctlCpuPolicy>();
        op.u.cpu_policy.index = index;
        op.u.cpu_policy.nr_leaves = room;
        op.u.cpu_policy.leaves = {room == ~0u ? 0 : address(leaves.data())};
        return call(op);
    };
    ASSERT_EQ(ask(xen::XEN_SYSCTL_cpu_policy_raw, ~0u), Errc{});
    EXPECT_EQ(op.u.cpu_policy.nr_leaves, CpuPolicy::capacity);
    const auto first_word = [&](uint32_t leaf) {
        for (uint32_t i = 0; i < op.u.cpu_policy.nr_leaves; ++i)
            if (leaves[i].leaf == leaf) return leaves[i].a;
        return ~0u;
    };
    ASSERT_EQ(ask(xen::XEN_SYSCTL_cpu_policy_host, CpuPolicy::capacity), Errc{});
    EXPECT_EQ(op.u.cpu_policy.nr_leaves, raw_policy.count);
    EXPECT_EQ(first_word(1), 1u);
    ASSERT_EQ(ask(xen::XEN_SYSCTL_cpu_policy_pv_default, CpuPolicy::capacity), Errc{});
    EXPECT_EQ(first_word(1), 5u);
    EXPECT_EQ(ask(xen::XEN_SYSCTL_cpu_policy_pv_max, 0), Errc::nobufs);
    EXPECT_EQ(ask(xen::XEN_SYSCTL_cpu_policy_hvm_max, 1), Errc::opnotsupp);
    EXPECT_EQ(ask(99, 1), Errc::inval);
    op.u.cpu_policy._rsvd = 1;
    EXPECT_EQ(call(op), Errc::inval);
}

TEST_F(Tools, ADomainsPolicyIsSetBeforeItRuns) {
    ASSERT_TRUE(pv_policy.set({1, no_subleaf, 0, 0, 3, 0xff}));
    Guest g(44);
    xen::CpuidLeaf leaf{1, no_subleaf, 0x1234, 0, 1, 0x7f};
    auto op = dom(xen::XEN_DOMCTL_set_cpu_policy, 44);
    op.u.cpu_policy.nr_leaves = 1;
    op.u.cpu_policy.leaves = {address(&leaf)};
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(op.u.cpu_policy.err_leaf, ~0u);
    EXPECT_EQ(domain_policy(g).find(1, no_subleaf)->d, 0x7fu);
    std::vector<xen::CpuidLeaf> leaves(CpuPolicy::capacity);
    auto get = dom(xen::XEN_DOMCTL_get_cpu_policy, 44);
    get.u.cpu_policy.nr_leaves = CpuPolicy::capacity;
    get.u.cpu_policy.leaves = {address(leaves.data())};
    ASSERT_EQ(call(get), Errc{});
    EXPECT_EQ(get.u.cpu_policy.nr_leaves, domain_policy(g).count);
    op.u.cpu_policy.leaves = {8};
    EXPECT_EQ(call(op), Errc::fault);
    op.u.cpu_policy.nr_leaves = CpuPolicy::capacity + 1;
    EXPECT_EQ(call(op), Errc::toobig);
    g->creation_finished.store(true);
    op.u.cpu_policy.nr_leaves = 1;
    op.u.cpu_policy.leaves = {address(&leaf)};
    EXPECT_EQ(call(op), Errc::exist);
}

class Pools : public Tools {
protected:
    static constexpr uint32_t any = xen::XEN_SYSCTL_CPUPOOL_PAR_ANY;
    uint8_t map[8] = {};
    xen::Sysctl op = sys(xen::XEN_SYSCTL_cpupool_op);
    xen::SysctlCpuPoolOp& p = op.u.cpupool_op;

    Errc ask(uint32_t what, uint32_t pool = 0, uint32_t cpu = 0, uint32_t domain = 0) {
        p.op = what;
        p.cpupool_id = pool;
        p.cpu = cpu;
        p.domid = domain;
        p.cpumap = {{address(map)}, 64, 0};
        return call(op);
    }
    Errc create(uint32_t pool, uint32_t scheduler = xen::XEN_SCHEDULER_CREDIT2) {
        p.sched_id = scheduler;
        return ask(xen::XEN_SYSCTL_CPUPOOL_OP_CREATE, pool);
    }
    Errc destroy(uint32_t pool) { return ask(xen::XEN_SYSCTL_CPUPOOL_OP_DESTROY, pool); }
    Errc add(uint32_t pool, uint32_t cpu) { return ask(xen::XEN_SYSCTL_CPUPOOL_OP_ADDCPU, pool, cpu); }
    Errc remove(uint32_t pool, uint32_t cpu) { return ask(xen::XEN_SYSCTL_CPUPOOL_OP_RMCPU, pool, cpu); }
    Errc move(uint32_t domain, uint32_t pool) { return ask(xen::XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, pool, 0, domain); }
    unsigned free_cpus() {
        EXPECT_EQ(ask(xen::XEN_SYSCTL_CPUPOOL_OP_FREEINFO), Errc{});
        return map[0];
    }
    unsigned cpus_of(uint32_t pool) {
        EXPECT_EQ(ask(xen::XEN_SYSCTL_CPUPOOL_OP_INFO, pool), Errc{});
        return p.cpupool_id == pool ? map[0] : ~0u;
    }
    uint32_t domains_of(uint32_t pool) { return cpus_of(pool) == ~0u ? ~0u : p.n_dom; }
};

// Each error is Xen 4.17's: the scenario `pools` asks it the same.
TEST_F(Pools, AreMadeAndTakenAway) {
    EXPECT_EQ(destroy(0), Errc::busy);
    EXPECT_EQ(destroy(5), Errc::noent);
    EXPECT_EQ(create(any, 1), Errc::noent);
    EXPECT_EQ(create(any, 99), Errc::noent);
    EXPECT_EQ(create(0), Errc::exist);
    ASSERT_EQ(create(any), Errc{});
    EXPECT_EQ(p.cpupool_id, 1u);
    ASSERT_EQ(create(7), Errc{});
    EXPECT_EQ(create(7), Errc::exist);
    ASSERT_EQ(create(any), Errc{});
    EXPECT_EQ(p.cpupool_id, 8u) << "behind the last one";
    ASSERT_EQ(ask(xen::XEN_SYSCTL_CPUPOOL_OP_INFO, 3), Errc{});
    EXPECT_EQ(p.cpupool_id, 7u) << "the first from there on";
    EXPECT_EQ(p.sched_id, xen::XEN_SCHEDULER_CREDIT2);
    EXPECT_EQ(ask(xen::XEN_SYSCTL_CPUPOOL_OP_INFO, 9), Errc::noent);
    unsigned more = 0;
    while (create(any) == Errc{}) ++more;
    EXPECT_EQ(more + 4, 2 * test_cpus);
    EXPECT_EQ(create(7), Errc::nospc);
    for (uint32_t id = 1; id < 100; ++id)
        EXPECT_EQ(destroy(id), id == 1 || (id >= 7 && id <= 8 + more) ? Errc{} : Errc::noent) << id;
    ASSERT_EQ(create(any - 1), Errc{});
    EXPECT_EQ(create(any), Errc::nospc) << "there is no number behind it";
    EXPECT_EQ(destroy(any - 1), Errc{});
    EXPECT_EQ(ask(xen::XEN_SYSCTL_CPUPOOL_OP_INFO, 1), Errc::noent);
    const size_t used = heap::bytes_in_use();
    for (int i = 0; i < 100; ++i) {
        ASSERT_EQ(create(any), Errc{});
        ASSERT_EQ(destroy(1), Errc{});
    }
    EXPECT_EQ(heap::bytes_in_use(), used) << "those that were destroyed are used again";
    EXPECT_EQ(ask(99), Errc::nosys);
    EXPECT_EQ(ask(0), Errc::nosys);
}

TEST_F(Pools, CpusGoFromOneToAnother) {
    constexpr unsigned all = (1u << test_cpus) - 1;
    ASSERT_EQ(create(7), Errc{});
    EXPECT_EQ(free_cpus(), 0u);
    EXPECT_EQ(add(7, 0), Errc::nodev) << "another's";
    EXPECT_EQ(add(7, any), Errc::nodev);
    EXPECT_EQ(add(7, test_cpus), Errc::inval);
    EXPECT_EQ(add(7, any - 1), Errc::inval);
    EXPECT_EQ(add(9, test_cpus), Errc::noent);
    EXPECT_EQ(remove(7, 0), Errc::addrnotavail);
    EXPECT_EQ(remove(7, any), Errc::inval);
    EXPECT_EQ(remove(9, test_cpus), Errc::noent);
    EXPECT_EQ(remove(0, test_cpus), Errc::inval);
    for (unsigned cpu = test_cpus; --cpu;) ASSERT_EQ(remove(0, any), Errc{});
    EXPECT_EQ(free_cpus(), all - 1);
    EXPECT_EQ(cpus_of(0), 1u);
    EXPECT_EQ(remove(0, 0), Errc::inval) << "the last one";
    EXPECT_EQ(remove(0, any), Errc::inval);
    EXPECT_EQ(remove(0, 1), Errc::addrnotavail);
    ASSERT_EQ(add(7, any), Errc{});
    EXPECT_EQ(cpus_of(7), 2u);
    EXPECT_EQ(destroy(7), Errc::busy);
    ASSERT_EQ(remove(7, 1), Errc{}) << "no domain, no need for a CPU";
    ASSERT_EQ(destroy(7), Errc{});
    for (unsigned cpu = 1; cpu < test_cpus; ++cpu) ASSERT_EQ(add(0, cpu), Errc{});
    EXPECT_EQ(cpus_of(0), all);
    EXPECT_EQ(free_cpus(), 0u);
}

TEST_F(Pools, DomainsAreMovedAndMadeThere) {
    Guest g(45);
    EXPECT_EQ(domains_of(0), 2u);
    ASSERT_EQ(create(3), Errc{});
    ASSERT_EQ(remove(0, 1), Errc{});
    EXPECT_EQ(move(45, 3), Errc::noent) << "it has no CPU";
    ASSERT_EQ(add(3, 1), Errc{});
    EXPECT_EQ(move(0, 3), Errc::perm);
    EXPECT_EQ(move(0, 9), Errc::perm);
    EXPECT_EQ(move(46, 9), Errc::srch);
    EXPECT_EQ(move(45, 9), Errc::noent);
    auto pin = dom(xen::XEN_DOMCTL_setvcpuaffinity, 45);
    pin.u.vcpuaffinity.flags = xen::XEN_VCPUAFFINITY_HARD;
    pin.u.vcpuaffinity.cpumap_hard = {{address(map)}, 64, 0};
    map[0] = 1;
    ASSERT_EQ(call(pin), Errc{});
    ASSERT_EQ(move(45, 3), Errc{});
    ASSERT_EQ(move(45, 3), Errc{});
    EXPECT_TRUE(g.vcpu().affinity.load() == CpuSet::any()) << "pinned to none any more";
    EXPECT_EQ(g.vcpu().SchedUnit::cpu.load(), 1u);
    EXPECT_EQ(domains_of(3), 1u);
    EXPECT_EQ(domains_of(0), 1u);
    auto info = dom(xen::XEN_DOMCTL_getdomaininfo, 45);
    ASSERT_EQ(call(info), Errc{});
    EXPECT_EQ(info.u.getdomaininfo.cpupool, 3u);
    map[0] = 1;
    EXPECT_EQ(call(pin), Errc::inval) << "none of the pool's CPUs";
    EXPECT_EQ(remove(3, 1), Errc::busy);
    EXPECT_EQ(remove(3, any), Errc::busy);
    EXPECT_EQ(destroy(3), Errc::busy);

    auto made = dom(xen::XEN_DOMCTL_createdomain, 47);
    auto& c = made.u.createdomain;
    c.max_vcpus = 1;
    c.max_grant_frames = c.max_maptrack_frames = -1;
    c.grant_opts = 1;
    c.cpupool_id = 9;
    EXPECT_EQ(call(made), Errc::srch);
    c.cpupool_id = 3;
    ASSERT_EQ(call(made), Errc{});
    EXPECT_EQ(domains_of(3), 2u);

    auto limit = sys(xen::XEN_SYSCTL_scheduler_op);
    limit.u.scheduler_op = {3, xen::XEN_SCHEDULER_CREDIT2, xen::XEN_SYSCTL_SCHEDOP_putinfo, 0, {}};
    limit.u.scheduler_op.u.sched_credit2.ratelimit_us = 2000;
    ASSERT_EQ(call(limit), Errc{});
    EXPECT_EQ(sched::pool_from(3)->policy->ratelimit_us.load(), 2000u);
    EXPECT_NE(sched::pool0().policy->ratelimit_us.load(), 2000u) << "each pool has its own";

    // What ends is in nobody's way.
    auto end = dom(xen::XEN_DOMCTL_destroydomain, 47);
    ASSERT_EQ(call(end), Errc{});
    g.destroy();
    EXPECT_EQ(domains_of(3), 0u);
    ASSERT_EQ(remove(3, 1), Errc{});
    ASSERT_EQ(destroy(3), Errc{});
    ASSERT_EQ(add(0, 1), Errc{});
}

TEST_F(Tools, TheRateLimitHasLimits) {
    auto op = sys(xen::XEN_SYSCTL_scheduler_op);
    auto& s = op.u.scheduler_op;
    s.sched_id = xen::XEN_SCHEDULER_CREDIT2;
    const auto ask = [&](uint32_t cmd, uint32_t us = 0) {
        s.cmd = cmd;
        s.u.sched_credit2.ratelimit_us = us;
        return call(op);
    };
    ASSERT_EQ(ask(xen::XEN_SYSCTL_SCHEDOP_getinfo), Errc{});
    const uint32_t before = s.u.sched_credit2.ratelimit_us;
    for (const uint32_t good : {xen::XEN_SYSCTL_SCHED_RATELIMIT_MIN, xen::XEN_SYSCTL_SCHED_RATELIMIT_MAX, 0u}) {
        ASSERT_EQ(ask(xen::XEN_SYSCTL_SCHEDOP_putinfo, good), Errc{});
        ASSERT_EQ(ask(xen::XEN_SYSCTL_SCHEDOP_getinfo, 77), Errc{});
        EXPECT_EQ(s.u.sched_credit2.ratelimit_us, good);
    }
    EXPECT_EQ(ask(xen::XEN_SYSCTL_SCHEDOP_putinfo, xen::XEN_SYSCTL_SCHED_RATELIMIT_MIN - 1), Errc::inval);
    EXPECT_EQ(ask(xen::XEN_SYSCTL_SCHEDOP_putinfo, xen::XEN_SYSCTL_SCHED_RATELIMIT_MAX + 1), Errc::inval);
    ASSERT_EQ(ask(xen::XEN_SYSCTL_SCHEDOP_getinfo), Errc{});
    EXPECT_EQ(s.u.sched_credit2.ratelimit_us, 0u) << "what is refused changes nothing";
    ASSERT_EQ(ask(xen::XEN_SYSCTL_SCHEDOP_putinfo, before), Errc{});
    EXPECT_EQ(ask(99), Errc::inval);
    s.sched_id = xen::XEN_SCHEDULER_CREDIT;
    EXPECT_EQ(ask(xen::XEN_SYSCTL_SCHEDOP_getinfo), Errc::inval);
    s.cpupool_id = 1;
    EXPECT_EQ(ask(xen::XEN_SYSCTL_SCHEDOP_getinfo), Errc::srch);
}

// -- domains -----------------------------------------------------------------------------------------------------------

TEST_F(Tools, FramesAreNamedByWhatTheyAre) {
    PagedGuest g(46);
    const Mfn pinned = g.page();
    {
        auto pin = xen::zeroed<xen::MmuextOp>();
        pin.cmd = xen::MMUEXT_PIN_L2_TABLE;
        pin.arg1.mfn = pinned.raw;
        const uint64_t in[6] = {address(&pin), 1, 0, xen::DOMID_SELF, 0, 0};
        ASSERT_TRUE(hypercall_handler(xen::HYPERVISOR_mmuext_op)(g.vcpu(), in));
    }
    uint64_t frames[] = {g.l4.raw, g.l3.raw, g.l2.raw, g.l1.raw, g.data.raw, pinned.raw, mfn_of(dom0->shared).raw};
    auto op = dom(xen::XEN_DOMCTL_getpageframeinfo3, 46);
    op.u.getpageframeinfo3 = {7, {address(frames)}};
    ASSERT_EQ(call(op), Errc{});
    const uint64_t expected[] = {xen::XEN_DOMCTL_PFINFO_L4TAB, xen::XEN_DOMCTL_PFINFO_L3TAB,
                                 xen::XEN_DOMCTL_PFINFO_L2TAB, xen::XEN_DOMCTL_PFINFO_L1TAB,
                                 xen::XEN_DOMCTL_PFINFO_NOTAB, xen::XEN_DOMCTL_PFINFO_L2TAB | xen::XEN_DOMCTL_PFINFO_LPINTAB,
                                 xen::XEN_DOMCTL_PFINFO_XTAB};
    for (unsigned i = 0; i < 7; ++i) EXPECT_EQ(frames[i], expected[i]) << i;
    // One whose validation is not finished is no table yet.
    auto& word = page_of(pinned).type;
    const uint64_t whole = word.exchange((word.load() & ~(page::validated | page::pinned)) | page::partial);
    uint64_t unfinished = pinned.raw;
    op.u.getpageframeinfo3 = {1, {address(&unfinished)}};
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(unfinished, uint64_t{xen::XEN_DOMCTL_PFINFO_NOTAB});
    word = whole;
    op.u.getpageframeinfo3 = {7, {address(frames)}};
    op.u.getpageframeinfo3.num = 1025;
    EXPECT_EQ(call(op), Errc::toobig);
    op.u.getpageframeinfo3 = {1, {8}};
    EXPECT_EQ(call(op), Errc::fault);
}

TEST_F(Tools, ThereAreNoShadowTables) {
    Guest g(47);
    auto op = dom(xen::XEN_DOMCTL_shadow_op, 47);
    const auto ask = [&](uint32_t what, uint32_t mb = 0) {
        op.u.shadow_op.op = what;
        op.u.shadow_op.mb = mb;
        return call(op);
    };
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_OFF), Errc{});
    ASSERT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION, 7), Errc{});
    EXPECT_EQ(op.u.shadow_op.mb, 0u);
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION, 0), Errc{});
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION, 1), Errc::opnotsupp);
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_ENABLE), Errc::opnotsupp) << "of what is not a log of dirty pages";
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_ENABLE_TEST), Errc::opnotsupp);
    EXPECT_EQ(ask(99), Errc::inval);
}

TEST_F(Tools, AContextComesBackAsItWasGiven) {
    PagedGuest g(48, 2);
    auto given = std::make_unique<Context>(g);
    uint64_t* const registers = &given->user_regs.r15;
    for (unsigned i = 0; i < 11; ++i) registers[i] = 0x1000 + i;
    given->user_regs.rip = 0x401000;
    given->user_regs.rsp = 0x7ff000;
    given->user_regs.rflags = 0x3046;  // IOPL 3
    given->user_regs.cs = xen::FLAT_RING3_CS64;
    given->user_regs.ss = xen::FLAT_RING3_SS64;
    given->user_regs.fs = 0x63;
    given->flags = xen::VGCF_in_kernel | xen::VGCF_i387_valid | xen::VGCF_syscall_disables_events | xen::VGCF_in_syscall;
    given->fpu_ctxt.x[40] = 0x5a;
    given->trap_ctxt[14].vector = 14;
    given->trap_ctxt[14].cs = xen::FLAT_RING3_CS64;
    given->trap_ctxt[14].address = 0x402000;
    given->ctrlreg[0] = 8;
    given->debugreg[1] = 0x403000;
    given->event_callback_eip = 0x404000;
    given->failsafe_callback_eip = 0x405000;
    given->syscall_callback_eip = 0x406000;
    given->kernel_sp = 0x7fe000;
    given->kernel_ss = xen::FLAT_RING3_SS64;
    given->fs_base = 0x407000;
    given->gs_base_kernel = 0x408000;
    given->gs_base_user = 0x409000;
    auto op = dom(xen::XEN_DOMCTL_setvcpucontext, 48);
    op.u.vcpucontext.vcpu = 1;
    op.u.vcpucontext.ctxt = {address(given.get())};
    ASSERT_EQ(call(op), Errc{});
    auto got = std::make_unique<xen::VcpuGuestContext>();
    std::memset(got.get(), 0x77, sizeof *got);
    op = dom(xen::XEN_DOMCTL_getvcpucontext, 48);
    op.u.vcpucontext.vcpu = 1;
    op.u.vcpucontext.ctxt = {address(got.get())};
    ASSERT_EQ(call(op), Errc{});
    const uint64_t* const back = &got->user_regs.r15;
    for (unsigned i = 0; i < 11; ++i) EXPECT_EQ(back[i], 0x1000u + i);
    EXPECT_EQ(got->user_regs.rip, 0x401000u);
    EXPECT_EQ(got->user_regs.rsp, 0x7ff000u);
    EXPECT_EQ(got->user_regs.rflags, 0x3246u) << "interrupts are on, and its IOPL is as it set it";
    EXPECT_EQ(got->user_regs.fs, 0x63);
    EXPECT_EQ(got->flags, given->flags) << "offline, in its kernel";
    EXPECT_EQ(got->fpu_ctxt.x[40], 0x5a);
    EXPECT_EQ(got->trap_ctxt[14].address, 0x402000u);
    EXPECT_EQ(got->ctrlreg[0] & 8, 8u);
    EXPECT_EQ(got->ctrlreg[3], given->ctrlreg[3]);
    EXPECT_EQ(got->ctrlreg[1], 0u);
    EXPECT_EQ(got->debugreg[1], 0x403000u);
    EXPECT_EQ(got->event_callback_eip, 0x404000u);
    EXPECT_EQ(got->failsafe_callback_eip, 0x405000u);
    EXPECT_EQ(got->syscall_callback_eip, 0x406000u);
    EXPECT_EQ(got->kernel_sp, 0x7fe000u);
    EXPECT_EQ(got->fs_base, 0x407000u);
    EXPECT_EQ(got->gs_base_kernel, 0x408000u);
    EXPECT_EQ(got->gs_base_user, 0x409000u);
    // What is told can be given again, to another vCPU.
    op = dom(xen::XEN_DOMCTL_setvcpucontext, 48);
    op.u.vcpucontext.vcpu = 1;
    op.u.vcpucontext.ctxt = {address(got.get())};
    EXPECT_EQ(call(op), Errc{});
    op.u.vcpucontext.vcpu = 2;
    EXPECT_NE(call(op), Errc{});
}

TEST_F(Tools, CallbacksOfShortSystemCallsAreKept) {
    Guest g(49);
    auto op = dom(xen::XEN_DOMCTL_set_ext_vcpucontext, 49);
    auto& e = op.u.ext_vcpucontext;
    e.size = sizeof e;
    e.sysenter_callback_eip = 0x401000;
    e.syscall32_callback_eip = 0x402000;
    e.syscall32_disables_events = 1;
    ASSERT_EQ(call(op), Errc{});
    auto get = dom(xen::XEN_DOMCTL_get_ext_vcpucontext, 49);
    ASSERT_EQ(call(get), Errc{});
    EXPECT_EQ(get.u.ext_vcpucontext.sysenter_callback_eip, 0x401000u);
    EXPECT_EQ(get.u.ext_vcpucontext.sysenter_disables_events, 0);
    EXPECT_EQ(get.u.ext_vcpucontext.syscall32_callback_eip, 0x402000u);
    EXPECT_EQ(get.u.ext_vcpucontext.syscall32_disables_events, 1);
    e.sysenter_callback_eip = uint64_t{1} << 47;
    EXPECT_EQ(call(op), Errc::inval) << "not canonical: IRET would fault in ring 0";
    e.sysenter_callback_eip = 0x403000;
    e.size = 8;
    EXPECT_EQ(call(op), Errc::inval);
    ASSERT_EQ(call(get), Errc{});
    EXPECT_EQ(get.u.ext_vcpucontext.sysenter_callback_eip, 0x401000u);
}

// -- the machine -------------------------------------------------------------------------------------------------------

TEST_F(Tools, TheVersionOfACpuIsReadFromItsLeaves) {
    auto op = platform(xen::XENPF_get_cpu_version);
    ASSERT_TRUE(raw_policy.set({0, no_subleaf, 0xd, 0x756e6547, 0x6c65746e, 0x49656e69}));
    ASSERT_TRUE(raw_policy.set({1, no_subleaf, 0x000806f8, 0, 0, 0}));
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(std::string(op.u.pcpu_version.vendor_id, 12), "GenuineIntel");
    EXPECT_EQ(op.u.pcpu_version.family, 6u);
    EXPECT_EQ(op.u.pcpu_version.model, 0x8fu);
    EXPECT_EQ(op.u.pcpu_version.stepping, 8u);
    EXPECT_EQ(op.u.pcpu_version.max_present, test_cpus - 1);
    ASSERT_TRUE(raw_policy.set({1, no_subleaf, 0x00a20f12, 0, 0, 0}));
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(op.u.pcpu_version.family, 0x19u);
    EXPECT_EQ(op.u.pcpu_version.model, 0x21u);
    op.u.pcpu_version.xen_cpuid = test_cpus;
    EXPECT_EQ(call(op), Errc::noent);
}

TEST_F(Tools, IdleTimeIsToldOfTheCpusAskedFor) {
    uint8_t map[1] = {0x5 | 0x80};  // the last is not there
    uint64_t idle[8];
    std::fill(std::begin(idle), std::end(idle), 0x5555u);
    auto op = platform(xen::XENPF_getidletime);
    op.u.getidletime.cpumap_bitmap = {address(map)};
    op.u.getidletime.cpumap_nr_cpus = 8;
    op.u.getidletime.idletime = {address(idle)};
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(map[0], 0x5);
    EXPECT_NE(idle[0], 0x5555u);
    EXPECT_EQ(idle[1], 0x5555u) << "not asked for";
    EXPECT_LE(idle[2], op.u.getidletime.now);
    EXPECT_EQ(idle[7], 0x5555u);
    EXPECT_EQ(op.u.getidletime.now, static_cast<uint64_t>(host::now().n));
}

TEST_F(Tools, WhatTheMachineHasNotIsSaid) {
    const auto firmware = [&](uint32_t type, uint32_t index = 0) {
        auto op = platform(xen::XENPF_firmware_info);
        op.u.firmware_info.type = type;
        op.u.firmware_info.index = index;
        return call(op);
    };
    EXPECT_EQ(firmware(xen::XEN_FW_DISK_INFO), Errc::srch);
    EXPECT_EQ(firmware(xen::XEN_FW_KBD_SHIFT_FLAGS), Errc{});
    EXPECT_EQ(firmware(xen::XEN_FW_KBD_SHIFT_FLAGS, 1), Errc::srch);
    EXPECT_EQ(firmware(99), Errc::inval);
    const auto power = [&](uint32_t type) {
        auto op = platform(xen::XENPF_set_processor_pminfo);
        op.u.set_pminfo.type = type;
        return call(op);
    };
    EXPECT_EQ(power(xen::XEN_PM_PDC), Errc{});
    EXPECT_EQ(power(xen::XEN_PM_PX), Errc::nosys);
    EXPECT_EQ(power(99), Errc::inval);
    auto op = platform(xen::XENPF_core_parking);
    op.u.core_parking = {xen::XEN_CORE_PARKING_GET, 7};
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(op.u.core_parking.idle_nums, 0u);
    op.u.core_parking.type = xen::XEN_CORE_PARKING_SET;
    EXPECT_EQ(call(op), Errc::nosys);
    op = platform(xen::XENPF_platform_quirk);
    op.u.platform_quirk.quirk_id = xen::QUIRK_IOAPIC_BAD_REGSEL;
    EXPECT_EQ(call(op), Errc{});
    op.u.platform_quirk.quirk_id = 99;
    EXPECT_EQ(call(op), Errc::inval);
    op = platform(xen::XENPF_enter_acpi_sleep);
    op.u.enter_acpi_sleep.sleep_state = 3;
    EXPECT_EQ(call(op), Errc::opnotsupp) << "we do not suspend";
    op.u.enter_acpi_sleep.flags = 2;
    EXPECT_EQ(call(op), Errc::inval);
    op = platform(xen::XENPF_settime64);
    op.u.settime64.nsecs = 1'000'000'000;
    EXPECT_EQ(call(op), Errc::inval);
}

std::string shown;
ConsoleSink capture{[](TextFrom, const char* text, size_t n) { shown.append(text, n); }, [](size_t) { return true; }};

TEST_F(Tools, DebugKeysShowTheirPart) {
    add_console(capture);
    host::log_to_stderr = false;
    set_log_levels({4, 4}, {4, 4});
    Guest g(50);
    const auto press = [&](const std::string& keys) {
        shown.clear();
        auto op = sys(xen::XEN_SYSCTL_debug_keys);
        op.u.debug_keys = {{address(keys.data())}, static_cast<uint32_t>(keys.size()), 0};
        return call(op);
    };
    const auto says = [&](const std::string& what) { return shown.find(what) != std::string::npos; };
    ASSERT_EQ(press("q"), Errc{});
    EXPECT_TRUE(says("d0: flags") && says("d50: flags") && says("  v0: on cpu"));
    ASSERT_EQ(press("m"), Errc{});
    EXPECT_TRUE(says(std::to_string(heap::free_pages().n) + " of "));
    ASSERT_EQ(press("r"), Errc{});
    EXPECT_TRUE(says("cpu0: d")) << shown;
    ASSERT_EQ(press("tg"), Errc{});
    EXPECT_TRUE(says("System time"));
    ASSERT_EQ(press("h"), Errc{});
    EXPECT_TRUE(says("key 'R': reboot the machine"));
    ASSERT_EQ(press("?"), Errc{});
    EXPECT_TRUE(says("key '?' has no meaning"));
    EXPECT_EQ(press(std::string(257, 'h')), Errc::inval);
    EXPECT_EQ(shown, "");
    set_log_levels({1, 1}, {1, 1});
    host::log_to_stderr = true;
}

}  // namespace
