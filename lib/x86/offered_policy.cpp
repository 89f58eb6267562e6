// SPDX-License-Identifier: Apache-2.0
/// The machine's own policy and the one that PV guests are offered.
#include "lib/x86/cpu_policy.hpp"
#include "lib/x86/leaf_rules.hpp"

namespace x86 {

using namespace cpu_policy;

void add_speculation_features(const OfferedMachine& m, const xen::CpuidLeaf& machine, xen::CpuidLeaf& offered) {
    using namespace spec_bit;
    const uint32_t allowed = m.spec_ctrl_allowed;
    if (machine.leaf == 7 && machine.subleaf == 0) {
        const uint32_t control = (allowed & spec_ctrl::ibrs ? ibrsb : 0) | (allowed & spec_ctrl::stibp ? stibp : 0) |
                                 (allowed & spec_ctrl::ssbd ? ssbd : 0);
        offered.d |= machine.d & (control | md_clear);
    }
    if (machine.leaf == 0x80000008) offered.b |= machine.b & ((m.has_ibpb ? ibpb : 0) | ssb_no | btc_no | ibpb_ret);
}

namespace {

constexpr uint32_t max_basic = 0xd;
constexpr uint32_t max_extended_amd = 0x80000021, max_extended_intel = 0x80000008;

uint32_t capped(uint32_t value, uint32_t limit) { return value < limit ? value : limit; }

/// Registers that mean nothing on the other vendor's CPUs but are there.
void vendor_rules(bool amd, xen::CpuidLeaf& l) {
    constexpr uint32_t sep = 1u << 11;
    if (amd) {
        // SYSENTER does not work in long mode.
        if (l.leaf == 1) l.d &= ~sep;
        return;
    }
    switch (l.leaf) {
        case 0x80000000: l.b = l.c = l.d = 0; return;
        case 0x80000001: l.a = 0; return;
        case 0x80000005: l = {l.leaf, l.subleaf, 0, 0, 0, 0}; return;
        case 0x80000006: l.a = l.b = l.d = 0; return;
        case 0x80000008: l.c = 0; return;
        default: return;
    }
}

struct Policies {
    CpuidReader read;
    const OfferedMachine& machine;
    CpuPolicy& raw;
    CpuPolicy& pv;

    void add_leaf(const LeafRule& m) {
        const CpuidResult h = read(m.leaf, m.subleaf == no_subleaf ? 0 : m.subleaf);
        const xen::CpuidLeaf all_of_it{m.leaf, m.subleaf, h.a, h.b, h.c, h.d};
        xen::CpuidLeaf l{m.leaf, m.subleaf, h.a & m.a, h.b & m.b, h.c & m.c, h.d & m.d};
        if (m.leaf == 0) l.a = capped(l.a, max_basic);
        if (m.leaf == 0x80000000) l.a = capped(l.a, machine.amd ? max_extended_amd : max_extended_intel);
        if (m.leaf == 1) l.c |= hypervisor_present;
        if (m.leaf == 0xd && m.subleaf == 0) l.c = machine.save_area_bytes;
        vendor_rules(machine.amd, l);
        add_speculation_features(machine, all_of_it, l);
        // Both tables have room for every rule.
        (void)raw.set(all_of_it);
        (void)pv.set(l);
    }

    /// Leaves without anything, as rows of their own: the tools' serialised form has every leaf up to the last one, and they make
    /// room for it by what they were given.
    void fill_gaps() {
        for (const uint32_t first : {0u, 0x80000000u})
            for (uint32_t leaf = first; leaf <= pv.highest[first >> 31]; ++leaf)
                if (!has_subleaves(leaf) && !pv.find(leaf, no_subleaf)) add_leaf({leaf, no_subleaf, 0, 0, 0, 0});
    }
};

}  // namespace

base::Status CpuPolicy::set(const xen::CpuidLeaf& l) {
    if ((l.leaf & 0x7fffffff) == 0) highest[l.leaf >> 31] = l.a;
    for (unsigned i = 0; i < count; ++i) {
        if (leaves[i].leaf != l.leaf || leaves[i].subleaf != l.subleaf) continue;
        leaves[i] = l;
        return base::ok;
    }
    if (count == capacity) return base::Err{base::Errc::nobufs};
    leaves[count++] = l;
    return base::ok;
}

void make_policies(CpuidReader read, const OfferedMachine& m, CpuPolicy& raw, CpuPolicy& pv) {
    raw = pv = {};
    Policies p{read, m, raw, pv};
    const uint32_t host_basic = read(0, 0).a;
    const uint32_t host_extended = read(0x80000000, 0).a;
    for (const LeafRule& r : pv_rules) {
        const bool hypervisors = r.leaf >= hypervisor_base && r.leaf < 0x80000000;
        const uint32_t limit = r.leaf >= 0x80000000 ? host_extended : host_basic;
        if (hypervisors || r.leaf <= limit) p.add_leaf(r);
    }
    p.fill_gaps();
}

}  // namespace x86
