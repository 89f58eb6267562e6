// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// The small calls, each by what it answers and changes: those that ask, those that set one thing, and those that are refused.
#include <string>

#include "abi/xen/domctl.hpp"
#include "abi/xen/domctl_device.hpp"
#include "abi/xen/memory.hpp"
#include "abi/xen/nmi.hpp"
#include "abi/xen/physdev.hpp"
#include "abi/xen/platform.hpp"
#include "abi/xen/sched.hpp"
#include "abi/xen/sysctl.hpp"
#include "abi/xen/version.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/ioapic.hpp"
#include "hypervisor/arch/x86/speculation_plan.hpp"
#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/hypercall/machine_info.hpp"
#include "hypervisor/hypercall/pv/mmu_refusal.hpp"
#include "hypervisor/irq/irq.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;

class SmallCalls : public ::testing::Test {
protected:
    Guest& dom0 = control_domain();
    Guest g{60};

    template <class Op>
    static Op stamped(uint32_t cmd, uint32_t version) {
        auto op = xen::zeroed<Op>();
        op.cmd = cmd;
        op.interface_version = version;
        return op;
    }
    static xen::Sysctl sys(uint32_t cmd) { return stamped<xen::Sysctl>(cmd, xen::XEN_SYSCTL_INTERFACE_VERSION); }
    static xen::PlatformOp platform(uint32_t cmd) { return stamped<xen::PlatformOp>(cmd, xen::XENPF_INTERFACE_VERSION); }
    static xen::Domctl dom(uint32_t cmd, uint16_t domain = 60) {
        auto op = stamped<xen::Domctl>(cmd, xen::XEN_DOMCTL_INTERFACE_VERSION);
        op.domain = domain;
        return op;
    }
    static Errc make(Guest& caller, uint64_t call, uint64_t a0, uint64_t a1 = 0) {
        Vcpu* const running = std::exchange(this_cpu().current, &caller.vcpu());
        const auto r = hypercall(hypercall_handler(call), caller.vcpu(), a0, a1);
        this_cpu().current = running;
        return r ? Errc{} : r.error();
    }
    Errc call(xen::Sysctl& op) { return make(dom0, xen::HYPERVISOR_sysctl, address(&op)); }
    Errc call(xen::PlatformOp& op) { return make(dom0, xen::HYPERVISOR_platform_op, address(&op)); }
    Errc call(xen::Domctl& op) { return make(dom0, xen::HYPERVISOR_domctl, address(&op)); }
    Errc call(xen::Sysctl&& op) { return call(op); }
    Errc call(xen::Domctl&& op) { return call(op); }
};

// -- refused -------------------------------------------------------------------------------------------------------------

struct Refusal {
    uint32_t cmd;
    Errc answer;
};

/// The same answer whatever is asked, nothing is stored, and nobody but the control domain hears even that.
template <class Op>
void all_refused(Guest& dom0, Guest& other, uint64_t number, uint32_t version, uint16_t domain, std::span<const Refusal> list) {
    for (const Refusal& r : list) {
        for (const int filling : {0, 0x5a, 0xff}) {
            Op op;
            std::memset(static_cast<void*>(&op), filling, sizeof op);
            op.cmd = r.cmd;
            op.interface_version = version;
            if constexpr (std::is_same_v<Op, xen::Domctl>) op.domain = domain;
            Op given = op;
            EXPECT_EQ(hypercall(hypercall_handler(number), dom0.vcpu(), address(&op)).error(), r.answer) << r.cmd;
            EXPECT_EQ(std::memcmp(&op, &given, sizeof op), 0) << r.cmd << " stored something";
            EXPECT_EQ(hypercall(hypercall_handler(number), other.vcpu(), address(&op)).error(), Errc::perm) << r.cmd;
        }
    }
}

