// SPDX-License-Identifier: Apache-2.0
// link: hvcore
// Contexts that guests and tools give to vCPUs: none leaves a vCPU that the machine cannot run, and a refused one changes
// nothing.
#include <memory>
#include <random>

#include "abi/xen/domctl.hpp"
#include "abi/xen/sched.hpp"
#include "abi/xen/vcpu.hpp"
#include "hypervisor/guest/pv/debug_regs.hpp"
#include "hypervisor/guest/pv/descriptors.hpp"
#include "hypervisor/guest/pv/traps.hpp"
#include "hypervisor/rt/clock.hpp"
#include "tests/host/hv_paged_guest.hpp"

namespace {

using namespace hvtest;

uint64_t users(Mfn m) { return page_of(m).type.load() & page::users_mask; }
PageType type(Mfn m) { return type_of(page_of(m).type.load()); }

struct Contexts : testing::Test {
    Contexts() { control_domain(); }
};

Result<uint64_t> initialise(PagedGuest& g, unsigned vcpu, const xen::VcpuGuestContext& c) {
    return hypercall(hypercall_handler(xen::HYPERVISOR_vcpu_op), g.vcpu(), xen::VCPUOP_initialise, vcpu, address(&c));
}

/// XEN_DOMCTL_setvcpucontext as the tools of the control domain call it.
Result<uint64_t> set_by_tools(PagedGuest& g, unsigned vcpu, const xen::VcpuGuestContext& c) {
    auto op = xen::zeroed<xen::Domctl>();
    op.cmd = xen::XEN_DOMCTL_setvcpucontext;
    op.interface_version = xen::XEN_DOMCTL_INTERFACE_VERSION;
    op.domain = g->id.raw;
    op.u.vcpucontext.vcpu = vcpu;
    op.u.vcpucontext.ctxt.addr = address(&c);
    Vcpu* const running = std::exchange(this_cpu().current, &control_domain().vcpu());
    auto r = hypercall(hypercall_handler(xen::HYPERVISOR_domctl), control_domain().vcpu(), address(&op));
    this_cpu().current = running;
    return r;
}

/// As it was made: without tables of any kind.
void expect_untouched(Vcpu& v) {
    EXPECT_FALSE(v.initialised);
    EXPECT_EQ(v.pv->kernel_root.raw, 0u);
    EXPECT_EQ(v.pv->user_root.raw, 0u);
    EXPECT_EQ(v.pv->gdt_entries, 0u);
    EXPECT_EQ(v.pv->ldt_entries, 0u);
    EXPECT_TRUE(v.pv->in_kernel);
}

TEST_F(Contexts, AKernelRootMustBeAPage) {
    PagedGuest g(1, 2);
    auto c = std::make_unique<Context>(g);
    for (const uint64_t cr3 : {uint64_t{0}, uint64_t{0xfff}, uint64_t{1} << 63, xen::xen_pfn_to_cr3(Mfn(3).raw)}) {
        c->ctrlreg[3] = cr3;
        EXPECT_EQ(initialise(g, 1, *c).error(), Errc::inval) << cr3;
        EXPECT_EQ(set_by_tools(g, 1, *c).error(), Errc::inval) << cr3;
        expect_untouched(g.vcpu(1));
        EXPECT_EQ(hypercall(hypercall_handler(xen::HYPERVISOR_vcpu_op), g.vcpu(), xen::VCPUOP_up, 1).error(), Errc::inval);
    }
    EXPECT_EQ(set_kernel_root(g.vcpu(1), Mfn(0)).error(), Errc::inval);
    c->ctrlreg[3] = xen::xen_pfn_to_cr3(g.l4.raw);
    EXPECT_TRUE(initialise(g, 1, *c));
    EXPECT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_vcpu_op), g.vcpu(), xen::VCPUOP_up, 1));
}

