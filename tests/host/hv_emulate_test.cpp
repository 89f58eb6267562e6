// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// Privileged instructions of a PV guest: what they do for its kernel, and what its user code may not do.
#include "hypervisor/guest/pv/emulate.hpp"

#include <sys/mman.h>

#include "abi/xen/arch_x86.hpp"
#include "abi/xen/physdev.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/guest/pv/cpuid.hpp"
#include "hypervisor/guest/pv/cr4.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/segments.hpp"
#include "hypervisor/guest/pv/traps.hpp"
#include "hypervisor/mm/frame.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;

/// A guest that executes one instruction after another in its kernel.
class Emulate : public ::testing::Test {
protected:
    void SetUp() override {
        machine();
        saved_policy = pv_policy;
        g = std::make_unique<Guest>(1);
    }
    void TearDown() override {
        g.reset();
        pv_policy = saved_policy;
    }
    Vcpu& v() { return g->vcpu(); }
    /// Whether the instruction was executed, with rip behind it.
    bool run(std::vector<uint8_t> code) {
        const size_t length = code.size();
        bytes = std::move(code);
        bytes.resize(32, 0x90);
        r.rip = address(bytes.data());
        r.cs = xen::FLAT_RING3_CS64;
        if (!pv_emulate_privileged(v(), r)) return false;
        EXPECT_EQ(r.rip, address(bytes.data()) + length);
        return true;
    }
    void offer(uint32_t leaf, uint32_t subleaf, uint32_t b, uint32_t c, uint32_t d) {
        ASSERT_TRUE(pv_policy.set({leaf, subleaf, 0, b, c, d}));
    }

    /// The registers, about to execute `code`.
    Regs& at(std::vector<uint8_t> code) {
        bytes = std::move(code);
        bytes.resize(32, 0x90);
        start = r.rip = address(bytes.data());
        if (r.cs == 0) r.cs = xen::FLAT_RING3_CS64;
        return r;
    }

    std::unique_ptr<Guest> g;
    CpuPolicy saved_policy;
    uint64_t start = 0;
    Regs r{};
    std::vector<uint8_t> bytes;
};

constexpr uint32_t fsgsbase = 1u << 0, xsave = 1u << 26, tsc_and_de = 1u << 4 | 1u << 2;
const std::vector<uint8_t> mov_rax_to_cr4 = {0x0f, 0x22, 0xe0}, mov_cr4_to_rax = {0x0f, 0x20, 0xe0};

TEST_F(Emulate, SegmentBaseInstructionsAreOffUntilTheKernelTurnsThemOn) {
    offer(7, 0, fsgsbase, 0, 0);
    EXPECT_EQ(v().pv->cr4 & hw::cr4_fsgsbase, 0u);
    r.rax = hw::cr4_pae | hw::cr4_fsgsbase;
    ASSERT_TRUE(run(mov_rax_to_cr4));
    EXPECT_EQ(v().pv->cr4, hw::cr4_fsgsbase);
    ASSERT_TRUE(run(mov_cr4_to_rax));
    EXPECT_EQ(r.rax & (hw::cr4_fsgsbase | hw::cr4_pae | hw::cr4_tsd), hw::cr4_fsgsbase | hw::cr4_pae);
    r.rax = 0;
    ASSERT_TRUE(run(mov_rax_to_cr4));
    EXPECT_EQ(v().pv->cr4, 0u);
}

TEST_F(Emulate, ControlRegisterFourFollowsWhatCpuidOffers) {
    r.rax = cr4_guest_bits;
    ASSERT_TRUE(run(mov_rax_to_cr4));
    EXPECT_EQ(v().pv->cr4, 0u) << "nothing is offered";
    offer(1, xen::XEN_CPUID_NO_SUBLEAF, 0, xsave, tsc_and_de);
    r.rax = ~uint64_t{0};
    ASSERT_TRUE(run(mov_rax_to_cr4));
    EXPECT_EQ(v().pv->cr4, cr4_guest_bits & ~hw::cr4_fsgsbase);
    v().pv->in_kernel = false;
    EXPECT_FALSE(run(mov_rax_to_cr4));
}

const std::vector<uint8_t> cli = {0xfa}, sti = {0xfb}, in_al_dx = {0xec}, in_eax_dx = {0xed};

