// SPDX-License-Identifier: Apache-2.0
// link: hvcore
#include "abi/xen/domctl.hpp"

#include "abi/xen/platform.hpp"
#include "abi/xen/sysctl.hpp"
#include "abi/xen/version.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/guest/pv/hypercall_page.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "tests/host/hv_calls.hpp"

#include <utility>

namespace {

using namespace hvtest;

xen::Domctl command(uint32_t cmd, uint16_t domain = 0) {
    auto op = xen::zeroed<xen::Domctl>();
    op.cmd = cmd;
    op.interface_version = xen::XEN_DOMCTL_INTERFACE_VERSION;
    op.domain = domain;
    return op;
}

class Domctl : public ::testing::Test {
protected:
    Guest& dom0 = control_domain();
    Result<uint64_t> call(xen::Domctl& op) {
        return hypercall(hypercall_handler(xen::HYPERVISOR_domctl), dom0.vcpu(), address(&op));
    }
    uint16_t create(uint32_t vcpus = 2) {
        auto op = command(xen::XEN_DOMCTL_createdomain);
        auto& c = op.u.createdomain;
        c.max_vcpus = vcpus;
        c.max_evtchn_port = 1023;
        c.max_grant_frames = -1;
        c.max_maptrack_frames = -1;
        c.grant_opts = 1;
        c.handle.bytes[3] = 0x5a;
        EXPECT_TRUE(call(op));
        return op.domain;
    }
    void destroy(uint16_t id) {
        auto op = command(xen::XEN_DOMCTL_destroydomain, id);
        EXPECT_TRUE(call(op));
        domains_reap();
    }
    Errc error_of(xen::Domctl op) {
        auto r = call(op);
        return r ? Errc{} : r.error();
    }
    void prepare(uint16_t id, uint32_t vcpus = 2) {
        auto op = command(xen::XEN_DOMCTL_max_vcpus, id);
        op.u.max_vcpus.max = vcpus;
        EXPECT_TRUE(call(op));
        op = command(xen::XEN_DOMCTL_max_mem, id);
        op.u.max_mem.max_memkb = 1024;
        EXPECT_TRUE(call(op));
    }
    xen::DomctlGetDomainInfo info(uint16_t id) {
        auto op = command(xen::XEN_DOMCTL_getdomaininfo, id);
        EXPECT_TRUE(call(op));
        return op.u.getdomaininfo;
    }
};

TEST_F(Domctl, OnlyTheControlDomainMayCall) {
    Guest g(40);
    auto op = command(xen::XEN_DOMCTL_pausedomain, 40);
    EXPECT_EQ(hypercall(hypercall_handler(xen::HYPERVISOR_domctl), g.vcpu(), address(&op)).error(), Errc::perm);
    op.interface_version = 0x14;
    EXPECT_EQ(call(op).error(), Errc::access);
    EXPECT_EQ(hypercall(hypercall_handler(xen::HYPERVISOR_domctl), dom0.vcpu(), 8).error(), Errc::fault);
    EXPECT_EQ(error_of(command(xen::XEN_DOMCTL_pausedomain, 41)), Errc::srch);
    EXPECT_EQ(error_of(command(xen::XEN_DOMCTL_pausedomain, 0)), Errc::inval) << "itself";
    EXPECT_EQ(error_of(command(xen::XEN_DOMCTL_set_cpu_policy, 0)), Errc::inval) << "itself";
    EXPECT_EQ(error_of(command(999, 40)), Errc::nosys);
}

TEST_F(Domctl, ADomainsLifeLeavesNothingBehind) {
    destroy(create());
    const Resources before;
    for (unsigned round = 0; round < 50; ++round) {
        host::preempt_every(round % 5);
        const uint16_t id = create();
        prepare(id);
        auto i = info(id);
        EXPECT_EQ(i.domain, id);
        EXPECT_EQ(i.flags & (xen::XEN_DOMINF_paused | xen::XEN_DOMINF_dying), xen::XEN_DOMINF_paused);
        EXPECT_EQ(i.max_pages, 256u);
        EXPECT_EQ(i.max_vcpu_id, 1u);
        EXPECT_EQ(i.handle.bytes[3], 0x5a);
        DomainRef d = must(find_domain(DomId(id)));
        for (int n = 0; n < 30; ++n) ASSERT_TRUE(domain_alloc_pages(*d, 0, 64));
        d = DomainRef();
        EXPECT_EQ(info(id).tot_pages, 30u);
        destroy(id);
        host::preempt_every(0);
        EXPECT_EQ(error_of(command(xen::XEN_DOMCTL_pausedomain, id)), Errc::srch);
        ASSERT_EQ(Resources(), before) << round;
    }
}

TEST_F(Domctl, CreationArgumentsAreChecked) {
    const auto refused = [&](auto change) {
        auto op = command(xen::XEN_DOMCTL_createdomain);
        op.u.createdomain.max_vcpus = 1;
        op.u.createdomain.max_grant_frames = -1;
        op.u.createdomain.max_maptrack_frames = -1;
        op.u.createdomain.grant_opts = 1;
        change(op.u.createdomain);
        return error_of(op) == Errc::inval;
    };
    EXPECT_TRUE(refused([](auto& c) { c.max_vcpus = 0; }));
    EXPECT_TRUE(refused([](auto& c) { c.max_vcpus = 513; }));
    EXPECT_TRUE(refused([](auto& c) { c.flags = xen::XEN_DOMCTL_CDF_hvm; }));
    EXPECT_TRUE(refused([](auto& c) { c.grant_opts = 0; }));
    EXPECT_TRUE(refused([](auto& c) { c.max_grant_frames = -2; }));
    EXPECT_FALSE(refused([](auto& c) { c.cpupool_id = 1; })) << "srch: that pool does not exist";
    EXPECT_TRUE(refused([](auto& c) { c.arch.emulation_flags = 1; }));
    const uint16_t id = create();
    auto again = command(xen::XEN_DOMCTL_createdomain, id);
    again.u.createdomain = command(0).u.createdomain;
    again.u.createdomain.max_vcpus = 1;
    again.u.createdomain.grant_opts = 1;
    EXPECT_EQ(error_of(again), Errc::exist);
    destroy(id);
}

TEST_F(Domctl, ControllerPausesAreCounted) {
    const uint16_t id = create();
    prepare(id);
    EXPECT_EQ(error_of(command(xen::XEN_DOMCTL_pausedomain, id)), Errc{});
    EXPECT_EQ(error_of(command(xen::XEN_DOMCTL_unpausedomain, id)), Errc{});
    EXPECT_TRUE(info(id).flags & xen::XEN_DOMINF_paused);
    EXPECT_EQ(error_of(command(xen::XEN_DOMCTL_unpausedomain, id)), Errc{});
    EXPECT_FALSE(info(id).flags & xen::XEN_DOMINF_paused);
    EXPECT_EQ(error_of(command(xen::XEN_DOMCTL_unpausedomain, id)), Errc::inval);
    destroy(id);
}

TEST_F(Domctl, AffinityRoundTrip) {
    const uint16_t id = create();
    prepare(id);
    uint8_t hard[2] = {0x04, 0x00}, soft[2] = {0xff, 0xff};
    auto op = command(xen::XEN_DOMCTL_setvcpuaffinity, id);
    auto& a = op.u.vcpuaffinity;
    a.vcpu = 1;
    a.flags = xen::XEN_VCPUAFFINITY_HARD | xen::XEN_VCPUAFFINITY_SOFT;
    a.cpumap_hard = {{address(hard)}, 16, 0};
    a.cpumap_soft = {{address(soft)}, 16, 0};
    ASSERT_TRUE(call(op));
    EXPECT_EQ(soft[0], 0x04) << "the effective map";
    hard[0] = 0;
    op.cmd = xen::XEN_DOMCTL_getvcpuaffinity;
    ASSERT_TRUE(call(op));
    EXPECT_EQ(hard[0], 0x04);
    EXPECT_EQ(hard[1], 0x00);
    EXPECT_EQ(soft[1], 0xff);
    hard[0] = 0x80;  // no such CPU
    op.cmd = xen::XEN_DOMCTL_setvcpuaffinity;
    EXPECT_EQ(error_of(op), Errc::inval);
    op.u.vcpuaffinity.flags = 0;
    EXPECT_EQ(error_of(op), Errc::inval);
    op.u.vcpuaffinity.flags = 1;
    op.u.vcpuaffinity.vcpu = 7;
    EXPECT_EQ(error_of(op), Errc::inval);
    destroy(id);
}

TEST_F(Domctl, PermissionsTakeMemoryWithTheFirst) {
    domains_reap();
    const size_t before = heap::bytes_in_use();
    const uint16_t id = create();
    auto op = command(xen::XEN_DOMCTL_ioport_permission, id);
    op.u.ioport_permission = {0x3f8, 8, 0, {}};
    const size_t without = heap::bytes_in_use();
    ASSERT_TRUE(call(op));
    EXPECT_EQ(heap::bytes_in_use(), without) << "what it does not have takes nothing to be taken away";
    op.u.ioport_permission.allow_access = 1;
    std::vector<std::pair<void*, size_t>> taken;
    for (const size_t bytes : {size_t{page_size}, size_t{1024}})
        while (auto memory = heap::alloc_bytes(bytes)) taken.emplace_back(memory.value(), bytes);
    EXPECT_EQ(error_of(op), Errc::nomem);
    for (const auto& [memory, bytes] : taken) heap::free_bytes(memory, bytes);
    {
        DomainRef d = must(find_domain(DomId(id)));
        EXPECT_FALSE(d->ioports.contains(0x3f8, 0x3ff));
    }
    ASSERT_TRUE(call(op));
    EXPECT_GT(heap::bytes_in_use(), without);
    destroy(id);
    domains_reap();
    EXPECT_EQ(heap::bytes_in_use(), before);
}

TEST_F(Domctl, PermissionsAreRanges) {
    const uint16_t id = create();
    auto op = command(xen::XEN_DOMCTL_ioport_permission, id);
    op.u.ioport_permission = {0x3f8, 8, 1, {}};
    ASSERT_TRUE(call(op));
    {
        DomainRef d = must(find_domain(DomId(id)));
        EXPECT_TRUE(d->ioports.contains(0x3f8, 0x3ff));
        EXPECT_FALSE(d->ioports.contains(0x3f8, 0x400));
    }
    op.u.ioport_permission = {0xffff, 2, 1, {}};
    EXPECT_EQ(error_of(op), Errc::inval);
    op = command(xen::XEN_DOMCTL_iomem_permission, id);
    op.u.iomem_permission = {~uint64_t{0}, 2, 1, {}};
    EXPECT_EQ(error_of(op), Errc::inval);
    destroy(id);
}

TEST_F(Domctl, FrameTypesAndHypercallPage) {
    const uint16_t id = create();
    prepare(id);
    Mfn m{0};
    {
        DomainRef d = must(find_domain(DomId(id)));
        m = must(domain_alloc_pages(*d, 0, 64));
    }
    auto op = command(xen::XEN_DOMCTL_hypercall_init, id);
    op.u.hypercall_init.gmfn = m.raw;
    ASSERT_TRUE(call(op));
    const uint8_t expected[] = {0x51, 0x41, 0x53, 0xb8, 12, 0, 0, 0, 0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3, 0xcc};
    EXPECT_EQ(std::memcmp(map_mfn(m) + 12 * 32, expected, sizeof expected), 0);
    EXPECT_EQ(map_mfn(m)[23 * 32 + 3], 0x50) << "iret pushes rax too";
    op.u.hypercall_init.gmfn = 1;
    EXPECT_EQ(error_of(op), Errc::access);

    uint64_t frames[] = {m.raw, 2, ~uint64_t{0}};
    op = command(xen::XEN_DOMCTL_getpageframeinfo3, id);
    op.u.getpageframeinfo3 = {3, {address(frames)}};
    ASSERT_TRUE(call(op));
    EXPECT_EQ(frames[0], xen::XEN_DOMCTL_PFINFO_NOTAB);
    EXPECT_EQ(frames[1], xen::XEN_DOMCTL_PFINFO_XTAB);
    EXPECT_EQ(frames[2], xen::XEN_DOMCTL_PFINFO_XTAB);
    destroy(id);
}

TEST_F(Domctl, VcpuInfoAndScheduling) {
    const uint16_t id = create();
    prepare(id);
    auto op = command(xen::XEN_DOMCTL_getvcpuinfo, id);
    op.u.getvcpuinfo.vcpu = 1;
    ASSERT_TRUE(call(op));
    EXPECT_EQ(op.u.getvcpuinfo.online, 0);
    op = command(xen::XEN_DOMCTL_scheduler_op, id);
    op.u.scheduler_op.sched_id = xen::XEN_SCHEDULER_CREDIT2;
    op.u.scheduler_op.cmd = xen::XEN_DOMCTL_SCHEDOP_putinfo;
    op.u.scheduler_op.u.credit2.weight = 512;
    ASSERT_TRUE(call(op));
    op.u.scheduler_op.cmd = xen::XEN_DOMCTL_SCHEDOP_getinfo;
    op.u.scheduler_op.u.credit2.weight = 0;
    ASSERT_TRUE(call(op));
    EXPECT_EQ(op.u.scheduler_op.u.credit2.weight, 512);
    op.u.scheduler_op.sched_id = xen::XEN_SCHEDULER_CREDIT;
    EXPECT_EQ(error_of(op), Errc::inval);
    destroy(id);
}

xen::Sysctl sys(uint32_t cmd) {
    auto op = xen::zeroed<xen::Sysctl>();
    op.cmd = cmd;
    op.interface_version = xen::XEN_SYSCTL_INTERFACE_VERSION;
    return op;
}

/// A machine with XSAVE and AVX, for domains made while it is one.
struct WithAvx {
    CpuFeatures before = cpu_features;
    WithAvx() {
        cpu_features.xcr0 = 7;
        cpu_features.xsave_size = 512 + 64 + 256;
    }
    ~WithAvx() { cpu_features = before; }
};

/// What the tools of a saved domain hand in: XCR0, all it ever was, the XSAVE area.
struct ExtendedState {
    uint64_t xcr0 = 7, accumulated = 7;
    uint8_t area[512 + 64 + 256] = {};
    void put(size_t offset, uint64_t value) { std::memcpy(area + offset, &value, sizeof value); }
};

// In ring 0 XSETBV and XRSTOR run on these: what would make them fault is refused.
TEST_F(Domctl, ExtendedRegistersAreThoseOfACpu) {
    const WithAvx machine;
    Guest g(43);
    Vcpu& v = g.vcpu();
    ExtendedState s;
    const auto set = [&](size_t size = sizeof s) {
        auto op = command(xen::XEN_DOMCTL_setvcpuextstate, 43);
        op.u.vcpuextstate.xfeature_mask = 7;
        op.u.vcpuextstate.size = size;
        op.u.vcpuextstate.buffer.addr = address(&s);
        return error_of(op);
    };
    for (const uint64_t bad : {uint64_t{0}, uint64_t{2}, uint64_t{5}, uint64_t{4}, uint64_t{15}, uint64_t{1} << 63 | 7}) {
        s = {};
        s.xcr0 = bad;
        EXPECT_EQ(set(), Errc::inval) << bad;
        s.accumulated = std::exchange(s.xcr0, 1);
        EXPECT_EQ(set(), Errc::inval) << bad;
    }
    s = {};
    s.accumulated = 3;
    EXPECT_EQ(set(), Errc::inval) << "what it has now, it once had";
    s.xcr0 = 1;
    s.put(512, 4);
    EXPECT_EQ(set(), Errc::inval) << "a component that it never had";
    for (const size_t reserved : {520u, 528u, 536u, 568u}) {
        s = {};
        s.put(reserved, reserved == 520u ? uint64_t{1} << 63 : 1);
        EXPECT_EQ(set(), Errc::inval) << reserved;
    }
    s = {};
    s.put(24, 0x1'1f80);
    EXPECT_EQ(set(), Errc::inval) << "MXCSR";
    s.put(24, 0x1f80);
    for (const size_t size : {size_t{0}, size_t{15}, size_t{17}, size_t{16 + 575}, sizeof s + 1})
        EXPECT_EQ(set(size), Errc::inval);
    EXPECT_EQ(v.state.xcr0, 1u);
    EXPECT_EQ(v.state.fpu[600], 0);

    s.put(512, 7);
    s.put(600, 0x5a);
    EXPECT_EQ(set(16), Errc{}) << "nothing to restore";
    EXPECT_EQ(v.state.fpu[600], 0);
    EXPECT_EQ(set(), Errc{});
    EXPECT_EQ(v.state.xcr0, 7u);
    EXPECT_EQ(v.state.fpu[600], 0x5a);
    EXPECT_EQ(set(16 + 576), Errc{});
    EXPECT_EQ(v.state.fpu[600], 0) << "the rest of a short one is its initial state";
    g.destroy();
    domains_reap();
}

TEST_F(Domctl, SysctlTellsOfMachineAndDomains) {
    const auto call_sys = [&](xen::Sysctl& op) {
        return hypercall(hypercall_handler(xen::HYPERVISOR_sysctl), dom0.vcpu(), address(&op));
    };
    const uint16_t a = create(), b = create();
    auto op = sys(xen::XEN_SYSCTL_physinfo);
    ASSERT_TRUE(call_sys(op));
    EXPECT_EQ(op.u.physinfo.nr_cpus, test_cpus);
    EXPECT_EQ(op.u.physinfo.free_pages, heap::free_pages().n);
    xen::DomctlGetDomainInfo list[4];
    op = sys(xen::XEN_SYSCTL_getdomaininfolist);
    op.u.getdomaininfolist.first_domain = 1;
    op.u.getdomaininfolist.max_domains = 4;
    op.u.getdomaininfolist.buffer = {address(list)};
    ASSERT_TRUE(call_sys(op));
    ASSERT_EQ(op.u.getdomaininfolist.num_domains, 2u);
    EXPECT_EQ(list[0].domain, std::min(a, b));
    EXPECT_EQ(list[1].domain, std::max(a, b));
    uint8_t map[8] = {};
    op = sys(xen::XEN_SYSCTL_cpupool_op);
    op.u.cpupool_op.op = xen::XEN_SYSCTL_CPUPOOL_OP_INFO;
    op.u.cpupool_op.cpumap = {{address(map)}, 64, 0};
    ASSERT_TRUE(call_sys(op));
    EXPECT_EQ(map[0], (1u << test_cpus) - 1);
    op.u.cpupool_op.cpupool_id = 1;
    EXPECT_EQ(call_sys(op).error(), Errc::noent);
    op.interface_version = 1;
    EXPECT_EQ(call_sys(op).error(), Errc::access);
    Guest g(42);
    EXPECT_EQ(hypercall(hypercall_handler(xen::HYPERVISOR_sysctl), g.vcpu(), address(&op)).error(), Errc::perm);
    destroy(a);
    destroy(b);
}

TEST_F(Domctl, VersionAndPlatform) {
    EXPECT_EQ(must(hypercall(hypercall_handler(xen::HYPERVISOR_xen_version), dom0.vcpu(), xen::XENVER_version)),
              (4u << 16) | 17u);
    char caps[xen::XEN_CAPABILITIES_INFO_LEN];
    ASSERT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_xen_version), dom0.vcpu(), xen::XENVER_capabilities, address(caps)));
    EXPECT_STREQ(caps, "xen-3.0-x86_64 ");
    xen::FeatureInfo f{0, 0};
    ASSERT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_xen_version), dom0.vcpu(), xen::XENVER_get_features, address(&f)));
    EXPECT_TRUE(f.submap & (1u << 11));
    f.submap_idx = 1;
    EXPECT_EQ(
        hypercall(hypercall_handler(xen::HYPERVISOR_xen_version), dom0.vcpu(), xen::XENVER_get_features, address(&f)).error(),
        Errc::inval);
    auto op = xen::zeroed<xen::PlatformOp>();
    op.cmd = xen::XENPF_get_cpuinfo;
    op.interface_version = xen::XENPF_INTERFACE_VERSION;
    op.u.pcpu_info.xen_cpuid = 99;
    ASSERT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_platform_op), dom0.vcpu(), address(&op)));
    EXPECT_EQ(op.u.pcpu_info.flags, xen::XEN_PCPU_FLAGS_INVALID);
    EXPECT_EQ(op.u.pcpu_info.max_present, test_cpus - 1);
}

}  // namespace