// The builder clears the shared page when it has made the domain: its clock must be told again before it starts.
TEST_F(Contexts, TheFirstContextTellsTheTime) {
    hv::clock::set_wallclock(1'000'000'000, 0, hv::clock::now());
    PagedGuest g(1, 2);
    auto op = xen::zeroed<xen::Domctl>();
    op.cmd = xen::XEN_DOMCTL_settimeoffset;
    op.interface_version = xen::XEN_DOMCTL_INTERFACE_VERSION;
    op.domain = g->id.raw;
    op.u.settimeoffset.time_offset_seconds = -7200;
    ASSERT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_domctl), control_domain().vcpu(), address(&op)));
    *g->shared = xen::zeroed<xen::SharedInfo>();
    auto c = std::make_unique<Context>(g);
    c->ctrlreg[3] = xen::xen_pfn_to_cr3(g.l4.raw);
    ASSERT_TRUE(set_by_tools(g, 1, *c));
    EXPECT_EQ(g->shared->wc_sec, 0u);
    ASSERT_TRUE(set_by_tools(g, 0, *c));
    const uint64_t boot = hv::clock::wallclock().sec;
    EXPECT_EQ(g->shared->wc_sec, boot - 7200);
    EXPECT_EQ(g->shared->wc_version % 2, 0u);
}

// The same in user mode, where the user's tables count, and a frame of 0 with something in its low bits is still none.
TEST_F(Contexts, UserModeNeedsBothRoots) {
    PagedGuest g(1, 2);
    auto c = std::make_unique<Context>(g);
    c->flags = 0;
    EXPECT_EQ(initialise(g, 1, *c).error(), Errc::inval);
    c->ctrlreg[1] = xen::xen_pfn_to_cr3(Mfn(3).raw);
    EXPECT_EQ(initialise(g, 1, *c).error(), Errc::inval);
    c->ctrlreg[1] = std::exchange(c->ctrlreg[3], 0);
    EXPECT_EQ(initialise(g, 1, *c).error(), Errc::inval);
    EXPECT_EQ(set_by_tools(g, 1, *c).error(), Errc::inval);
    expect_untouched(g.vcpu(1));
    EXPECT_EQ(users(g.l4), 1u) << "vCPU 0's";
    c->ctrlreg[3] = c->ctrlreg[1];
    EXPECT_TRUE(initialise(g, 1, *c));
    EXPECT_FALSE(g.vcpu(1).pv->in_kernel);
}

TEST_F(Contexts, TheTablesOfUserModeStayWhileItRuns) {
    PagedGuest g(1);
    Vcpu& v = g.vcpu();
    ASSERT_TRUE(set_user_root(v, g.l4));
    pv_toggle_mode(v);
    ASSERT_FALSE(v.pv->in_kernel);
    EXPECT_EQ(set_user_root(v, Mfn(0)).error(), Errc::inval);
    EXPECT_EQ(v.pv->user_root, g.l4);
    pv_toggle_mode(v);
    EXPECT_TRUE(set_user_root(v, Mfn(0)));
}

TEST_F(Contexts, AModeWithoutTablesIsNotEntered) {
    PagedGuest g(1);
    Vcpu& v = g.vcpu();
    pv_toggle_mode(v);
    EXPECT_TRUE(v.pv->in_kernel);
    EXPECT_TRUE(g->shutting_down.load());
    EXPECT_EQ(g->shutdown_code, uint32_t{xen::SHUTDOWN_crash});
}

// Each of these is found after the roots were taken, or would have been.
TEST_F(Contexts, ARefusedContextGivesEverythingBack) {
    PagedGuest g(1, 2);
    const Mfn gdt = g.page();
    const auto refused = [&](auto spoil) {
        auto c = std::make_unique<Context>(g);
        c->ctrlreg[1] = c->ctrlreg[3];
        c->gdt_frames[0] = gdt.raw;
        c->gdt_ents = 16;
        spoil(*c);
        EXPECT_FALSE(initialise(g, 1, *c));
        expect_untouched(g.vcpu(1));
        EXPECT_EQ(users(g.l4), 1u);
        EXPECT_EQ(users(gdt), 0u);
    };
    refused([](auto& c) { c.ctrlreg[1] = xen::xen_pfn_to_cr3(3); });
    refused([](auto& c) { c.gdt_frames[0] = 0; });
    refused([](auto& c) { c.gdt_ents = 1024; });
    refused([](auto& c) { c.ldt_base = 0x1000, c.ldt_ents = 1; });
    refused([](auto& c) { c.ldt_base = 8, c.ldt_ents = 1; });
    refused([](auto& c) { c.ldt_base = 0x7000, c.ldt_ents = 512; });
    refused([](auto& c) { c.debugreg[2] = xen::HYPERVISOR_VIRT_START; });
    refused([](auto& c) { c.debugreg[7] = 0x2001; });
    refused([](auto& c) { c.kernel_sp = uint64_t{1} << 47; });
}