int64_t set_iopl(Vcpu& v, uint32_t level) {
    xen::PhysdevSetIopl s{level};
    const auto result = hypercall(hypercall_handler(xen::HYPERVISOR_physdev_op), v, xen::PHYSDEVOP_set_iopl, address(&s));
    return result ? 0 : -static_cast<int64_t>(result.error());
}

TEST_F(Emulate, InterruptFlagAndPortsFollowTheVirtualPrivilegeLevel) {
    struct Case {
        uint32_t level;
        bool kernel, user;
    };
    for (const Case c : {Case{0, false, false}, Case{1, true, false}, Case{2, true, false}, Case{3, true, true}}) {
        ASSERT_EQ(set_iopl(v(), c.level), 0);
        for (const auto& code : {cli, sti, in_al_dx}) {
            v().pv->in_kernel = true;
            EXPECT_EQ(run(code), c.kernel) << c.level;
            v().pv->in_kernel = false;
            EXPECT_EQ(run(code), c.user) << c.level;
        }
    }
    EXPECT_EQ(set_iopl(v(), 4), -22);
}

TEST_F(Emulate, KernelOfArchitecturalPrivilegeLevelsIsAtLevelNought) {
    EXPECT_FALSE(run(cli));
    (*g)->vm_assist |= 1u << xen::VMASST_TYPE_architectural_iopl;
    EXPECT_TRUE(run(cli));
    v().pv->in_kernel = false;
    EXPECT_FALSE(run(cli));
}

TEST_F(Emulate, BitmapOpensPortsToUserCode) {
    uint8_t bitmap[16];
    std::memset(bitmap, 0xff, sizeof bitmap);
    bitmap[0x60 / 8] = 0xfe;
    bitmap[0x66 / 8] = 0x3e;  // 0x60, 0x66, 0x67
    bitmap[0x68 / 8] = 0xfc;  // 0x68, 0x69
    xen::PhysdevSetIobitmap s{{address(bitmap)}, 0x6a, 0};
    ASSERT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_physdev_op), v(), xen::PHYSDEVOP_set_iobitmap, address(&s)));
    v().pv->in_kernel = false;
    const auto in = [&](uint16_t port, const std::vector<uint8_t>& code) {
        r.rax = 0;
        r.rdx = port;
        const bool done = run(code);
        EXPECT_EQ(r.rax, done ? (code == in_al_dx ? 0xffu : 0xffffffffu) : 0u) << "no port is the domain's";
        return done;
    };
    EXPECT_TRUE(in(0x60, in_al_dx));
    EXPECT_FALSE(in(0x60, in_eax_dx)) << "0x61 is closed";
    EXPECT_FALSE(in(0x61, in_al_dx));
    EXPECT_TRUE(in(0x66, in_eax_dx)) << "over two bytes of the bitmap";
    EXPECT_FALSE(in(0x67, in_eax_dx)) << "beyond what the bitmap tells of";
    EXPECT_FALSE(in(0xffff, in_eax_dx));
    EXPECT_FALSE(run(cli)) << "ports only";

    s.bitmap = {0x10};
    ASSERT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_physdev_op), v(), xen::PHYSDEVOP_set_iobitmap, address(&s)));
    EXPECT_FALSE(in(0x60, in_al_dx)) << "a bitmap that cannot be read";
    s.nr_ports = 65537;
    EXPECT_FALSE(hypercall(hypercall_handler(xen::HYPERVISOR_physdev_op), v(), xen::PHYSDEVOP_set_iobitmap, address(&s)));
}

// -- instructions as an attacker writes them -------------------------------------------------------------------------

