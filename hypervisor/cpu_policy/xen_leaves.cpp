// SPDX-License-Identifier: Apache-2.0
/// Xen's own CPUID leaves. Source: xen/arch-x86/cpuid.h.
#include <bit>

#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/domain/domain.hpp"
#include "hypervisor/mm/frame.hpp"
#include "hypervisor/rt/clock.hpp"

namespace hv {
namespace {

constexpr uint32_t base_leaf = 0x40000000, last_leaf = base_leaf + 5;

/// Time: the guest reads the machine's own TSC, so there is no offset and no factor to tell.
void time_leaf(const Domain& d, uint32_t subleaf, xen::CpuidLeaf& l) {
    constexpr uint32_t safe = 1u << 1, has_tsc_aux = 1u << 2, invariant_tsc = 1u << 8;
    const auto khz = static_cast<uint32_t>(clock::tsc_khz);
    if (subleaf == 0) {
        const xen::CpuidLeaf* power = raw_policy.find(0x80000007, 0);
        l.a = (power && (power->d & invariant_tsc) ? safe : 0) | (cpu_features.rdtscp ? has_tsc_aux : 0);
        l.b = d.tsc_mode;
        l.c = d.privileged ? 0 : khz;
        l.d = d.tsc_incarnation;
    } else if (subleaf == 2) {
        l.a = khz;
    }
}

}  // namespace

xen::CpuidLeaf cpuid_of_xen(const Domain& d, uint32_t leaf, uint32_t subleaf) {
    constexpr uint32_t version = (4u << 16) | 17;
    constexpr uint32_t hypercall_pages = 1, hypercall_msr = 0x40000000, preserves_accessed_and_dirty = 1;
    xen::CpuidLeaf l{};
    switch (leaf - base_leaf) {
        case 0:
            l.a = last_leaf;
            l.b = 0x566e6558;  // "XenV"
            l.c = 0x65584d4d;  // "MMXe"
            l.d = 0x4d4d566e;  // "nVMM"
            break;
        case 1: l.a = version; break;
        case 2:
            l.a = hypercall_pages;
            l.b = hypercall_msr;
            l.c = preserves_accessed_and_dirty;
            break;
        case 3: time_leaf(d, subleaf, l); break;
        case 5:
            if (subleaf == 0) l.b = static_cast<uint32_t>(std::bit_width(max_frame - 1)) + base::page_shift;
            break;
        default: break;
    }
    return l;
}

}  // namespace hv
