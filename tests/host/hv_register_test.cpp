// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// Registers, ports and identity as a guest's kernel finds them: control and model-specific registers through the instructions that
/// reach them, CPUID's leaves of Xen, port permissions, and which states SYSRET may return to.
#include <array>
#include <bitset>
#include <memory>
#include <random>
#include <string>

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/guest/pv/cpuid.hpp"
#include "hypervisor/guest/pv/emulate.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/traps.hpp"
#include "hypervisor/irq/pci_config.hpp"
#include "hypervisor/rt/clock.hpp"
#include "tests/host/hv_paged_guest.hpp"

namespace {

using namespace hvtest;

/// A guest that executes one instruction after another in its kernel.
class Registers : public ::testing::Test {
protected:
    Registers() : g((control_domain(), 1)) {}
    Vcpu& v() { return g.vcpu(); }
    /// Whether the instruction was executed, with rip behind it.
    bool run(std::vector<uint8_t> code) {
        const size_t length = code.size();
        code.resize(32, 0x90);
        r.rip = address(code.data());
        r.cs = xen::FLAT_RING3_CS64;
        if (!pv_emulate_privileged(v(), r)) return false;
        EXPECT_EQ(r.rip, address(code.data()) + length);
        return true;
    }
    bool write_msr(uint32_t msr, uint64_t value) {
        r.rcx = msr;
        r.rax = 0xdead'0000'0000'0000 | (value & 0xffffffff);  // the upper half of rax is ignored
        r.rdx = value >> 32;
        return run({0x0f, 0x30});
    }
    Result<uint64_t> read_msr(uint32_t msr) {
        r.rcx = msr;
        r.rax = r.rdx = ~uint64_t{0};
        if (!run({0x0f, 0x32})) return Err{Errc::perm};
        EXPECT_EQ((r.rax | r.rdx) >> 32, 0u);
        return r.rdx << 32 | r.rax;
    }