TEST_F(SmallCalls, OperationsOnDomainsThatWeDoNotHave) {
    constexpr Refusal list[] = {
        {xen::XEN_DOMCTL_soft_reset, Errc::inval},
        {xen::XEN_DOMCTL_gethvmcontext, Errc::inval},
        {xen::XEN_DOMCTL_sethvmcontext, Errc::inval},
        {xen::XEN_DOMCTL_gethvmcontext_partial, Errc::inval},
        {xen::XEN_DOMCTL_set_broken_page_p2m, Errc::inval},
        {xen::XEN_DOMCTL_bind_pt_irq, Errc::inval},
        {xen::XEN_DOMCTL_unbind_pt_irq, Errc::inval},
        {xen::XEN_DOMCTL_psr_cmt_op, Errc::nodev},
        {xen::XEN_DOMCTL_psr_alloc, Errc::nodev},
        {xen::XEN_DOMCTL_get_paging_mempool_size, Errc::opnotsupp},
        {xen::XEN_DOMCTL_set_paging_mempool_size, Errc::opnotsupp},
        {xen::XEN_DOMCTL_memory_mapping, Errc::opnotsupp},
        {xen::XEN_DOMCTL_ioport_mapping, Errc::opnotsupp},
        {xen::XEN_DOMCTL_assign_device, Errc::opnotsupp},
        {xen::XEN_DOMCTL_test_assign_device, Errc::opnotsupp},
        {xen::XEN_DOMCTL_deassign_device, Errc::opnotsupp},
        {xen::XEN_DOMCTL_get_device_group, Errc::opnotsupp},
        {xen::XEN_DOMCTL_set_target, Errc::opnotsupp},
        {xen::XEN_DOMCTL_setvnumainfo, Errc::opnotsupp},
        {xen::XEN_DOMCTL_vm_event_op, Errc::opnotsupp},
        {xen::XEN_DOMCTL_mem_sharing_op, Errc::opnotsupp},
        {xen::XEN_DOMCTL_monitor_op, Errc::opnotsupp},
        {xen::XEN_DOMCTL_vmtrace_op, Errc::opnotsupp},
        {xen::XEN_DOMCTL_debug_op, Errc::opnotsupp},
        {xen::XEN_DOMCTL_set_access_required, Errc::opnotsupp},
    };
    all_refused<xen::Domctl>(dom0, g, xen::HYPERVISOR_domctl, xen::XEN_DOMCTL_INTERFACE_VERSION, 60, list);
}

TEST_F(SmallCalls, OperationsOnTheMachineThatWeDoNotHave) {
    constexpr Refusal on_machine[] = {
        {xen::XEN_SYSCTL_get_pmstat, Errc::nodev},      {xen::XEN_SYSCTL_pm_op, Errc::nodev},
        {xen::XEN_SYSCTL_psr_cmt_op, Errc::nodev},      {xen::XEN_SYSCTL_psr_alloc, Errc::nodev},
        {xen::XEN_SYSCTL_coverage_op, Errc::opnotsupp}, {xen::XEN_SYSCTL_livepatch_op, Errc::opnotsupp},
        {xen::XEN_SYSCTL_cpu_hotplug, Errc::opnotsupp}, {xen::XEN_SYSCTL_page_offline_op, Errc::opnotsupp},
    };
    all_refused<xen::Sysctl>(dom0, g, xen::HYPERVISOR_sysctl, xen::XEN_SYSCTL_INTERFACE_VERSION, 0, on_machine);
    constexpr Refusal on_platform[] = {
        {xen::XENPF_efi_runtime_call, Errc::opnotsupp},
        {xen::XENPF_resource_op, Errc::opnotsupp},
        {xen::XENPF_microcode_update, Errc::opnotsupp},
    };
    all_refused<xen::PlatformOp>(dom0, g, xen::HYPERVISOR_platform_op, xen::XENPF_INTERFACE_VERSION, 0, on_platform);
    EXPECT_EQ(make(g, xen::HYPERVISOR_tmem_op, 0), Errc::nosys);
}

// -- one thing of a domain ---------------------------------------------------------------------------------------------

