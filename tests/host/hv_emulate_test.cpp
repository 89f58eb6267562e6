// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// Privileged instructions of a PV guest: what they do for its kernel, and what its user code may not do.
#include "hypervisor/guest/pv/emulate.hpp"

#include "abi/xen/arch_x86.hpp"
#include "abi/xen/physdev.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/guest/pv/cpuid.hpp"
#include "hypervisor/guest/pv/cr4.hpp"
#include "hypervisor/guest/pv/pv.hpp"
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
        if (!pv_emulate_privileged(v(), r)) return false;
        EXPECT_EQ(r.rip, address(bytes.data()) + length);
        return true;
    }
    void offer(uint32_t leaf, uint32_t subleaf, uint32_t b, uint32_t c, uint32_t d) {
        ASSERT_TRUE(pv_policy.set({leaf, subleaf, 0, b, c, d}));
    }

    std::unique_ptr<Guest> g;
    CpuPolicy saved_policy;
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
    const auto result = hypercall(hypercall_physdev_op, v, xen::PHYSDEVOP_set_iopl, address(&s));
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
    ASSERT_TRUE(hypercall(hypercall_physdev_op, v(), xen::PHYSDEVOP_set_iobitmap, address(&s)));
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
    ASSERT_TRUE(hypercall(hypercall_physdev_op, v(), xen::PHYSDEVOP_set_iobitmap, address(&s)));
    EXPECT_FALSE(in(0x60, in_al_dx)) << "a bitmap that cannot be read";
    s.nr_ports = 65537;
    EXPECT_FALSE(hypercall(hypercall_physdev_op, v(), xen::PHYSDEVOP_set_iobitmap, address(&s)));
}

}  // namespace
