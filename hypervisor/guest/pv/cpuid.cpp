// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/cpuid.hpp"

#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/spec_guest.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/clock.hpp"

namespace hv {

CpuPolicy raw_policy;
CpuPolicy pv_policy;

namespace {

constexpr uint32_t no_subleaf = xen::XEN_CPUID_NO_SUBLEAF;
constexpr uint32_t hypervisor_base = 0x40000000, hypervisor_end = 0x40010000;

constexpr uint32_t mask_of(std::initializer_list<unsigned> bits) {
    uint32_t m = 0;
    for (const unsigned b : bits) m |= 1u << b;
    return m;
}

// Features that ring 3 code over direct paging can use. Bit numbers: SDM 2A table 3-10, APM 3 appendix E.
constexpr uint32_t leaf1_edx =
    mask_of({0 /*fpu*/, 2 /*de*/, 4 /*tsc*/, 5 /*msr*/, 6 /*pae*/, 7 /*mce*/, 8 /*cx8*/, 9 /*apic*/, 11 /*sep*/, 14 /*mca*/,
             15 /*cmov*/, 16 /*pat*/, 19 /*clflush*/, 23 /*mmx*/, 24 /*fxsr*/, 25 /*sse*/, 26 /*sse2*/, 27 /*ss*/, 28 /*htt*/});
constexpr uint32_t leaf1_ecx =
    mask_of({0 /*sse3*/, 1 /*pclmul*/, 9 /*ssse3*/, 12 /*fma*/, 13 /*cx16*/, 19 /*sse4.1*/, 20 /*sse4.2*/, 22 /*movbe*/,
             23 /*popcnt*/, 25 /*aes*/, 26 /*xsave*/, 28 /*avx*/, 29 /*f16c*/, 30 /*rdrand*/});
constexpr uint32_t leaf7_ebx =
    mask_of({0 /*fsgsbase*/, 3 /*bmi1*/, 5 /*avx2*/, 6 /*fdp_excp_only*/, 8 /*bmi2*/, 9 /*erms*/, 13 /*no_fpu_sel*/,
             18 /*rdseed*/, 19 /*adx*/, 23 /*clflushopt*/, 24 /*clwb*/, 29 /*sha*/});
constexpr uint32_t leaf7_ecx = mask_of({8 /*gfni*/, 9 /*vaes*/, 10 /*vpclmulqdq*/, 22 /*rdpid*/});
constexpr uint32_t leaf7_edx = mask_of({4 /*fsrm*/});
constexpr uint32_t leafd_eax = mask_of({0 /*xsaveopt*/, 1 /*xsavec*/, 2 /*xgetbv1*/});
constexpr uint32_t ext1_edx =
    mask_of({0 /*fpu*/,  2 /*de*/,       4 /*tsc*/,    5 /*msr*/,     6 /*pae*/,  7 /*mce*/,       8 /*cx8*/,
             9 /*apic*/, 11 /*syscall*/, 14 /*mca*/,   15 /*cmov*/,   16 /*pat*/, 20 /*nx*/,       22 /*mmxext*/,
             23 /*mmx*/, 24 /*fxsr*/,    25 /*ffxsr*/, 27 /*rdtscp*/, 29 /*lm*/,  30 /*3dnowext*/, 31 /*3dnow*/});
constexpr uint32_t ext1_ecx = mask_of({0 /*lahf*/, 1 /*cmp_legacy*/, 5 /*abm*/, 6 /*sse4a*/, 7 /*misalignsse*/,
                                       8 /*3dnowprefetch*/, 11 /*xop*/, 16 /*fma4*/, 21 /*tbm*/});
constexpr uint32_t ext21_eax = mask_of({2 /*lfence serialises*/, 6 /*null selector clears base*/});

/// What a domain's own policy may say where ours says something else.
enum class Freedom : uint8_t {
    none,      ///< nothing
    lower,     ///< a highest leaf that is lower
    fewer,     ///< fewer features, in every register
    identity,  ///< another model in a, any b as far as it is passed on, fewer features in c and d
    widths,    ///< a is ours, fewer features in b, any c
    any,
};

struct Mask {
    uint32_t leaf, subleaf;
    uint32_t a, b, c, d;
    Freedom freedom = Freedom::none;
};
constexpr uint32_t all = ~0u;
/// Every leaf that is offered. `all` passes a register on; features pass through their masks.
constexpr Mask masks[] = {
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
    // Nothing; but the tools' form has them (see fill_gaps).
    {0xb, 0, 0, 0, 0, 0},
    {0xb, 1, 0, 0, 0, 0},
    {hypervisor_base, no_subleaf, 0, 0, 0, 0},
    {hypervisor_base + 0x100, no_subleaf, 0, 0, 0, 0},
};
constexpr uint32_t max_basic = 0xd;
constexpr uint32_t max_extended_amd = 0x80000021, max_extended_intel = 0x80000008;

bool has_subleaves(uint32_t leaf) { return leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd; }

constexpr uint32_t hypervisor_present = 1u << 31, mtrr_bit = 1u << 12;
uint32_t machine_mtrr = 0;  ///< mtrr_bit as the machine has it

uint32_t capped(uint32_t value, uint32_t limit) { return value < limit ? value : limit; }

constexpr uint32_t legacy_save_area = 512 + 64;

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

void add_leaf(const Mask& m) {
    const auto h = hw::cpuid(m.leaf, m.subleaf == no_subleaf ? 0 : m.subleaf);
    const xen::CpuidLeaf raw{m.leaf, m.subleaf, h.a, h.b, h.c, h.d};
    xen::CpuidLeaf l{m.leaf, m.subleaf, h.a & m.a, h.b & m.b, h.c & m.c, h.d & m.d};
    if (m.leaf == 0) l.a = capped(l.a, max_basic);
    if (m.leaf == 0x80000000) l.a = capped(l.a, cpu_features.amd ? max_extended_amd : max_extended_intel);
    if (m.leaf == 1) l.c |= hypervisor_present;
    if (m.leaf == 0xd && m.subleaf == 0) l.c = cpu_features.xsave_size;
    vendor_rules(l);
    pv_add_spec_features(raw, l);
    // Both tables have room for every row of `masks`.
    (void)raw_policy.set(raw);
    (void)pv_policy.set(l);
}

/// Of the two extended-state leaves: how many bytes the states that are on need.
void adjust_state_leaf(const Vcpu& v, uint32_t subleaf, xen::CpuidLeaf& l) {
    constexpr uint32_t xsave_compact = 1u << 1, avx_state = 4, avx_bytes = 256;
    const bool avx = v.state.xcr0 & avx_state;
    if (subleaf == 0 && l.a != 0) l.b = avx ? cpu_features.xsave_size : legacy_save_area;
    if (subleaf == 1 && (l.a & xsave_compact)) l.b = legacy_save_area + (avx ? avx_bytes : 0);
}

/// Leaves without anything, as rows of their own: the tools' serialised form has every leaf up to the last one, and they make
/// room for it by what they were given.
void fill_gaps() {
    for (const uint32_t first : {0u, 0x80000000u})
        for (uint32_t leaf = first; leaf <= pv_policy.highest[first >> 31]; ++leaf)
            if (!has_subleaves(leaf) && !pv_policy.find(leaf, no_subleaf)) add_leaf({leaf, no_subleaf, 0, 0, 0, 0});
}

/// What depends on the vCPU and its state rather than on the policy.
void adjust(const Vcpu& v, uint32_t leaf, uint32_t subleaf, xen::CpuidLeaf& l) {
    constexpr uint32_t osxsave = 1u << 27;
    // The kernel that drives the devices asks for memory types (platform_op), so it may know that there are any.
    const uint32_t memory_types = v.domain.privileged && v.pv->in_kernel ? machine_mtrr : 0;
    if (leaf == 1) {
        l.d |= memory_types;
        if (v.pv->cr4 & hw::cr4_osxsave) l.c |= osxsave;
    } else if (leaf == 0x80000001 && cpu_features.amd) {
        l.d |= memory_types;
    } else if (leaf == 0xd) {
        adjust_state_leaf(v, subleaf, l);
    } else if (leaf == 7) {
        pv_add_control_features(v, l);
    }
}

xen::CpuidLeaf cut(const xen::CpuidLeaf& ours, const xen::CpuidLeaf& l, const Mask& m) {
    xen::CpuidLeaf r = ours;
    switch (m.freedom) {
        case Freedom::none: break;
        case Freedom::lower: r.a = capped(l.a, ours.a); break;
        case Freedom::fewer: r = {ours.leaf, ours.subleaf, ours.a & l.a, ours.b & l.b, ours.c & l.c, ours.d & l.d}; break;
        case Freedom::identity: r = {ours.leaf, ours.subleaf, l.a, l.b & m.b, ours.c & l.c, ours.d & l.d}; break;
        case Freedom::widths: r = {ours.leaf, ours.subleaf, ours.a, ours.b & l.b, l.c, ours.d}; break;
        case Freedom::any: r = {ours.leaf, ours.subleaf, l.a, l.b, l.c, l.d}; break;
    }
    if (m.leaf == 1) r.c |= hypervisor_present;
    return r;
}

const Mask* mask_for(uint32_t leaf, uint32_t subleaf) {
    for (const Mask& m : masks)
        if (m.leaf == leaf && m.subleaf == subleaf) return &m;
    return nullptr;
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

const xen::CpuidLeaf* CpuPolicy::find(uint32_t leaf, uint32_t subleaf) const {
    for (const xen::CpuidLeaf *l = leaves, *end = leaves + count; l != end; ++l)
        if (l->leaf == leaf && (l->subleaf == no_subleaf || l->subleaf == subleaf)) return l;
    return nullptr;
}

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

void pv_cpuid_init() {
    machine_mtrr = hw::cpuid(1).d & mtrr_bit;
    const uint32_t host_basic = hw::cpuid(0).a;
    const uint32_t host_extended = hw::cpuid(0x80000000).a;
    for (const Mask& m : masks) {
        const bool hypervisors = m.leaf >= hypervisor_base && m.leaf < 0x80000000;
        const uint32_t limit = m.leaf >= 0x80000000 ? host_extended : host_basic;
        if (hypervisors || m.leaf <= limit) add_leaf(m);
    }
    fill_gaps();
}

const CpuPolicy& pv_domain_policy(const Domain& d) { return d.pv->policy ? *d.pv->policy : pv_policy; }

void pv_cpuid(Vcpu& v, Regs& r) {
    const auto leaf = static_cast<uint32_t>(r.rax);
    const auto subleaf = static_cast<uint32_t>(r.rcx);
    static constexpr xen::CpuidLeaf nothing{};
    xen::CpuidLeaf l;
    if (leaf >= hypervisor_base && leaf < hypervisor_end) [[unlikely]] {
        l = pv_cpuid_of_xen(v.domain, leaf, subleaf);
    } else if (const CpuPolicy& policy = pv_domain_policy(v.domain); leaf <= policy.highest[leaf >> 31]) {
        const xen::CpuidLeaf* found = policy.find(leaf, subleaf);
        l = found ? *found : nothing;
        adjust(v, leaf, subleaf, l);
    } else {
        l = nothing;
    }
    r.rax = l.a;
    r.rbx = l.b;
    r.rcx = l.c;
    r.rdx = l.d;
}

base::Status pv_set_policy(Domain& d, std::span<const xen::CpuidLeaf> leaves) {
    if (!d.pv->policy) {
        d.pv->policy = TRY(make<CpuPolicy>());
        *d.pv->policy = pv_policy;
    }
    for (const xen::CpuidLeaf& l : leaves) {
        if (l.leaf >= hypervisor_base && l.leaf < hypervisor_end) continue;
        const uint32_t key = has_subleaves(l.leaf) ? l.subleaf : no_subleaf;
        const xen::CpuidLeaf* ours = pv_policy.find(l.leaf, key);
        const Mask* m = mask_for(l.leaf, key);
        // Leaves beyond what we offer read as zero: saying so again changes nothing.
        if (!ours || !m) continue;
        TRY(d.pv->policy->set(cut(*ours, l, *m)));
    }
    settle_dependencies(*d.pv->policy);
    return base::ok;
}

uint64_t pv_xcr0_allowed(const Domain& d) {
    const xen::CpuidLeaf* states = pv_domain_policy(d).find(0xd, 0);
    return states ? states->a & cpu_features.xcr0 : 0;
}

void pv_free_policy(Domain& d) {
    destroy(d.pv->policy);
    d.pv->policy = nullptr;
}

}  // namespace hv
