// SPDX-License-Identifier: Apache-2.0
// link: hvcore
// What guests see of the CPU's means against speculation, and which entries of theirs may stand in page tables.
#include "hypervisor/cpu_policy/speculation.hpp"

#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/arch/x86/speculation_plan.hpp"
#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/guest/pv/l1tf.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;
using namespace hv::spec_bit;

constexpr uint32_t spec_ctrl_msr = 0x48, pred_cmd_msr = 0x49, arch_capabilities_msr = 0x10a;

/// A guest whose CPUID shows what the plan lets it see of a CPU with `edx` in leaf 7.
struct SpecGuest : Guest {
    SpecGuest(uint16_t id, uint32_t edx, uint32_t allowed) : Guest(id) {
        speculation.guest_allowed = allowed;
        const xen::CpuidLeaf machine{7, 0, 0, 0, 0, edx};
        xen::CpuidLeaf offered{7, 0, 0, 0, 0, 0};
        x86::add_speculation_features({.spec_ctrl_allowed = allowed}, machine, offered);
        d->policy = must(make<CpuPolicy>());
        EXPECT_TRUE(d->policy->set(offered));
    }
    ~SpecGuest() { speculation.guest_allowed = 0; }
    uint32_t seen() { return domain_policy(*d).find(7, 0)->d; }
    Errc write(uint64_t value, uint32_t msr = spec_ctrl_msr) {
        const Status s = write_speculation_msr(vcpu(), msr, value);
        return s ? Errc{} : s.error();
    }
};

struct SpecGuests : testing::Test {
    SpecGuests() { control_domain(); }
};

TEST_F(SpecGuests, WithoutTheRegisterTheyDoNotSeeIt) {
    SpecGuest g(1, ibrsb | stibp | ssbd, 0);
    EXPECT_EQ(g.seen(), 0u);
    EXPECT_EQ(g.write(1), Errc::perm);
    EXPECT_EQ(read_speculation_msr(g.vcpu(), spec_ctrl_msr).error(), Errc::perm);
    EXPECT_EQ(g.write(1, pred_cmd_msr), Errc::perm);
}

TEST_F(SpecGuests, TheValueIsTheirsAndOnlyBitsThatTheyHave) {
    SpecGuest g(1, ibrsb | ssbd | srbds_ctrl | md_clear, spec_ctrl::ibrs | spec_ctrl::ssbd);
    EXPECT_EQ(g.seen(), ibrsb | ssbd | md_clear);
    EXPECT_EQ(g.write(spec_ctrl::ibrs | spec_ctrl::ssbd), Errc{});
    EXPECT_EQ(must(read_speculation_msr(g.vcpu(), spec_ctrl_msr)), spec_ctrl::ibrs | spec_ctrl::ssbd);
    EXPECT_EQ(g.vcpu().state.spec_ctrl, spec_ctrl::ibrs | spec_ctrl::ssbd);
    EXPECT_EQ(g.write(spec_ctrl::psfd), Errc::perm);
    EXPECT_EQ(g.write(uint64_t{1} << 32), Errc::perm);
    EXPECT_EQ(g.write(spec_ctrl::stibp), Errc{}) << "allowed where IBRS is, and without effect";
    EXPECT_EQ(g.vcpu().state.spec_ctrl, 0u);
    EXPECT_EQ(g.write(1, pred_cmd_msr), Errc{});
    EXPECT_EQ(g.write(2, pred_cmd_msr), Errc::perm);
    EXPECT_EQ(read_speculation_msr(g.vcpu(), pred_cmd_msr).error(), Errc::perm);
}

TEST_F(SpecGuests, CapabilitiesAreForTheControlDomain) {
    cpu_traits.leaf7_edx = arch_caps;
    cpu_traits.arch_caps = rdcl_no | tsx_ctrl | mds_no;
    SpecGuest g(1, arch_caps, 0);
    EXPECT_EQ(read_speculation_msr(g.vcpu(), arch_capabilities_msr).error(), Errc::perm);
    EXPECT_EQ(must(read_speculation_msr(*dom0->vcpus[0], arch_capabilities_msr)), rdcl_no | mds_no);
    xen::CpuidLeaf l{7, 0, 0, 0, 0, 0};
    add_control_features(g.vcpu(), l);
    EXPECT_EQ(l.d, 0u);
    add_control_features(*dom0->vcpus[0], l);
    EXPECT_EQ(l.d, uint32_t{arch_caps});
    cpu_traits = {};
}

