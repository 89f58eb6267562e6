// SPDX-License-Identifier: Apache-2.0
/// Which CPUID leaves guests see, how much of each, and what a domain's own policy may change in it.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "abi/xen/arch_x86.hpp"

namespace x86::cpu_policy {

inline constexpr uint32_t no_subleaf = xen::XEN_CPUID_NO_SUBLEAF;
inline constexpr uint32_t hypervisor_base = 0x40000000, hypervisor_end = 0x40010000;
inline constexpr uint32_t hypervisor_present = 1u << 31;  ///< leaf 1, c
inline constexpr uint32_t legacy_save_area = 512 + 64;

constexpr bool has_subleaves(uint32_t leaf) { return leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd; }

constexpr uint32_t mask_of(std::initializer_list<unsigned> bits) {
    uint32_t m = 0;
    for (const unsigned b : bits) m |= 1u << b;
    return m;
}

// Features that ring 3 code over direct paging can use. Bit numbers: SDM 2A table 3-10, APM 3 appendix E.
inline constexpr uint32_t leaf1_edx =
    mask_of({0 /*fpu*/, 2 /*de*/, 4 /*tsc*/, 5 /*msr*/, 6 /*pae*/, 7 /*mce*/, 8 /*cx8*/, 9 /*apic*/, 11 /*sep*/, 14 /*mca*/,
             15 /*cmov*/, 16 /*pat*/, 19 /*clflush*/, 23 /*mmx*/, 24 /*fxsr*/, 25 /*sse*/, 26 /*sse2*/, 27 /*ss*/, 28 /*htt*/});
inline constexpr uint32_t leaf1_ecx =
    mask_of({0 /*sse3*/, 1 /*pclmul*/, 9 /*ssse3*/, 12 /*fma*/, 13 /*cx16*/, 19 /*sse4.1*/, 20 /*sse4.2*/, 22 /*movbe*/,
             23 /*popcnt*/, 25 /*aes*/, 26 /*xsave*/, 28 /*avx*/, 29 /*f16c*/, 30 /*rdrand*/});
inline constexpr uint32_t leaf7_ebx =
    mask_of({0 /*fsgsbase*/, 3 /*bmi1*/, 5 /*avx2*/, 6 /*fdp_excp_only*/, 8 /*bmi2*/, 9 /*erms*/, 13 /*no_fpu_sel*/,
             18 /*rdseed*/, 19 /*adx*/, 23 /*clflushopt*/, 24 /*clwb*/, 29 /*sha*/});
inline constexpr uint32_t leaf7_ecx = mask_of({8 /*gfni*/, 9 /*vaes*/, 10 /*vpclmulqdq*/, 22 /*rdpid*/});
inline constexpr uint32_t leaf7_edx = mask_of({4 /*fsrm*/});
inline constexpr uint32_t leafd_eax = mask_of({0 /*xsaveopt*/, 1 /*xsavec*/, 2 /*xgetbv1*/});
inline constexpr uint32_t ext1_edx =
    mask_of({0 /*fpu*/,  2 /*de*/,       4 /*tsc*/,    5 /*msr*/,     6 /*pae*/,  7 /*mce*/,       8 /*cx8*/,
             9 /*apic*/, 11 /*syscall*/, 14 /*mca*/,   15 /*cmov*/,   16 /*pat*/, 20 /*nx*/,       22 /*mmxext*/,
             23 /*mmx*/, 24 /*fxsr*/,    25 /*ffxsr*/, 27 /*rdtscp*/, 29 /*lm*/,  30 /*3dnowext*/, 31 /*3dnow*/});
inline constexpr uint32_t ext1_ecx = mask_of({0 /*lahf*/, 1 /*cmp_legacy*/, 5 /*abm*/, 6 /*sse4a*/, 7 /*misalignsse*/,
                                              8 /*3dnowprefetch*/, 11 /*xop*/, 16 /*fma4*/, 21 /*tbm*/});
inline constexpr uint32_t ext21_eax = mask_of({2 /*lfence serialises*/, 6 /*null selector clears base*/});

/// What a domain's own policy may say where ours says something else.
enum class Freedom : uint8_t {
    none,      ///< nothing
    lower,     ///< a highest leaf that is lower
    fewer,     ///< fewer features, in every register
    identity,  ///< another model in a, any b as far as it is passed on, fewer features in c and d
    widths,    ///< a is ours, fewer features in b, any c
    any,
};

struct LeafRule {
    uint32_t leaf, subleaf;
    uint32_t a, b, c, d;
    Freedom freedom = Freedom::none;
};
inline constexpr uint32_t all = ~0u;
/// Every leaf that is offered. `all` passes a register on; features pass through their masks.
inline constexpr LeafRule pv_rules[] = {
    {0, no_subleaf, all, all, all, all, Freedom::lower},
    {1, no_subleaf, all, 0x00ffffff, leaf1_ecx, leaf1_edx, Freedom::identity},
    {2, no_subleaf, all, all, all, all, Freedom::any},
    {4, 0, all, all, all, all, Freedom::any},
    {4, 1, all, all, all, all, Freedom::any},
    {4, 2, all, all, all, all, Freedom::any},
    {4, 3, all, all, all, all, Freedom::any},
    {4, 4, all, all, all, all, Freedom::any},
    {7, 0, 0, leaf7_ebx, leaf7_ecx, leaf7_edx, Freedom::fewer},
    {0xd, 0, 7, all, all, 0},
    {0xd, 1, leafd_eax, 0, 0, 0, Freedom::fewer},
    {0xd, 2, all, all, 0, 0},
    {0x80000000, no_subleaf, all, all, all, all, Freedom::lower},
    {0x80000001, no_subleaf, all, 0, ext1_ecx, ext1_edx, Freedom::identity},
    {0x80000002, no_subleaf, all, all, all, all, Freedom::any},
    {0x80000003, no_subleaf, all, all, all, all, Freedom::any},
    {0x80000004, no_subleaf, all, all, all, all, Freedom::any},
    {0x80000005, no_subleaf, all, all, all, all, Freedom::any},
    {0x80000006, no_subleaf, all, all, all, all, Freedom::any},
    {0x80000007, no_subleaf, 0, 0, 0, 1u << 8 /*invariant TSC*/, Freedom::fewer},
    {0x80000008, no_subleaf, all, 0, all, 0, Freedom::widths},
    {0x80000021, no_subleaf, ext21_eax, 0, 0, 0, Freedom::fewer},
    // Nothing; but the tools' form has them (fill_gaps() in offered_policy.cpp).
    {0xb, 0, 0, 0, 0, 0},
    {0xb, 1, 0, 0, 0, 0},
    {hypervisor_base, no_subleaf, 0, 0, 0, 0},
    {hypervisor_base + 0x100, no_subleaf, 0, 0, 0, 0},
};

constexpr const LeafRule* rule_for(uint32_t leaf, uint32_t subleaf) {
    for (const LeafRule& r : pv_rules)
        if (r.leaf == leaf && r.subleaf == subleaf) return &r;
    return nullptr;
}

}  // namespace x86::cpu_policy
