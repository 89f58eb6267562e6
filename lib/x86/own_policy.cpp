// SPDX-License-Identifier: Apache-2.0
/// A guest's own policy: never more than what is offered.
#include "lib/x86/cpu_policy.hpp"
#include "lib/x86/leaf_rules.hpp"

namespace x86 {
namespace {

using namespace cpu_policy;

xen::CpuidLeaf cut(const xen::CpuidLeaf& ours, const xen::CpuidLeaf& l, const LeafRule& m) {
    xen::CpuidLeaf r = ours;
    switch (m.freedom) {
        case Freedom::none: break;
        case Freedom::lower: r.a = l.a < ours.a ? l.a : ours.a; break;
        case Freedom::fewer: r = {ours.leaf, ours.subleaf, ours.a & l.a, ours.b & l.b, ours.c & l.c, ours.d & l.d}; break;
        case Freedom::identity: r = {ours.leaf, ours.subleaf, l.a, l.b & m.b, ours.c & l.c, ours.d & l.d}; break;
        case Freedom::widths: r = {ours.leaf, ours.subleaf, ours.a, ours.b & l.b, l.c, ours.d}; break;
        case Freedom::any: r = {ours.leaf, ours.subleaf, l.a, l.b, l.c, l.d}; break;
    }
    if (m.leaf == 1) r.c |= hypervisor_present;
    return r;
}

/// Takes away what needs a feature that the domain was not given.
void settle_dependencies(CpuPolicy& p) {
    constexpr uint32_t xsave = 1u << 26, avx = 1u << 28, needs_avx = 1u << 12 /*fma*/ | 1u << 29 /*f16c*/;
    constexpr uint32_t avx2 = 1u << 5, vector_crypto = 1u << 9 | 1u << 10, needs_avx_amd = 1u << 11 | 1u << 16;
    constexpr uint32_t avx_state = 4;
    const auto change = [&p](uint32_t leaf, uint32_t subleaf, auto f) {
        const xen::CpuidLeaf* found = p.find(leaf, subleaf);
        if (!found) return;
        xen::CpuidLeaf l = *found;
        f(l);
        (void)p.set(l);  // the row is there
    };
    const xen::CpuidLeaf* basic = p.find(1, 0);
    if (!basic) return;
    const bool has_xsave = basic->c & xsave, has_avx = has_xsave && (basic->c & avx);
    if (has_avx) return;
    change(1, 0, [](auto& l) { l.c &= ~(avx | needs_avx); });
    change(7, 0, [](auto& l) { l.b &= ~avx2, l.c &= ~vector_crypto; });
    change(0x80000001, 0, [](auto& l) { l.c &= ~needs_avx_amd; });
    change(0xd, 2, [](auto& l) { l.a = l.b = 0; });
    change(0xd, 0, [=](auto& l) {
        l.a = has_xsave ? l.a & ~avx_state : 0;
        l.b = l.c = has_xsave ? legacy_save_area : 0;
    });
    if (!has_xsave) change(0xd, 1, [](auto& l) { l.a = 0; });
}

}  // namespace

base::Status restrict_policy(const CpuPolicy& offered, std::span<const xen::CpuidLeaf> leaves, CpuPolicy& own) {
    for (const xen::CpuidLeaf& l : leaves) {
        if (l.leaf >= hypervisor_base && l.leaf < hypervisor_end) continue;
        const uint32_t key = has_subleaves(l.leaf) ? l.subleaf : no_subleaf;
        const xen::CpuidLeaf* ours = offered.find(l.leaf, key);
        const LeafRule* rule = rule_for(l.leaf, key);
        // Leaves beyond what we offer read as zero: saying so again changes nothing.
        if (!ours || !rule) continue;
        TRY(own.set(cut(*ours, l, *rule)));
    }
    settle_dependencies(own);
    return base::ok;
}

}  // namespace x86
