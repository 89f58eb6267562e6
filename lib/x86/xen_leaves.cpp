// SPDX-License-Identifier: Apache-2.0
/// Xen's own CPUID leaves. Source: xen/arch-x86/cpuid.h.
#include "lib/x86/cpu_policy.hpp"

namespace x86 {
namespace {

constexpr uint32_t base_leaf = 0x40000000, last_leaf = base_leaf + 5;

/// Time: the guest reads the machine's own TSC, so there is no offset and no factor to tell.
void time_leaf(const XenLeaves& x, uint32_t subleaf, xen::CpuidLeaf& l) {
    constexpr uint32_t safe = 1u << 1, has_tsc_aux = 1u << 2;
    if (subleaf == 0) {
        l.a = (x.tsc_is_safe ? safe : 0) | (x.has_tsc_aux ? has_tsc_aux : 0);
        l.b = x.tsc_mode;
        l.c = x.privileged ? 0 : x.tsc_khz;
        l.d = x.tsc_incarnation;
    } else if (subleaf == 2) {
        l.a = x.tsc_khz;
    }
}

}  // namespace

xen::CpuidLeaf cpuid_of_xen(const XenLeaves& x, uint32_t leaf, uint32_t subleaf) {
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
        case 3: time_leaf(x, subleaf, l); break;
        case 5:
            if (subleaf == 0) l.b = x.address_bits;
            break;
        default: break;
    }
    return l;
}

}  // namespace x86
