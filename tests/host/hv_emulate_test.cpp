// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// Privileged instructions of a PV guest: what they do for its kernel, and what its user code may not do.
#include "hypervisor/guest/pv/emulate.hpp"

#include "abi/xen/arch_x86.hpp"
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

}  // namespace
