// SPDX-License-Identifier: Apache-2.0
/// The machine's own policy and the one that PV guests are offered.
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/cpu_policy/leaf_rules.hpp"
#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/cpu_policy/speculation.hpp"

namespace hv {

CpuPolicy raw_policy;
CpuPolicy pv_policy;
uint32_t machine_mtrr = 0;

namespace {

using namespace cpu_policy;

constexpr uint32_t max_basic = 0xd;
constexpr uint32_t max_extended_amd = 0x80000021, max_extended_intel = 0x80000008;

uint32_t capped(uint32_t value, uint32_t limit) { return value < limit ? value : limit; }

/// Registers that mean nothing on the other vendor's CPUs but are there.
void vendor_rules(xen::CpuidLeaf& l) {
    constexpr uint32_t sep = 1u << 11;
    if (cpu_features.amd) {
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

void add_leaf(const LeafRule& m, CpuidReader read) {
    const hw::CpuidResult h = read(m.leaf, m.subleaf == no_subleaf ? 0 : m.subleaf);
    const xen::CpuidLeaf raw{m.leaf, m.subleaf, h.a, h.b, h.c, h.d};
    xen::CpuidLeaf l{m.leaf, m.subleaf, h.a & m.a, h.b & m.b, h.c & m.c, h.d & m.d};
    if (m.leaf == 0) l.a = capped(l.a, max_basic);
    if (m.leaf == 0x80000000) l.a = capped(l.a, cpu_features.amd ? max_extended_amd : max_extended_intel);
    if (m.leaf == 1) l.c |= hypervisor_present;
    if (m.leaf == 0xd && m.subleaf == 0) l.c = cpu_features.xsave_size;
    vendor_rules(l);
    add_speculation_features(raw, l);
    // Both tables have room for every rule.
    (void)raw_policy.set(raw);
    (void)pv_policy.set(l);
}

/// Leaves without anything, as rows of their own: the tools' serialised form has every leaf up to the last one, and they make
/// room for it by what they were given.
void fill_gaps(CpuidReader read) {
    for (const uint32_t first : {0u, 0x80000000u})
        for (uint32_t leaf = first; leaf <= pv_policy.highest[first >> 31]; ++leaf)
            if (!has_subleaves(leaf) && !pv_policy.find(leaf, no_subleaf)) add_leaf({leaf, no_subleaf, 0, 0, 0, 0}, read);
}

}  // namespace

base::Status CpuPolicy::set(const xen::CpuidLeaf& l) {
    if ((l.leaf & 0x7fffffff) == 0) highest[l.leaf >> 31] = l.a;
    for (unsigned i = 0; i < count; ++i) {
        if (leaves[i].leaf != l.leaf || leaves[i].subleaf != l.subleaf) continue;
        leaves[i] = l;
        return base::ok;
    }
    if (count == capacity) return Err{Errc::nobufs};
    leaves[count++] = l;
    return base::ok;
}

void cpu_policies_init(CpuidReader read) {
    constexpr uint32_t mtrr = 1u << 12;
    raw_policy = pv_policy = {};
    machine_mtrr = read(1, 0).d & mtrr;
    const uint32_t host_basic = read(0, 0).a;
    const uint32_t host_extended = read(0x80000000, 0).a;
    for (const LeafRule& r : pv_rules) {
        const bool hypervisors = r.leaf >= hypervisor_base && r.leaf < 0x80000000;
        const uint32_t limit = r.leaf >= 0x80000000 ? host_extended : host_basic;
        if (hypervisors || r.leaf <= limit) add_leaf(r, read);
    }
    fill_gaps(read);
}

}  // namespace hv