/// Memory that 32-bit addresses reach.
struct LowPage {
    uint8_t* const bytes = static_cast<uint8_t*>(
        mmap(nullptr, base::page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
    LowPage() { EXPECT_NE(bytes, MAP_FAILED); }
    LowPage(const LowPage&) = delete;
    ~LowPage() { munmap(bytes, base::page_size); }
    uint64_t address() const { return hvtest::address(bytes); }
};

/// A stack for the kernel and handlers for what emulation may raise.
class EmulateTraps : public Emulate {
protected:
    static constexpr uint64_t handler_base = 0xffff'ffff'8100'0000;
    static uint64_t handler(uint8_t vector) { return handler_base + vector * 16u; }
    void SetUp() override {
        Emulate::SetUp();
        g->give_roots();
        v().pv->kernel_sp = address(stack + 64);
        v().pv->in_kernel = false;
        v().pv->iopl = 3;
        for (const uint8_t vector : {trap_debug, trap_page_fault})
            v().pv->traps.set(vector, {vector, 0, xen::FLAT_KERNEL_CS, 0, handler(vector)});
    }
    const uint64_t* frame() const { return reinterpret_cast<const uint64_t*>(r.rsp); }
    alignas(16) uint64_t stack[64] = {};
};

const std::vector<uint8_t> insb = {0x6c}, rep_insb_32 = {0x67, 0xf3, 0x6c};

TEST_F(EmulateTraps, StringInputToMemoryThatIsNotThereIsAPageFault) {
    constexpr uint64_t nowhere = 0x10;
    r.rdi = nowhere;
    ASSERT_TRUE(pv_emulate_privileged(v(), at(insb)));
    EXPECT_EQ(r.rip, handler(trap_page_fault));
    EXPECT_EQ(frame()[2], 6u) << "a write of user code";
    EXPECT_EQ(frame()[3], start) << "at the instruction";
    EXPECT_EQ(v().pv->cr2, nowhere);
    EXPECT_EQ(r.rdi, nowhere);
}

TEST_F(EmulateTraps, StringInstructionsFollowTheAddressSize) {
    const LowPage page;
    const uint64_t low = page.address();
    r.rdi = 0xffff'ffff'0000'0000 | low;
    r.rcx = 0xffff'ffff'0000'0002;
    ASSERT_TRUE(pv_emulate_privileged(v(), at(rep_insb_32)));
    EXPECT_EQ(r.rip, start) << "one more to come";
    EXPECT_EQ(r.rdi, low + 1);
    EXPECT_EQ(r.rcx, 1u);
    ASSERT_TRUE(pv_emulate_privileged(v(), r));
    EXPECT_EQ(r.rip, start + 3);
    EXPECT_EQ(page.bytes[0], 0xff);
    EXPECT_EQ(page.bytes[1], 0xff);
    EXPECT_EQ(page.bytes[2], 0);
}

TEST_F(EmulateTraps, SingleStepEndsAnEmulatedInstruction) {
    r.rflags = eflags_tf;
    ASSERT_TRUE(pv_emulate_privileged(v(), at(in_al_dx)));
    EXPECT_EQ(r.rip, handler(trap_debug));
    EXPECT_EQ(frame()[2], start + 1) << "behind it";
    EXPECT_TRUE(v().state.debug[6] & 1u << 14);
    EXPECT_FALSE(r.rflags & eflags_tf);
}

TEST_F(EmulateTraps, CodeOf32BitsHasNoRexPrefixAndABase) {
    Mfn frame = (*g).page();
    auto* gdt = map_mfn<uint64_t>(frame);
    constexpr uint16_t code32 = 1 << 3 | 3, code16 = 2 << 3 | 3, data = 3 << 3 | 3, beyond = 4 << 3 | 3;
    gdt[1] = 0x00cffb000000ffff | uint64_t{0x10} << 16;  // base 0x10
    gdt[2] = 0x008ffb000000ffff;
    gdt[3] = 0x00cff3000000ffff;
    v().pv->gdt_frames[0] = frame;
    v().pv->gdt_entries = 4;
    const auto mode = [&](uint16_t selector) { return pv_described_segment(v(), selector); };
    ASSERT_TRUE(mode(code32));
    EXPECT_EQ(mode(code32).value().mode, CodeMode::bits32);
    EXPECT_EQ(mode(code32).value().linear(0xffff'fff8), 8u) << "addresses wrap";
    EXPECT_EQ(mode(code32).value().advance(0xffff'ffff, 1), 0u);
    EXPECT_FALSE(mode(code16));
    EXPECT_FALSE(mode(data));
    EXPECT_FALSE(mode(beyond));
    EXPECT_FALSE(mode(0));
    r.cs = code32;
    const LowPage page;
    const auto run_there = [&](std::vector<uint8_t> code) {
        std::memcpy(page.bytes, code.data(), code.size());
        r.rip = page.address() - 0x10;
        return pv_emulate_privileged(v(), r);
    };
    EXPECT_TRUE(run_there(in_al_dx));
    EXPECT_EQ(r.rip, page.address() - 0x10 + 1);
    EXPECT_FALSE(run_there({0x48, 0xec})) << "DEC EAX";
    EXPECT_FALSE(run_there(insb)) << "ES may have a base";
    r.cs = code16;
    EXPECT_FALSE(pv_emulate_privileged(v(), at(in_al_dx)));
    v().pv->gdt_entries = 0;
}

TEST_F(Emulate, TimeWithAuxiliaryIsForTheKernelWhenTheUserMayNotReadTime) {
    const std::vector<uint8_t> rdtscp = {0x0f, 0x01, 0xf9};
    v().pv->cr4 = hw::cr4_tsd;
    v().state.tsc_aux = 7;
    ASSERT_TRUE(run(rdtscp));
    EXPECT_EQ(r.rcx, 7u);
    v().pv->in_kernel = false;
    EXPECT_FALSE(run(rdtscp));
}

// -- CPUID and model-specific registers --------------------------------------------------------------------------------

constexpr uint32_t no_subleaf = xen::XEN_CPUID_NO_SUBLEAF;

xen::CpuidLeaf cpuid(Vcpu& v, uint32_t leaf, uint32_t subleaf = 0) {
    Regs r{};
    r.rax = leaf;
    r.rcx = subleaf;
    pv_cpuid(v, r);
    return {leaf,
            subleaf,
            static_cast<uint32_t>(r.rax),
            static_cast<uint32_t>(r.rbx),
            static_cast<uint32_t>(r.rcx),
            static_cast<uint32_t>(r.rdx)};
}

class Policy : public Emulate {
protected:
    static constexpr uint32_t avx = 1u << 28, fma = 1u << 12, sse3 = 1, avx2 = 1u << 5;
    void SetUp() override {
        Emulate::SetUp();
        const xen::CpuidLeaf ours[] = {{0, no_subleaf, 0xd, 1, 2, 3},
                                       {1, no_subleaf, 0x800f12, 0x20800, xsave | avx | fma | sse3, 0xff},
                                       {2, no_subleaf, 1, 1, 1, 1},
                                       {7, 0, 0, avx2 | fsgsbase, 0, 0},
                                       {0xd, 0, 7, 0x240, 0x340, 0},
                                       {0xd, 2, 0x100, 0x240, 0, 0},
                                       {0x80000000, no_subleaf, 0x80000008, 0, 0, 0},
                                       {0x80000008, no_subleaf, 0x3028, 0, 0x1001, 0}};
        for (const auto& l : ours) ASSERT_TRUE(pv_policy.set(l));
    }
    void give(const xen::CpuidLeaf& l) { ASSERT_TRUE(set_domain_policy(*g, {&l, 1})); }
};

TEST_F(Policy, AToolMayLowerButNotRaise) {
    give({0, no_subleaf, 0x1f, 9, 9, 9});
    EXPECT_EQ(cpuid(v(), 0).a, 0xdu);
    EXPECT_EQ(cpuid(v(), 0).b, 1u) << "the vendor is the machine's";
    give({1, no_subleaf, 0x12345, 0x42000700, sse3 | 1u << 21, 0x100ff});
    const xen::CpuidLeaf l = cpuid(v(), 1);
    EXPECT_EQ(l.a, 0x12345u);
    EXPECT_EQ(l.b, 0x700u);
    EXPECT_EQ(l.c, sse3 | 1u << 31) << "x2APIC is not ours to give; under a hypervisor it is";
    EXPECT_EQ(l.d, 0xffu);
    give({0x80000008, no_subleaf, 0x3034, 0xff, 0x3003, 0});
    EXPECT_EQ(cpuid(v(), 0x80000008).a, 0x3028u);
    EXPECT_EQ(cpuid(v(), 0x80000008).c, 0x3003u);
}

TEST_F(Policy, LeavesBeyondTheHighestAreEmpty) {
    EXPECT_EQ(cpuid(v(), 2).a, 1u);
    give({0, no_subleaf, 1, 0, 0, 0});
    EXPECT_EQ(cpuid(v(), 2).a, 0u);
    EXPECT_EQ(cpuid(v(), 7).b, 0u);
    EXPECT_EQ(cpuid(v(), 0x80000008).a, 0x3028u);
}

TEST_F(Policy, WhatNeedsAMissingFeatureIsMissingToo) {
    give({1, no_subleaf, 0, 0, xsave | fma | sse3, 0xff});
    EXPECT_EQ(cpuid(v(), 1).c & (avx | fma | xsave), xsave);
    EXPECT_EQ(cpuid(v(), 7).b, fsgsbase);
    EXPECT_EQ(cpuid(v(), 0xd).a, 3u);
    EXPECT_EQ(cpuid(v(), 0xd).c, 576u);
    EXPECT_EQ(cpuid(v(), 0xd, 2).a, 0u);
    give({1, no_subleaf, 0, 0, sse3 | avx, 0xff});
    EXPECT_EQ(cpuid(v(), 1).c & (avx | xsave), 0u);
    EXPECT_EQ(cpuid(v(), 0xd).a, 0u);
}

TEST_F(Policy, ExtendedStateFollowsThePolicy) {
    const std::vector<uint8_t> xsetbv = {0x0f, 0x01, 0xd1};
    const auto features = cpu_features;
    cpu_features.xcr0 = 7;
    r.rcx = 0;
    r.rax = 7;
    EXPECT_TRUE(run(xsetbv));
    give({1, no_subleaf, 0, 0, xsave | sse3, 0xff});
    EXPECT_FALSE(run(xsetbv)) << "AVX was taken away";
    r.rax = 3;
    EXPECT_TRUE(run(xsetbv));
    cpu_features = features;
}

TEST_F(Emulate, RegistersOfTheMachineAreWhatXenShows) {
    struct Case {
        uint32_t msr;
        bool readable;
        uint64_t value;
    };
    for (const bool amd : {false, true}) {
        const auto features = cpu_features;
        cpu_features.amd = amd;
        for (const Case c :
             {Case{0x0, true, 0}, Case{0xce, true, 0}, Case{0xfe, false, 0}, Case{0x140, true, 0},
              Case{0x179, true, amd ? 2u : 0x1000c02u}, Case{0x17b, true, 0}, Case{0x1a0, true, 0x801800}, Case{0x2ff, false, 0},
              Case{0x345, true, 0}, Case{0x400, true, ~uint64_t{0}}, Case{0x404, true, ~uint64_t{0}}, Case{0x408, true, 0},
              Case{0x47f, true, 0}, Case{0x480, false, 0}, Case{0x40000000, true, 0}, Case{0x40000001, false, 0},
              Case{0xc0010010, false, 0}, Case{0xc0010015, amd, 0}, Case{0xe7, false, 0}}) {
            const auto read = pv_read_msr(v(), c.msr);
            ASSERT_EQ(static_cast<bool>(read), c.readable) << std::hex << c.msr;
            if (read) { EXPECT_EQ(read.value(), c.value) << std::hex << c.msr; }
        }
        EXPECT_TRUE(pv_write_msr(v(), 0xe7, 5));
        EXPECT_FALSE(pv_write_msr(v(), 0xce, 0));
        EXPECT_FALSE(pv_write_msr(v(), 0x401, 1)) << "a report can be cleared only";
        EXPECT_FALSE(pv_write_msr(v(), 0x140, 1));
        EXPECT_EQ(static_cast<bool>(pv_write_msr(v(), 0x8b, 0)), !amd);
        cpu_features = features;
    }
}

TEST_F(Emulate, HypercallPageByItsRegister) {
    const Mfn m = g->page();
    EXPECT_FALSE(pv_write_msr(v(), 0x40000000, m.address() + 1));
    EXPECT_FALSE(pv_write_msr(v(), 0x40000000, uint64_t{1} << 60)) << "no memory";
    Guest other(2);
    EXPECT_FALSE(pv_write_msr(v(), 0x40000000, other.page().address())) << "another's";
    ASSERT_TRUE(pv_write_msr(v(), 0x40000000, m.address()));
    const auto* stub = map_mfn<uint8_t>(m) + xen::HYPERVISOR_xen_version * 32;
    EXPECT_EQ(stub[3], 0xb8) << "MOV to eax";
    EXPECT_EQ(stub[4], xen::HYPERVISOR_xen_version);
    EXPECT_EQ(page_of(m).type.load() & page::users_mask, 0u) << "no reference stays";
}

}  // namespace
