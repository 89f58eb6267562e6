// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// What a guest's kernel finds when an exception, an INT n or a system call enters it, and which of them end its domain.
#include "abi/xen/arch_x86.hpp"
#include "abi/xen/sched.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/traps.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;

constexpr uint64_t handler_base = 0xffff'ffff'8100'0000;

uint64_t handler(uint8_t vector) { return handler_base + vector * 16; }

/// A guest with a stack for its kernel, and code whose last instruction has just trapped.
class Traps : public ::testing::Test {
protected:
    void SetUp() override {
        machine();
        g = std::make_unique<Guest>(1);
        g->give_roots();
        v().pv->kernel_sp = address(stack + 64);
        v().pv->in_kernel = false;
        register_handler(trap_gp, 0);
        register_handler(trap_invalid_opcode, 0);
    }
    Vcpu& v() { return g->vcpu(); }
    void register_handler(uint8_t vector, uint8_t dpl) {
        v().pv->traps.set(vector, {vector, dpl, xen::FLAT_KERNEL_CS, 0, handler(vector)});
    }
    /// `code` has run up to byte `at` when the CPU reports `vector`.
    void trap(const std::vector<uint8_t>& code, size_t at, uint32_t vector, uint32_t error_code = 0) {
        bytes.assign(before, 0x90);
        bytes.insert(bytes.end(), code.begin(), code.end());
        bytes.resize(before + 32, 0x90);
        r = {};
        r.rip = start() + at;
        r.cs = xen::FLAT_RING3_CS64;
        r.ss = xen::FLAT_RING3_SS64;
        r.rsp = v().pv->in_kernel ? address(stack + 32) : 0x7fff0000;
        r.vector = vector;
        r.error_code = error_code;
        pv_trap(v(), r);
    }
    uint64_t start() const { return address(bytes.data() + before); }
    /// The frame on the kernel's stack, from its lowest word.
    const uint64_t* frame() const { return reinterpret_cast<const uint64_t*>(r.rsp); }
    void expect_refused(uint8_t vector) {
        EXPECT_FALSE((*g)->shutting_down.load());
        ASSERT_EQ(r.rip, handler(trap_gp));
        EXPECT_EQ(frame()[2], vector * 8u + 2u) << "the error code names the gate";
        EXPECT_EQ(frame()[3], start()) << "at the instruction";
        EXPECT_TRUE(v().pv->in_kernel);
    }
    void expect_entered(uint8_t vector, size_t after) {
        EXPECT_FALSE((*g)->shutting_down.load());
        ASSERT_EQ(r.rip, handler(vector));
        EXPECT_EQ(frame()[2], start() + after) << "no error code, and behind the instruction";
    }

    std::unique_ptr<Guest> g;
    Regs r{};
    alignas(16) uint64_t stack[64] = {};
    /// What lies in front of the code is looked at too.
    static constexpr size_t before = 16;
    std::vector<uint8_t> bytes;
};

TEST_F(Traps, SoftwareInterruptWithoutHandlerIsAProtectionFault) {
    trap({0xcd, 0x80}, 2, 0x80);
    expect_refused(0x80);
    v().pv->in_kernel = false;
    trap({0xcd, 0x21}, 0, trap_gp, 0x21 * 8 + 2);
    expect_refused(0x21);
}

TEST_F(Traps, SoftwareInterruptThroughAClosedGateIsAProtectionFault) {
    for (const uint8_t vector : {uint8_t{0x80}, uint8_t{0x21}}) {
        register_handler(vector, 0);
        v().pv->in_kernel = false;
        if (vector == linux_vector) trap({0xcd, vector}, 2, vector);
        else trap({0xcd, vector}, 0, trap_gp, vector * 8u + 2);
        expect_refused(vector);
    }
}

TEST_F(Traps, SoftwareInterruptThroughAnOpenGate) {
    for (const uint8_t vector : {uint8_t{0x80}, uint8_t{0x21}, uint8_t{0x0e}}) {
        register_handler(vector, 3);
        v().pv->in_kernel = false;
        if (vector == linux_vector) trap({0xcd, vector}, 2, vector);
        else trap({0xcd, vector}, 0, trap_gp, vector * 8u + 2);
        expect_entered(vector, 2);
    }
}

TEST_F(Traps, BreakpointAndOverflowWithoutHandlerAreProtectionFaults) {
    trap({0xcc}, 1, trap_breakpoint);
    expect_refused(trap_breakpoint);
    v().pv->in_kernel = false;
    trap({0xcd, 3}, 2, trap_breakpoint);
    expect_refused(trap_breakpoint);
    v().pv->in_kernel = false;
    trap({0xce}, 1, trap_overflow);
    expect_refused(trap_overflow);
    v().pv->in_kernel = false;
    trap({0xcd, 4}, 2, trap_overflow);
    expect_refused(trap_overflow);
}

TEST_F(Traps, BreakpointNeedsNoPrivilege) {
    register_handler(trap_breakpoint, 0);
    trap({0xcc}, 1, trap_breakpoint);
    expect_entered(trap_breakpoint, 1);
}

TEST_F(Traps, IcebpWithoutHandlerIsAProtectionFault) {
    trap({0xf1}, 1, trap_debug);
    expect_refused(trap_debug);
}

TEST_F(Traps, FramesCarryTheVirtualPrivilegeLevelWhenAskedTo) {
    register_handler(linux_vector, 3);
    v().pv->iopl = 2;
    trap({0xcd, 0x80}, 2, 0x80);
    EXPECT_EQ(frame()[4] & eflags_iopl, 0u);
    (*g)->vm_assist |= 1u << xen::VMASST_TYPE_architectural_iopl;
    v().pv->in_kernel = false;
    trap({0xcd, 0x80}, 2, 0x80);
    EXPECT_EQ(frame()[4] & eflags_iopl, uint64_t{2} << eflags_iopl_shift);
}