TEST_F(SpecGuests, OtherRegistersAreSomebodyElses) {
    SpecGuest g(1, ibrsb, spec_ctrl::ibrs);
    EXPECT_EQ(g.write(0, 0x10), Errc::noent);
    EXPECT_EQ(read_speculation_msr(g.vcpu(), 0x10).error(), Errc::noent);
}

TEST(L1tf, WhatAnEntryNames) {
    constexpr uint64_t gib = uint64_t{1} << 30, end = 4 * gib;
    EXPECT_TRUE(l1tf_harmless(0, end, 44));
    EXPECT_TRUE(l1tf_harmless(0xfff & ~pte::present, end, 44)) << "address 0";
    EXPECT_TRUE(l1tf_harmless(gib | pte::present, end, 44));
    EXPECT_FALSE(l1tf_harmless(gib, end, 44));
    EXPECT_FALSE(l1tf_harmless(0x1000, end, 44));
    EXPECT_TRUE(l1tf_harmless(end, end, 44));
    EXPECT_FALSE(l1tf_harmless((uint64_t{1} << 45) | gib, end, 44)) << "bits that the cache does not look at";
    EXPECT_TRUE(l1tf_harmless((uint64_t{1} << 45) | gib, end, 46));
    EXPECT_TRUE(l1tf_harmless(~gib & pte::frame_mask, end, 44)) << "as Linux stores it";
    EXPECT_TRUE(l1tf_harmless(uint64_t{0x7ff} << 52, end, 44)) << "software bits";
}

/// A guest with one L1 table in use, whose entries are checked.
struct CheckedGuest : Guest {
    Mfn l1;
    CheckedGuest() : Guest(1), l1(0) {
        d->pv->checks_nonpresent = true;
        l1 = page();
        EXPECT_TRUE(pin_table(*d, l1, PageType::l1));
        host::become(1);
        this_cpu().current = &vcpu();
    }
    ~CheckedGuest() {
        this_cpu().pending = 0;
        this_cpu().current = this_cpu().idle;
        host::become(0);
    }
    uint64_t* slot() { return map_mfn<uint64_t>(l1); }
    Status store(uint64_t entry) {
        Guard lock(d->pv->lock);
        return update_l1(*d, *d, slot(), entry, KeepAccessed::no);
    }
};

TEST_F(SpecGuests, AnEntryThatNamesMemoryEndsTheGuest) {
    CheckedGuest g;
    EXPECT_TRUE(g.store(~uint64_t{0x1000} & pte::frame_mask));
    EXPECT_FALSE(this_cpu().wants(SoftIrq::crash));
    EXPECT_EQ(g.store(0x1000).error(), Errc::perm);
    EXPECT_NE(*g.slot(), 0x1000u) << "it was never in the table";
    EXPECT_TRUE(this_cpu().wants(SoftIrq::crash));
}

TEST_F(SpecGuests, NorMayATableBringOne) {
    CheckedGuest g;
    const Mfn table = g.page();
    map_mfn<uint64_t>(table)[511] = 0x2000;
    EXPECT_EQ(pin_table(*g.d, table, PageType::l1).error(), Errc::perm);
    EXPECT_TRUE(this_cpu().wants(SoftIrq::crash));
    EXPECT_TRUE(get_writable_type(page_of(table))) << "it is no table";
    put_writable_type(page_of(table));
    this_cpu().pending = 0;
    g->pv->checks_nonpresent = false;
    EXPECT_TRUE(pin_table(*g.d, table, PageType::l1));
}

TEST_F(SpecGuests, ABuilderIsRefusedAndLives) {
    CheckedGuest g;
    this_cpu().current = dom0->vcpus[0];
    EXPECT_EQ(g.store(0x1000).error(), Errc::perm);
    EXPECT_FALSE(this_cpu().wants(SoftIrq::crash));
}

}  // namespace