    PagedGuest g;
    Regs r{};
};

TEST_F(Registers, ControlRegistersShowTheGuestsOwn) {
    constexpr uint64_t ts = 8, fixed = 0x80050033;
    ASSERT_TRUE(run({0x0f, 0x20, 0xc3}));  // MOV rbx, cr0
    EXPECT_EQ(r.rbx, fixed);
    r.rbx = fixed | ts;
    ASSERT_TRUE(run({0x0f, 0x22, 0xc3}));
    ASSERT_TRUE(run({0x0f, 0x20, 0xc1}));  // rcx
    EXPECT_EQ(r.rcx, fixed | ts);
    r.rbx = 0;  // paging off: it stays
    ASSERT_TRUE(run({0x0f, 0x22, 0xc3}));
    ASSERT_TRUE(run({0x0f, 0x20, 0xc3}));
    EXPECT_EQ(r.rbx, fixed);
    r.rsi = 0x1234567890;
    ASSERT_TRUE(run({0x0f, 0x22, 0xd6}));  // MOV cr2, rsi
    ASSERT_TRUE(run({0x0f, 0x20, 0xd7}));  // MOV rdi, cr2
    EXPECT_EQ(r.rdi, 0x1234567890u);
    ASSERT_TRUE(run({0x0f, 0x20, 0xd8}));  // MOV rax, cr3
    EXPECT_EQ(r.rax, g.l4.address());
    r.rax = g.data.address();  // mapped writable: no table
    EXPECT_FALSE(run({0x0f, 0x22, 0xd8}));
    EXPECT_EQ(v().pv->kernel_root, g.l4);
    EXPECT_FALSE(run({0x44, 0x0f, 0x20, 0xc0})) << "CR8";
    EXPECT_FALSE(run({0x44, 0x0f, 0x22, 0xc0}));
    EXPECT_FALSE(run({0x0f, 0x20, 0xc8})) << "CR1";
}

TEST_F(Registers, BasesAreCanonicalAndComeBack) {
    Vcpu* const running = std::exchange(this_cpu().current, this_cpu().idle);
    for (const uint32_t msr : {hw::msr_fs_base, hw::msr_gs_base, hw::msr_kernel_gs_base}) {
        ASSERT_TRUE(write_msr(msr, 0x7fff'1234'5678)) << msr;
        EXPECT_EQ(must(read_msr(msr)), 0x7fff'1234'5678u) << msr;
        EXPECT_FALSE(write_msr(msr, uint64_t{1} << 47)) << "WRMSR would fault in ring 0";
        EXPECT_EQ(must(read_msr(msr)), 0x7fff'1234'5678u) << msr;
    }
    this_cpu().current = running;
    EXPECT_EQ(v().pv->fs_base, 0x7fff'1234'5678u);
    EXPECT_EQ(v().pv->gs_base_kernel, 0x7fff'1234'5678u);
    EXPECT_EQ(v().pv->gs_base_user, 0x7fff'1234'5678u);
}

TEST_F(Registers, SomeTakeOnlyWhatTheyHave) {
    constexpr uint32_t efer = 0xc0000080, apic_base = 0x1b, misc_enable = 0x1a0, tsc_aux = 0xc0000103;
    const uint64_t modes = must(read_msr(efer));
    EXPECT_EQ(modes, 0xd01u);
    EXPECT_TRUE(write_msr(efer, modes));
    EXPECT_FALSE(write_msr(efer, modes & ~uint64_t{0x800})) << "NX off";
    EXPECT_EQ(must(read_msr(apic_base)) >> 8 & 9, 9u) << "on, and the first CPU's";
    const uint64_t misc = must(read_msr(misc_enable));
    EXPECT_TRUE(write_msr(misc_enable, misc));
    EXPECT_FALSE(write_msr(misc_enable, misc ^ 1));
    ASSERT_TRUE(write_msr(tsc_aux, 0x12345));
    EXPECT_EQ(must(read_msr(tsc_aux)), 0x12345u);
    EXPECT_FALSE(write_msr(tsc_aux, uint64_t{1} << 32));
    EXPECT_EQ(must(read_msr(tsc_aux)), 0x12345u);
    v().pv->in_kernel = false;
    EXPECT_FALSE(write_msr(tsc_aux, 1)) << "user code has none";
    EXPECT_FALSE(read_msr(tsc_aux));
}

TEST_F(Registers, XensLeavesSayWhoWeAre) {
    const auto leaf = [&](uint32_t n, uint32_t sub = 0) {
        Regs q{};
        q.rax = n;
        q.rcx = sub;
        pv_cpuid(v(), q);
        return std::array<uint32_t, 4>{static_cast<uint32_t>(q.rax), static_cast<uint32_t>(q.rbx), static_cast<uint32_t>(q.rcx),
                                       static_cast<uint32_t>(q.rdx)};
    };
    const auto first = leaf(0x40000000);
    EXPECT_GE(first[0], 0x40000002u);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(&first[1]), 12), "XenVMMXenVMM");
    EXPECT_EQ(leaf(0x40000001)[0], 4u << 16 | 17u);
    EXPECT_EQ(leaf(0x40000002)[0], 1u) << "pages of hypercalls";
    EXPECT_EQ(leaf(0x40000002)[1], 0x40000000u);
    g->tsc_incarnation = 3;
    EXPECT_EQ(leaf(0x40000003)[2], clock::tsc_khz);
    EXPECT_EQ(leaf(0x40000003)[3], 3u);
    EXPECT_EQ(leaf(0x40000003, 2)[0], clock::tsc_khz);
    EXPECT_EQ(leaf(0x40000003, 1), (std::array<uint32_t, 4>{}));
    EXPECT_GE(leaf(0x40000005)[1], 12u) << "bits of a machine address";
    EXPECT_EQ(leaf(0x40000004), (std::array<uint32_t, 4>{})) << "for guests of another kind";
    // The instruction with Xen's prefix for kernels that may not fault on it.
    r.rax = 0x40000001;
    const uint8_t forced[] = {0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0xa2};
    std::vector<uint8_t> code(forced, forced + sizeof forced);
    code.resize(32, 0x90);
    r.rip = address(code.data());
    r.cs = xen::FLAT_RING3_CS64;
    ASSERT_TRUE(pv_emulate_forced(v(), r));
    EXPECT_EQ(r.rip, address(code.data()) + sizeof forced);
    EXPECT_EQ(r.rax, 4u << 16 | 17u);
    for (size_t wrong = 0; wrong < sizeof forced; ++wrong) {
        r.rip = address(code.data());
        code[wrong] ^= 1;
        EXPECT_FALSE(pv_emulate_forced(v(), r)) << "byte " << wrong;
        code[wrong] ^= 1;
    }
}

TEST_F(Registers, ForcedCpuidMayBeTheLastOfItsPage) {
    const uint8_t forced[] = {0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0xa2};
    std::vector<uint8_t> code(page_size, 0x90);
    uint8_t* const start = code.data() + code.size() - sizeof forced;
    std::copy(forced, forced + sizeof forced, start);
    host::guest_window(address(code.data()), code.size());
    r.rax = 0x40000001;
    r.cs = xen::FLAT_RING3_CS64;
    r.rip = address(start);
    EXPECT_TRUE(pv_emulate_forced(v(), r));
    EXPECT_EQ(r.rax, 4u << 16 | 17u);
    r.rip = address(start) + 1;
    EXPECT_FALSE(pv_emulate_forced(v(), r));
    host::guest_window(page_size, ~uint64_t{0} - page_size);
}