TEST_F(Traps, ExceptionWithoutHandlerEndsTheDomain) {
    trap({0x90}, 0, 0);
    EXPECT_TRUE((*g)->shutting_down.load());
    EXPECT_EQ((*g)->shutdown_code, xen::SHUTDOWN_crash);
}

TEST_F(Traps, SysenterReachesItsCallbackFromUserCode) {
    const std::vector<uint8_t> sysenter = {0x0f, 0x34};
    trap(sysenter, 0, trap_gp);
    ASSERT_EQ(r.rip, handler(trap_gp)) << "no callback";
    EXPECT_EQ(frame()[3], start());
    v().pv->sysenter = {handler(0x90), true};
    v().pv->in_kernel = false;
    trap(sysenter, 0, trap_gp);
    ASSERT_EQ(r.rip, handler(0x90));
    EXPECT_EQ(frame()[2], 0u) << "rip";
    EXPECT_EQ(frame()[3] & 0xffff, 3u) << "cs";
    EXPECT_EQ(frame()[5], 0u) << "rsp";
    trap(sysenter, 0, trap_gp);
    EXPECT_EQ(r.rip, handler(trap_gp)) << "the kernel has no use for it";
}

/// Whatever the kernel's frame for its return says: SYSRET is chosen only where it leaves what the frame asks for.
TEST_F(Traps, ReturnIsBySysretOnlyWhereThatChangesNothing) {
    constexpr uint64_t flags_on = eflags_if | 2;
    const uint64_t addresses[] = {0x401000, 0x402000, 0xffff'8800'0000'0000 - 0x1000, uint64_t{1} << 47};
    const uint64_t flags[] = {flags_on, flags_on | 1, flags_on | eflags_tf, flags_on | eflags_ac, 2, flags_on | eflags_nt};
    const uint64_t selectors[] = {xen::FLAT_RING3_CS64, xen::FLAT_RING3_CS64 & ~3u, 0x33};
    unsigned by_sysret = 0;
    for (const uint64_t rip : addresses)
        for (const uint64_t rcx : addresses)
            for (const uint64_t rflags : flags)
                for (const uint64_t r11 : flags)
                    for (const uint64_t cs : selectors) {
                        xen::IretContext f{1, r11, rcx, 0, rip, cs, rflags, 0x7fff0000, xen::FLAT_RING3_SS64};
                        v().pv->in_kernel = true;
                        r = {};
                        r.rsp = address(&f);
                        pv_return(v(), r);
                        EXPECT_EQ(v().pv->in_kernel, (cs & 3) == 0);
                        EXPECT_EQ(v().info.load()->evtchn_upcall_mask, (rflags & eflags_if) == 0);
                        EXPECT_EQ(r.rip, rip);
                        EXPECT_EQ(r.rcx, rcx);
                        EXPECT_EQ(r.r11, r11);
                        EXPECT_EQ(r.rflags, (rflags | eflags_if) & ~eflags_nt);
                        EXPECT_EQ(r.cs, cs | 3);
                        if (!pv_can_sysret(r)) continue;
                        ++by_sysret;
                        EXPECT_EQ(r.rcx, r.rip);
                        EXPECT_EQ(r.r11, r.rflags);
                        EXPECT_EQ(r.cs, xen::FLAT_RING3_CS64);
                    }
    EXPECT_GT(by_sysret, 0u);
    // The kernel says itself that its user is in a system call.
    xen::IretContext f{1, 2, 3, xen::VGCF_in_syscall, 0x401000, xen::FLAT_RING3_CS64, flags_on, 0x7fff0000, xen::FLAT_RING3_SS64};
    v().pv->in_kernel = true;
    r = {};
    r.rsp = address(&f);
    pv_return(v(), r);
    EXPECT_TRUE(pv_can_sysret(r));
    // But not with selectors that SYSRET would not load.
    for (uint64_t xen::IretContext::*selector : {&xen::IretContext::cs, &xen::IretContext::ss}) {
        xen::IretContext odd = f;
        odd.*selector = 0xe023;
        v().pv->in_kernel = true;
        r = {};
        r.rsp = address(&odd);
        pv_return(v(), r);
        EXPECT_FALSE(pv_can_sysret(r));
        EXPECT_EQ(selector == &xen::IretContext::cs ? r.cs : r.ss, 0xe023u);
    }
}

TEST_F(Traps, SystemCallWithoutCallbackIsUndefined) {
    bytes.assign(before + 32, 0x90);
    bytes[before] = 0x0f, bytes[before + 1] = 0x05;
    r = {};
    r.rip = start() + 2;
    r.vector = entry_syscall;
    r.rcx = 0x1234, r.r11 = 0x5678;
    pv_system_call(v(), r);
    EXPECT_FALSE((*g)->shutting_down.load());
    ASSERT_EQ(r.rip, handler(trap_invalid_opcode));
    EXPECT_EQ(frame()[2], start());
    EXPECT_EQ(frame()[0], 0x1234u) << "rcx and r11 are in the frame: on the way they may be lost";
    EXPECT_EQ(frame()[1], 0x5678u);
    EXPECT_EQ(r.vector, entry_syscall);

    v().pv->in_kernel = false;
    trap({0x0f, 0x05}, 2, entry_syscall32);
    ASSERT_EQ(r.rip, handler(trap_invalid_opcode));
    EXPECT_EQ(frame()[2], start());
}

}  // namespace