// A tool's mistake with a vCPU that has a context leaves it one that can run.
TEST_F(Contexts, ARefusedContextLeavesTheOneBefore) {
    PagedGuest g(1, 2);
    auto c = std::make_unique<Context>(g);
    c->flags = 0;
    c->ctrlreg[1] = c->ctrlreg[3];
    c->user_regs.rip = 0x1234000;
    ASSERT_TRUE(set_by_tools(g, 1, *c));
    auto bad = std::make_unique<Context>(g);
    bad->gdt_ents = 16;
    EXPECT_FALSE(set_by_tools(g, 1, *bad));
    Vcpu& v = g.vcpu(1);
    EXPECT_TRUE(v.initialised);
    EXPECT_FALSE(v.pv->in_kernel);
    EXPECT_EQ(v.pv->root(), g.l4.raw);
    EXPECT_EQ(v.regs.rip, 0x1234000u);
}

// -- ten thousand random ones -----------------------------------------------------------------------------------------

/// A context whose fields are each likely to be fine, and sometimes anything.
struct RandomContexts {
    std::mt19937_64 random{20230417};
    PagedGuest& g;
    const Mfn l4b, gdt;

    explicit RandomContexts(PagedGuest& guest) : g(guest), l4b(g.page()), gdt(g.page()) {
        entry(l4b, 0) = entry_of(g.l3, table_bits);
        // In reach of an LDT.
        const Mfn ldt = g.page();
        Guard lock(g->pv->lock);
        EXPECT_TRUE(update_l1(g, g, &entry(g.l1, 1), entry_of(ldt, data_bits & ~pte::rw), KeepAccessed::no));
    }
    bool rarely() { return random() % 16 == 0; }
    uint64_t odd() {
        const uint64_t values[] = {0,
                                   1,
                                   ~uint64_t{0},
                                   uint64_t{1} << 47,
                                   xen::HYPERVISOR_VIRT_START,
                                   gdt_va(VcpuId(1)),
                                   random(),
                                   random() % 16384,
                                   (random() % 16384) << page_shift};
        return values[random() % std::size(values)];
    }
    uint64_t frame() {
        const uint64_t values[] = {g.l4.raw, l4b.raw, g.l3.raw, g.data.raw, 0, odd()};
        return values[rarely() ? random() % std::size(values) : random() % 2];
    }
    uint64_t maybe(uint64_t good) { return rarely() ? odd() : good; }

    void fill(xen::VcpuGuestContext& c) {
        if (rarely()) {
            auto* words = reinterpret_cast<uint64_t*>(&c);
            for (size_t i = 0; i < sizeof c / 8; ++i) words[i] = random();
        } else {
            c = xen::zeroed<xen::VcpuGuestContext>();
        }
        c.flags = random() & 0x3f;
        c.user_regs.rip = maybe(0x1000);
        c.user_regs.rsp = odd();
        c.user_regs.cs = static_cast<uint16_t>(odd());
        c.user_regs.ss = static_cast<uint16_t>(odd());
        c.user_regs.rflags = odd();
        c.kernel_sp = maybe(0x2000);
        c.kernel_ss = odd();
        c.event_callback_eip = maybe(0x3000);
        c.failsafe_callback_eip = c.syscall_callback_eip = c.fs_base = c.gs_base_kernel = 0;
        c.gs_base_user = maybe(0);
        c.ctrlreg[3] = rarely() ? odd() : xen::xen_pfn_to_cr3(frame());
        c.ctrlreg[1] = rarely() ? odd() : random() % 2 ? xen::xen_pfn_to_cr3(frame()) : 0;
        c.gdt_ents = maybe(random() % 2 ? 16 : 0);
        c.gdt_frames[0] = maybe(gdt.raw);
        c.ldt_ents = maybe(random() % 2 ? 8 : 0);
        c.ldt_base = maybe(0x1000);
        for (unsigned i = 0; i < 4; ++i) c.debugreg[i] = maybe(0x4000);
        c.debugreg[7] = maybe(random() % 2);
    }
};