TEST_F(SmallCalls, OneThingOfADomainIsSet) {
    auto op = dom(xen::XEN_DOMCTL_setdomainhandle);
    for (uint8_t i = 0; i < 16; ++i) op.u.setdomainhandle.handle.bytes[i] = static_cast<uint8_t>(0x30 + i);
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(std::memcmp(g->handle, op.u.setdomainhandle.handle.bytes, 16), 0);

    op = dom(xen::XEN_DOMCTL_setdebugging);
    for (const uint8_t on : {uint8_t{1}, uint8_t{0}}) {
        op.u.setdebugging.enable = on;
        ASSERT_EQ(call(op), Errc{});
        auto info = dom(xen::XEN_DOMCTL_getdomaininfo);
        ASSERT_EQ(call(info), Errc{});
        EXPECT_EQ((info.u.getdomaininfo.flags & xen::XEN_DOMINF_debugged) != 0, on != 0);
    }
    EXPECT_EQ(call(dom(xen::XEN_DOMCTL_setdebugging, 0)), Errc::inval) << "itself";

    op = dom(xen::XEN_DOMCTL_subscribe);
    op.u.subscribe.port = 77;
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(g->suspend_port.load(), 77u);
}

TEST_F(SmallCalls, ADomainThatWasSuspendedGoesOn) {
    domain_shutdown(g, xen::SHUTDOWN_suspend);
    ASSERT_TRUE(g->shut_down.load());
    ASSERT_EQ(call(dom(xen::XEN_DOMCTL_resumedomain)), Errc{});
    EXPECT_FALSE(g->shut_down.load());
    EXPECT_EQ(g->shutdown_code.load(), ~0u);
    EXPECT_EQ(call(dom(xen::XEN_DOMCTL_resumedomain)), Errc{}) << "one that runs";
    EXPECT_EQ(call(dom(xen::XEN_DOMCTL_resumedomain, 0)), Errc::inval) << "itself";
}