// -- ports -------------------------------------------------------------------------------------------------------------

TEST_F(Registers, PciRegistersAreReachedThroughTheGuestsOwnAddress) {
    v().pv->iopl = 1;
    r.rdx = 0xcf8;
    r.rax = 0x80001234;
    ASSERT_TRUE(run({0xef}));  // OUT dx, eax
    EXPECT_EQ(g->pci_address, 0x80001234u);
    r.rax = 0;
    ASSERT_TRUE(run({0xed}));
    EXPECT_EQ(static_cast<uint32_t>(r.rax), 0x80001234u);
    r.rdx = 0xcfc;
    for (const uint8_t in : {uint8_t{0xec}, uint8_t{0xed}}) {  // the device does not answer, and a domU may not ask
        r.rax = 0x1122334455667788;
        ASSERT_TRUE(run({in}));
        EXPECT_EQ(r.rax, in == 0xec ? 0x11223344556677ffu : 0xffffffffu);
    }
    ASSERT_TRUE(run({0xee}));
    EXPECT_EQ(g->pci_address, 0x80001234u) << "the data port is another";
}

/// Against a set of single numbers: 60,000 random changes.
TEST(RangeSet, IsTheSetOfItsNumbers) {
    constexpr unsigned size = 200;
    std::mt19937 engine(5);
    const auto random = [&] { return static_cast<unsigned>(engine()); };
    for (unsigned round = 0; round < 60; ++round) {
        RangeSet set;
        std::bitset<size> reference;
        for (unsigned step = 0; step < 1000; ++step) {
            const unsigned first = random() % size;
            const unsigned last = std::min<unsigned>(size - 1, first + random() % (round % 2 ? 60 : 3));
            const bool adds = random() % 2;
            std::bitset<size> wanted = reference;
            for (unsigned i = first; i <= last; ++i) wanted[i] = adds;
            const Status s = adds ? set.add(first, last) : set.remove(first, last);
            if (s) {
                reference = wanted;
            } else {
                ASSERT_EQ(s.error(), Errc::nospc);
            }
            unsigned ranges = 0;
            for (unsigned i = 0; i < size; ++i) {
                ASSERT_EQ(set.contains(i, i), reference[i]) << "step " << step;
                ranges += reference[i] && (i == 0 || !reference[i - 1]);
            }
            // No more pieces than there must be: it is full only when the set is that fragmented.
            ASSERT_EQ(set.used, ranges);
            if (!s) { ASSERT_EQ(ranges, RangeSet::capacity); }
            bool whole = true;
            for (unsigned i = first; i <= last; ++i) whole &= reference[i];
            ASSERT_EQ(set.contains(first, last), whole);
        }
    }
    RangeSet edges;
    ASSERT_TRUE(edges.add(~uint64_t{0}, ~uint64_t{0}));
    ASSERT_TRUE(edges.add(0, 0));
    EXPECT_EQ(edges.used, 2u) << "the ends of the numbers do not touch";
    EXPECT_FALSE(edges.contains(1, ~uint64_t{0}));
    ASSERT_TRUE(edges.remove(0, ~uint64_t{0}));
    EXPECT_EQ(edges.used, 0u);
    EXPECT_FALSE(edges.add(5, 4));
    EXPECT_FALSE(edges.remove(5, 4));
}

// SYSRET with an address that is not canonical faults in ring 0 with the guest's stack; what it cannot restore goes through IRET.
TEST(Sysret, OnlyWhatItCanRestore) {
    Regs good{};
    good.vector = entry_syscall;
    good.cs = xen::FLAT_RING3_CS64;
    good.ss = xen::FLAT_RING3_SS64;
    good.rip = 0x401000;
    good.rflags = eflags_if;
    EXPECT_TRUE(pv_can_sysret(good));
    const auto with = [&](auto change) {
        Regs r = good;
        change(r);
        return pv_can_sysret(r);
    };
    EXPECT_FALSE(with([](Regs& r) { r.rip = uint64_t{1} << 47; }));
    EXPECT_TRUE(with([](Regs& r) { r.rip = (uint64_t{1} << 47) - 1; }));
    EXPECT_FALSE(with([](Regs& r) { r.vector = 14; }));
    for (const uint64_t flag : {eflags_tf, eflags_rf, eflags_vm}) EXPECT_FALSE(with([&](Regs& r) { r.rflags |= flag; })) << flag;
}

}  // namespace