bool is_root(Mfn m) {
    return m.raw != 0 && type(m) == PageType::l4 && users(m) > 0 && (page_of(m).type.load() & page::validated);
}

/// What makes a vCPU one that the machine can run.
void expect_runnable(const Vcpu& v) {
    const PvVcpu& pv = *v.pv;
    EXPECT_TRUE(is_root(pv.kernel_root));
    EXPECT_TRUE(pv.user_root.raw == 0 || is_root(pv.user_root));
    EXPECT_NE(pv.root(), 0u);
    EXPECT_EQ(v.regs.cs & 3, 3u);
    EXPECT_EQ(v.regs.ss & 3, 3u);
    EXPECT_TRUE(v.regs.rflags & eflags_if);
    EXPECT_FALSE(v.regs.rflags & (eflags_iopl | eflags_nt | eflags_vm));
    for (const uint64_t a : {v.regs.rip, pv.kernel_sp, pv.event.address, pv.failsafe.address, pv.syscall.address, pv.fs_base,
                             pv.gs_base_kernel, pv.gs_base_user})
        EXPECT_TRUE(base::canonical(a)) << a;
    for (unsigned i = 0; i < 4; ++i) EXPECT_TRUE(pv_check_debug_reg(i, v.state.debug[i]));
    EXPECT_TRUE(pv_check_debug_reg(7, v.state.debug[7]));
    for (unsigned i = 0; i * 512 < pv.gdt_entries; ++i) EXPECT_EQ(type(pv.gdt_frames[i]), PageType::segdesc);
    for (unsigned i = 0; i * 512 < pv.ldt_entries; ++i) EXPECT_EQ(type(pv.ldt_frames[i]), PageType::segdesc);
    uint32_t mxcsr = 0;
    std::memcpy(&mxcsr, v.state.fpu + 24, sizeof mxcsr);
    EXPECT_EQ(mxcsr & ~0xffffu, 0u);
}

TEST_F(Contexts, TenThousandAtRandom) {
    domains_reap();
    const Resources start;
    unsigned accepted = 0, refused = 0;
    {
        PagedGuest g(1, 2);
        Vcpu& v = g.vcpu(1);
        RandomContexts make(g);
        auto c = std::make_unique<xen::VcpuGuestContext>();
        for (unsigned i = 0; i < 10'000 && !HasFailure(); ++i) {
            make.fill(*c);
            const bool by_tools = i % 4 == 0;
            if (!by_tools && v.initialised) {
                pv_clear_descriptors(v);
                drop_roots(v);
                v.pv->in_kernel = true;
                v.initialised = false;
                while (!finish_pending_put(v)) {}
            }
            const bool had_one = v.initialised;
            host::preempt_every(i % 3);
            const bool done = static_cast<bool>(by_tools ? set_by_tools(g, 1, *c) : initialise(g, 1, *c));
            host::preempt_every(0);
            ++(done ? accepted : refused);
            EXPECT_EQ(v.initialised, done || had_one);
            if (v.initialised) expect_runnable(v);
            else expect_untouched(v);
            v.pause_flags.fetch_or(vpf_down);
        }
        EXPECT_EQ(users(g.l4), 1u + (v.pv->kernel_root == g.l4) + (v.pv->user_root == g.l4));
    }
    RecordProperty("accepted", static_cast<int>(accepted));
    EXPECT_GT(accepted, 500u);
    EXPECT_GT(refused, 500u);
    domains_reap();
    EXPECT_EQ(Resources(), start);
}

}  // namespace