TEST_F(SmallCalls, TheTscsModeIsKept) {
    auto set = dom(xen::XEN_DOMCTL_settscinfo);
    set.u.tsc_info.tsc_mode = 2;
    set.u.tsc_info.incarnation = 5;
    ASSERT_EQ(call(set), Errc{});
    auto get = dom(xen::XEN_DOMCTL_gettscinfo);
    get.u.tsc_info.pad = 9;
    ASSERT_EQ(call(get), Errc{});
    EXPECT_EQ(get.u.tsc_info.tsc_mode, 2u);
    EXPECT_EQ(get.u.tsc_info.incarnation, 6u) << "it is made once more";
    EXPECT_EQ(get.u.tsc_info.pad, 0u);
    EXPECT_EQ(get.u.tsc_info.gtsc_khz, static_cast<uint32_t>(hv::clock::tsc_khz));
    EXPECT_EQ(get.u.tsc_info.elapsed_nsec, static_cast<uint64_t>(host::now().n));
    set.u.tsc_info.elapsed_nsec = uint64_t{1} << 60;
    ASSERT_EQ(call(set), Errc{});
    ASSERT_EQ(call(get), Errc{});
    EXPECT_GE(get.u.tsc_info.elapsed_nsec, uint64_t{1} << 60) << "its time goes on, whatever the machine's is";
    EXPECT_LT(get.u.tsc_info.elapsed_nsec, (uint64_t{1} << 60) + 1'000'000'000);
    set.u.tsc_info.tsc_mode = 3;
    EXPECT_EQ(call(set), Errc::inval);
    set.u.tsc_info.tsc_mode = 0;
    set.domain = 0;
    EXPECT_EQ(call(set), Errc::inval) << "itself";
    ASSERT_EQ(call(get), Errc{});
    EXPECT_EQ(get.u.tsc_info.tsc_mode, 2u) << "what is refused changes nothing";
}

TEST_F(SmallCalls, ThereIsOneNodeAndOneWidth) {
    uint8_t map = 0xfe;
    auto set = dom(xen::XEN_DOMCTL_setnodeaffinity);
    set.u.nodeaffinity.nodemap = {{address(&map)}, 8, 0};
    EXPECT_EQ(call(set), Errc::inval) << "near no node that there is";
    map = 3;
    EXPECT_EQ(call(set), Errc{});
    auto get = dom(xen::XEN_DOMCTL_getnodeaffinity);
    get.u.nodeaffinity.nodemap = {{address(&map)}, 8, 0};
    map = 0xff;
    ASSERT_EQ(call(get), Errc{});
    EXPECT_EQ(map, 1);

    auto width = dom(xen::XEN_DOMCTL_get_address_size);
    ASSERT_EQ(call(width), Errc{});
    EXPECT_EQ(width.u.address_size.size, 64u);
    width.cmd = xen::XEN_DOMCTL_set_address_size;
    EXPECT_EQ(call(width), Errc{});
    width.u.address_size.size = 32;
    EXPECT_EQ(call(width), Errc::inval);
}

TEST_F(SmallCalls, TheRegisterOfSpeculationMoves) {
    speculation.guest_allowed = 1;  // IBRS
    const xen::CpuidLeaf ibrs{7, 0, 0, 0, 0, 1u << 26};
    g->policy = must(hv::make<CpuPolicy>());
    ASSERT_TRUE(g->policy->set(ibrs));
    xen::DomctlVcpuMsr list[2] = {{0x48, 0, 1}, {}};
    auto op = dom(xen::XEN_DOMCTL_set_vcpu_msrs);
    op.u.vcpu_msrs.msrs.addr = address(list);
    op.u.vcpu_msrs.msr_count = 2;
    EXPECT_EQ(call(op), Errc::inval) << "there is only one";
    op.u.vcpu_msrs.msr_count = 1;
    list[0].index = 0x49;
    EXPECT_EQ(call(op), Errc::inval);
    list[0] = {0x48, 0, 8};
    EXPECT_EQ(call(op), Errc::inval) << "bits that it does not have";
    list[0] = {0x48, 0, 1};
    ASSERT_EQ(call(op), Errc{});
    list[0] = {};
    op.cmd = xen::XEN_DOMCTL_get_vcpu_msrs;
    op.u.vcpu_msrs.msrs.addr = 0;
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(op.u.vcpu_msrs.msr_count, 1u);
    op.u.vcpu_msrs.msrs.addr = address(list);
    op.u.vcpu_msrs.msr_count = 0;
    EXPECT_EQ(call(op), Errc::nobufs);
    op.u.vcpu_msrs.msr_count = 1;
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(list[0].index, 0x48u);
    EXPECT_EQ(list[0].value, 1u);
    speculation.guest_allowed = 0;
}

TEST_F(SmallCalls, Triggers) {
    auto op = dom(xen::XEN_DOMCTL_sendtrigger);
    const auto send = [&](uint32_t trigger, uint32_t vcpu = 0) {
        op.u.sendtrigger = {trigger, vcpu};
        return call(op);
    };
    using namespace xen;
    EXPECT_EQ(send(XEN_DOMCTL_SENDTRIGGER_NMI), Errc{});
    EXPECT_TRUE(g.vcpu().pv->nmi_pending);
    EXPECT_EQ(send(XEN_DOMCTL_SENDTRIGGER_NMI), Errc{}) << "one that waits is the same";
    EXPECT_EQ(send(XEN_DOMCTL_SENDTRIGGER_POWER), Errc::inval);
    EXPECT_EQ(send(XEN_DOMCTL_SENDTRIGGER_SLEEP), Errc::inval);
    for (const uint32_t none : {XEN_DOMCTL_SENDTRIGGER_RESET, XEN_DOMCTL_SENDTRIGGER_INIT, 5u, ~0u})
        EXPECT_EQ(send(none), Errc::nosys);
    for (const uint32_t trigger : {XEN_DOMCTL_SENDTRIGGER_NMI, XEN_DOMCTL_SENDTRIGGER_POWER, XEN_DOMCTL_SENDTRIGGER_RESET})
        for (const uint32_t nobody : {1u, 7u, 8192u, ~0u}) EXPECT_EQ(send(trigger, nobody), Errc::srch);
}

TEST_F(SmallCalls, NoOtherRegistersMove) {
    auto op = dom(xen::XEN_DOMCTL_get_vcpu_msrs);
    op.u.vcpu_msrs.msr_count = 7;
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(op.u.vcpu_msrs.msr_count, 0u);
    op.cmd = xen::XEN_DOMCTL_set_vcpu_msrs;
    EXPECT_EQ(call(op), Errc{});
    op.u.vcpu_msrs.msr_count = 1;
    EXPECT_EQ(call(op), Errc::fault);
    op.u.vcpu_msrs.vcpu = 1;
    EXPECT_EQ(call(op), Errc::inval) << "no such vCPU";
}

TEST_F(SmallCalls, AVirqGoesToItsHandler) {
    const Port of_guest = must(event_bind_virq(g, xen::VIRQ_CON_RING, VcpuId(0)));
    const Port of_dom0 = must(event_bind_virq(dom0, xen::VIRQ_CON_RING, VcpuId(0)));
    auto op = dom(xen::XEN_DOMCTL_set_virq_handler);
    op.u.set_virq_handler.virq = xen::VIRQ_CON_RING;
    ASSERT_EQ(call(op), Errc{});
    send_global_virq(xen::VIRQ_CON_RING);
    EXPECT_TRUE(must(event_port_pending(g, of_guest)));
    EXPECT_FALSE(must(event_port_pending(dom0, of_dom0)));
    op.domain = 0;
    ASSERT_EQ(call(op), Errc{});
    send_global_virq(xen::VIRQ_CON_RING);
    EXPECT_TRUE(must(event_port_pending(dom0, of_dom0)));
    op.u.set_virq_handler.virq = xen::VIRQ_TIMER;
    EXPECT_EQ(call(op), Errc::inval) << "each vCPU has its own";
    op.u.set_virq_handler.virq = xen::NR_VIRQS;
    EXPECT_EQ(call(op), Errc::inval);
    EXPECT_TRUE(event_close(dom0, of_dom0));
}

// -- the machine -----------------------------------------------------------------------------------------------------------

TEST_F(SmallCalls, TheLogIsRead) {
    const bool to_stderr = std::exchange(host::log_to_stderr, false);
    log(LogLevel::error, "what the tools look for");
    char text[4096] = {};
    auto op = sys(xen::XEN_SYSCTL_readconsole);
    auto& r = op.u.readconsole;
    const auto read = [&](uint32_t count) {
        std::memset(text, 0x55, sizeof text);
        r.buffer = {address(text)};
        r.count = count;
        return call(op);
    };
    r.incremental = 1;
    std::string all;
    do {
        ASSERT_EQ(read(sizeof text), Errc{});
        all.append(text, r.count);
    } while (r.count != 0);
    EXPECT_NE(all.find("what the tools look for"), std::string::npos);
    log(LogLevel::error, "and more");
    ASSERT_EQ(read(3), Errc{});
    EXPECT_EQ(r.count, 3u);
    EXPECT_EQ(text[3], 0x55) << "no more than there is room for";
    ASSERT_EQ(read(sizeof text), Errc{});
    EXPECT_NE(std::string(text, r.count).find("more"), std::string::npos) << "it goes on at the index";
    r.incremental = 0;
    r.clear = 1;
    ASSERT_EQ(read(sizeof text), Errc{});
    EXPECT_NE(r.count, 0u);
    while (r.count != 0) ASSERT_EQ(read(sizeof text), Errc{});
    r.clear = 0;
    ASSERT_EQ(read(sizeof text), Errc{});
    EXPECT_EQ(r.count, 0u) << "it is cleared";
    log(LogLevel::error, "again");
    r.buffer = {8};
    r.count = 10;
    EXPECT_EQ(call(op), Errc::fault);
    host::log_to_stderr = to_stderr;
}

TEST_F(SmallCalls, CpusAndMemoryAreCounted) {
    auto op = sys(xen::XEN_SYSCTL_getcpuinfo);
    xen::SysctlCpuInfo infos[test_cpus + 1];
    for (auto& i : infos) i.idletime = 0x5555;
    op.u.getcpuinfo.max_cpus = test_cpus + 1;
    op.u.getcpuinfo.info = {address(infos)};
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(op.u.getcpuinfo.nr_cpus, test_cpus);
    EXPECT_LE(infos[0].idletime, static_cast<uint64_t>(host::now().n));
    EXPECT_EQ(infos[test_cpus].idletime, 0x5555u);
    op.u.getcpuinfo.max_cpus = 1;
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(op.u.getcpuinfo.nr_cpus, 1u);

    op = sys(xen::XEN_SYSCTL_availheap);
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(op.u.availheap.avail_bytes, heap::free_pages().bytes());
    op.u.availheap.max_bitwidth = 12;
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(op.u.availheap.avail_bytes, 0u) << "none lies so low";
    op.u.availheap.node = 1;
    EXPECT_EQ(call(op), Errc::inval);

    op = sys(xen::XEN_SYSCTL_cputopoinfo);
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(op.u.cputopoinfo.num_cpus, test_cpus) << "without a buffer: how many";
    xen::SysctlCpuTopo topology[test_cpus];
    op.u.cputopoinfo.cputopo = {address(topology)};
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(op.u.cputopoinfo.num_cpus, test_cpus);
    for (const auto& t : topology) EXPECT_EQ(t.node, 0u);
    EXPECT_EQ(topology[0].core, 0u);
    static_assert(test_cpus >= 4);
    // Bits of the APIC id that are a thread's, and those that stay in a package: threads, cores, and where CPU 3 is.
    struct Place {
        x86::Topology bits;
        uint32_t threads, cores, core, socket;
    };
    const x86::Topology as_it_was = cpu_features.topology;
    for (const Place& p : {Place{{0, 0}, 1, 1, 0, 3}, {{0, 1}, 1, 2, 1, 1}, {{1, 1}, 2, 1, 0, 1}, {{1, 2}, 2, 2, 1, 0}}) {
        cpu_features.topology = p.bits;
        ASSERT_EQ(call(op), Errc{});
        EXPECT_EQ(topology[3].core, p.core);
        EXPECT_EQ(topology[3].socket, p.socket);
        auto info = sys(xen::XEN_SYSCTL_physinfo);
        ASSERT_EQ(call(info), Errc{});
        EXPECT_EQ(info.u.physinfo.threads_per_core, p.threads);
        EXPECT_EQ(info.u.physinfo.cores_per_socket, p.cores);
    }
    cpu_features.topology = as_it_was;

    op = sys(xen::XEN_SYSCTL_numainfo);
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(op.u.numainfo.num_nodes, 1u);
    xen::SysctlMemInfo memory{};
    uint32_t distance = 0;
    op.u.numainfo = {4, 0, {address(&memory)}, {address(&distance)}};
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(op.u.numainfo.num_nodes, 1u);
    EXPECT_EQ(memory.memsize, heap::total_pages().bytes());
    EXPECT_EQ(memory.memfree, heap::free_pages().bytes());
    EXPECT_EQ(distance, 10u);

    op = sys(xen::XEN_SYSCTL_pcitopoinfo);
    EXPECT_EQ(call(op), Errc::inval) << "no list";
    xen::PhysdevPciDevice devices[2] = {};
    uint32_t nodes[3] = {7, 7, 7};
    op.u.pcitopoinfo = {2, 0, {address(devices)}, {address(nodes)}};
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(op.u.pcitopoinfo.num_devs, 2u);
    EXPECT_EQ(nodes[1], xen::XEN_INVALID_NODE_ID);
    EXPECT_EQ(nodes[2], 7u);
}

TEST_F(SmallCalls, WhatTheMachineDoesIsSaid) {
    auto op = sys(xen::XEN_SYSCTL_sched_id);
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(op.u.sched_id.sched_id, xen::XEN_SCHEDULER_CREDIT2);
    op = sys(xen::XEN_SYSCTL_get_cpu_levelling_caps);
    op.u.cpu_levelling_caps.caps = 9;
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(op.u.cpu_levelling_caps.caps, 0u);
}

TEST_F(SmallCalls, CpusNeitherComeNorGo) {
    for (const auto& [cmd, answer] : {Refusal{xen::XENPF_cpu_online, Errc::exist}, {xen::XENPF_cpu_offline, Errc::busy}}) {
        auto op = platform(cmd);
        op.u.cpu_ol.cpuid = test_cpus - 1;
        EXPECT_EQ(call(op), answer);
        op.u.cpu_ol.cpuid = test_cpus;
        EXPECT_EQ(call(op), Errc::inval);
    }
}

TEST_F(SmallCalls, TheTimeOfDayIsSetByTheOlderCallToo) {
    auto op = platform(xen::XENPF_settime32);
    op.u.settime32 = {1'000'000, 5, 0};
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(g->shared->wc_sec, 1'000'000u);
    EXPECT_EQ(g->shared->wc_nsec, 5u);
    op.u.settime32.nsecs = 1'000'000'000;
    EXPECT_EQ(call(op), Errc::inval);
    EXPECT_EQ(g->shared->wc_nsec, 5u);
}

// -- what a guest asks ---------------------------------------------------------------------------------------------------

TEST_F(SmallCalls, TheVersionInWords) {
    const auto ask = [&](uint32_t cmd, void* to, Guest* who = nullptr) {
        return make(who ? *who : g, xen::HYPERVISOR_xen_version, cmd, address(to));
    };
    char text[1200];
    const auto words = [&](uint32_t cmd, Guest* who = nullptr) {
        std::memset(text, 0x55, sizeof text);
        EXPECT_EQ(ask(cmd, text, who), Errc{});
        return std::string(text);
    };
    EXPECT_EQ(words(xen::XENVER_extraversion), ".0-xenolith");
    EXPECT_EQ(text[xen::XEN_EXTRAVERSION_LEN], 0x55) << "no longer than its field";
    EXPECT_EQ(words(xen::XENVER_changeset), "xenolith");
    EXPECT_EQ(text[xen::XEN_CHANGESET_INFO_LEN], 0x55);
    std::strcpy(machine_info.command_line, "loglvl=all");
    EXPECT_EQ(words(xen::XENVER_commandline, &dom0), "loglvl=all");
    EXPECT_EQ(text[xen::XEN_COMMANDLINE_LEN], 0x55);
    EXPECT_EQ(words(xen::XENVER_commandline), "<denied>") << "it says how the machine is protected";
    machine_info.command_line[0] = 0;
    auto info = xen::zeroed<xen::CompileInfo>();
    ASSERT_EQ(ask(xen::XENVER_compile_info, &info), Errc{});
    EXPECT_EQ(std::string(info.compile_by), "xenolith");
    EXPECT_EQ(std::string(info.compiler).substr(0, 4), "C++ ");
    xen::PlatformParameters parameters{};
    ASSERT_EQ(ask(xen::XENVER_platform_parameters, &parameters), Errc{});
    EXPECT_EQ(parameters.virt_start, xen::HYPERVISOR_VIRT_START);
    g->handle[5] = 0x77;
    xen::DomainHandle handle{};
    ASSERT_EQ(ask(xen::XENVER_guest_handle, &handle), Errc{});
    EXPECT_EQ(handle.bytes[5], 0x77);
    EXPECT_EQ(must(hypercall(hypercall_handler(xen::HYPERVISOR_xen_version), g.vcpu(), xen::XENVER_pagesize)), 4096u);
    EXPECT_EQ(ask(xen::XENVER_pagesize, text), Errc::inval) << "it takes no argument";
    EXPECT_EQ(ask(xen::XENVER_build_id, text), Errc::nodata);
}

TEST_F(SmallCalls, NoMemoryIsShared) {
    for (const uint64_t cmd : {xen::XENMEM_get_sharing_freed_pages, xen::XENMEM_get_sharing_shared_pages})
        EXPECT_EQ(must(hypercall(hypercall_handler(xen::HYPERVISOR_memory_op), g.vcpu(), cmd)), 0u);
}

TEST_F(SmallCalls, AnNmiHasOneHandler) {
    xen::NmiCallback c{0x401000, 0};
    ASSERT_EQ(make(g, xen::HYPERVISOR_nmi_op, xen::XENNMI_register_callback, address(&c)), Errc{});
    EXPECT_EQ(g.vcpu().pv->nmi.address, 0x401000u);
    EXPECT_TRUE(g.vcpu().pv->nmi.masks_events);
    c.handler_address = uint64_t{1} << 47;
    EXPECT_EQ(make(g, xen::HYPERVISOR_nmi_op, xen::XENNMI_register_callback, address(&c)), Errc::inval) << "not canonical";
    ASSERT_EQ(make(g, xen::HYPERVISOR_nmi_op, xen::XENNMI_unregister_callback), Errc{});
    EXPECT_EQ(g.vcpu().pv->nmi.address, 0u);
    Guest two(61, 2);
    c.handler_address = 0x401000;
    EXPECT_EQ(
        hypercall(hypercall_handler(xen::HYPERVISOR_nmi_op), two.vcpu(1), xen::XENNMI_register_callback, address(&c)).error(),
        Errc::inval)
        << "NMIs come to the first vCPU";
}

TEST_F(SmallCalls, BlockingLetsEventsIn) {
    Vcpu& v = g.vcpu();
    xen::VcpuInfo& info = *v.info.load();
    info.evtchn_upcall_mask = 1;
    ASSERT_EQ(make(g, xen::HYPERVISOR_sched_op, xen::SCHEDOP_block), Errc{});
    EXPECT_EQ(info.evtchn_upcall_mask, 0);
    EXPECT_TRUE(v.pause_flags.load() & vpf_blocked);
    v.pause_flags.fetch_and(~uint32_t{vpf_blocked});
    info.evtchn_upcall_mask = 1;
    info.evtchn_upcall_pending = 1;
    ASSERT_EQ(make(g, xen::HYPERVISOR_sched_op, xen::SCHEDOP_block), Errc{});
    EXPECT_FALSE(v.pause_flags.load() & vpf_blocked) << "one is there already";
}

TEST_F(SmallCalls, InterruptControllersAreOurs) {
    const uint64_t before = ioapic::host_entries[3];
    xen::PhysdevApic a{0xfec00000, 0x16, 0x12345};
    EXPECT_EQ(make(dom0, xen::HYPERVISOR_physdev_op, xen::PHYSDEVOP_apic_read, address(&a)), Errc::inval) << "none is there";
    EXPECT_EQ(make(dom0, xen::HYPERVISOR_physdev_op, xen::PHYSDEVOP_apic_write, address(&a)), Errc{});
    EXPECT_EQ(ioapic::host_entries[3], before) << "dom0's writes change nothing";
    for (const uint32_t cmd : {xen::PHYSDEVOP_apic_read, xen::PHYSDEVOP_apic_write, xen::PHYSDEVOP_get_free_pirq})
        EXPECT_EQ(make(g, xen::HYPERVISOR_physdev_op, cmd, address(&a)), Errc::perm);
    xen::PhysdevGetFreePirq f{0, 0};
    ASSERT_EQ(make(dom0, xen::HYPERVISOR_physdev_op, xen::PHYSDEVOP_get_free_pirq, address(&f)), Errc{});
    EXPECT_EQ(f.pirq, PirqTable::capacity - 1) << "above the GSIs, from the top";
    ASSERT_TRUE(pirq_map_gsi(dom0->pirqs, 3, static_cast<int32_t>(f.pirq)));
    ASSERT_EQ(make(dom0, xen::HYPERVISOR_physdev_op, xen::PHYSDEVOP_get_free_pirq, address(&f)), Errc{});
    EXPECT_EQ(f.pirq, PirqTable::capacity - 2) << "that one is in use";
    EXPECT_TRUE(pirq_unmap(dom0->pirqs, PirqTable::capacity - 1));
}

/// A daemon of dom0's that maps a page of a domain on its way out is late, not wrong.
TEST_F(SmallCalls, WhoMapsADyingDomainsPageIsNotTalkedAbout) {
    const bool to_stderr = std::exchange(host::log_to_stderr, false);
    char text[4096] = {};
    auto op = sys(xen::XEN_SYSCTL_readconsole);
    auto& r = op.u.readconsole;
    const auto said = [&] {
        log_refused_update(dom0.vcpu(), {DomainRef::borrow(dom0), DomainRef::borrow(g)}, {0x1000, 0x2067}, Errc::perm);
        r.buffer = {address(text)};
        r.count = sizeof text;
        r.clear = 1;
        std::string all;
        while (call(op) == Errc{} && r.count != 0) {
            all.append(text, r.count);
            r.count = sizeof text;
        }
        return all.find("mmu_update refused") != std::string::npos;
    };
    set_log_levels(base::default_own_levels, {4, 4});
    EXPECT_TRUE(said());
    g.d->dying.store(DyingState::dying);
    EXPECT_FALSE(said());
    g.d->dying.store(DyingState::alive);
    set_log_levels(base::default_own_levels, base::default_guest_levels);
    host::log_to_stderr = to_stderr;
}

}  // namespace
