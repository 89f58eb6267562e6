// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/cpuid.hpp"

#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/clock.hpp"

namespace hv {

CpuPolicy raw_policy;
CpuPolicy pv_policy;

namespace {

constexpr uint32_t no_subleaf = xen::XEN_CPUID_NO_SUBLEAF;
constexpr uint32_t hypervisor_base = 0x40000000;

constexpr uint32_t mask_of(std::initializer_list<unsigned> bits) {
    uint32_t m = 0;
    for (const unsigned b : bits) m |= 1u << b;
    return m;
}

// Features that ring 3 code over direct paging can use. Bit numbers: SDM 2A table 3-10, APM 3 appendix E.
constexpr uint32_t leaf1_edx = mask_of({0 /*fpu*/, 2 /*de*/, 4 /*tsc*/, 5 /*msr*/, 6 /*pae*/, 8 /*cx8*/, 9 /*apic*/,
                                        11 /*sep*/, 15 /*cmov*/, 16 /*pat*/, 19 /*clflush*/, 23 /*mmx*/, 24 /*fxsr*/,
                                        25 /*sse*/, 26 /*sse2*/, 27 /*ss*/, 28 /*htt*/});
constexpr uint32_t leaf1_ecx = mask_of({0 /*sse3*/, 1 /*pclmul*/, 9 /*ssse3*/, 12 /*fma*/, 13 /*cx16*/, 19 /*sse4.1*/,
                                        20 /*sse4.2*/, 22 /*movbe*/, 23 /*popcnt*/, 25 /*aes*/, 26 /*xsave*/, 28 /*avx*/,
                                        29 /*f16c*/, 30 /*rdrand*/});
constexpr uint32_t leaf7_ebx = mask_of({0 /*fsgsbase*/, 3 /*bmi1*/, 5 /*avx2*/, 8 /*bmi2*/, 9 /*erms*/, 18 /*rdseed*/, 19 /*adx*/,
                                        23 /*clflushopt*/, 24 /*clwb*/, 29 /*sha*/});
constexpr uint32_t leaf7_ecx = mask_of({8 /*gfni*/, 9 /*vaes*/, 10 /*vpclmulqdq*/, 22 /*rdpid*/});
constexpr uint32_t leaf7_edx = mask_of({4 /*fsrm*/});
constexpr uint32_t ext1_edx = mask_of({0, 2, 4, 5, 6, 8, 9, 15, 16, 23, 24, 11 /*syscall*/, 20 /*nx*/, 25 /*ffxsr*/,
                                       27 /*rdtscp*/, 29 /*lm*/});
constexpr uint32_t ext1_ecx = mask_of({0 /*lahf*/, 1 /*cmp_legacy*/, 4 /*cr8*/, 5 /*abm*/, 6 /*sse4a*/,
                                       7 /*misalignsse*/, 8 /*3dnowprefetch*/});

struct Mask {
    uint32_t leaf, subleaf;
    uint32_t a, b, c, d;
};
constexpr uint32_t all = ~0u;
/// Every leaf that is offered. `all` passes a register on; features pass through their masks.
constexpr Mask masks[] = {
    {0, no_subleaf, all, all, all, all},
    {1, no_subleaf, all, 0x00ffffff, leaf1_ecx, leaf1_edx},
    {2, no_subleaf, all, all, all, all},
    // All zero: not offered. They are rows because the tools' serialised form has every leaf up to the last one, and
    // write back as many as they were given.
    {3, no_subleaf, 0, 0, 0, 0},
    {5, no_subleaf, 0, 0, 0, 0},
    {6, no_subleaf, 0, 0, 0, 0},
    {8, no_subleaf, 0, 0, 0, 0},
    {9, no_subleaf, 0, 0, 0, 0},
    {0xa, no_subleaf, 0, 0, 0, 0},
    {0xb, 0, 0, 0, 0, 0},
    {0xb, 1, 0, 0, 0, 0},
    {0xc, no_subleaf, 0, 0, 0, 0},
    {hypervisor_base, no_subleaf, 0, 0, 0, 0},
    {hypervisor_base + 0x100, no_subleaf, 0, 0, 0, 0},
    {4, 0, all, all, all, all},
    {4, 1, all, all, all, all},
    {4, 2, all, all, all, all},
    {4, 3, all, all, all, all},
    {4, 4, all, all, all, all},
    {7, 0, 0, leaf7_ebx, leaf7_ecx, leaf7_edx},
    {0xd, 0, 7, all, all, 0},
    {0xd, 1, 1 /*xsaveopt*/, 0, 0, 0},
    {0xd, 2, all, all, 0, 0},
    {0x80000000, no_subleaf, all, all, all, all},
    {0x80000001, no_subleaf, all, all, ext1_ecx, ext1_edx},
    {0x80000002, no_subleaf, all, all, all, all},
    {0x80000003, no_subleaf, all, all, all, all},
    {0x80000004, no_subleaf, all, all, all, all},
    {0x80000005, no_subleaf, all, all, all, all},
    {0x80000006, no_subleaf, all, all, all, all},
    {0x80000007, no_subleaf, 0, 0, 0, 1u << 8 /*invariant TSC*/},
    {0x80000008, no_subleaf, all, 0, all, 0},
};
constexpr uint32_t max_basic = 0xd;
constexpr uint32_t max_extended = 0x80000008;

bool has_subleaves(uint32_t leaf) { return leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd; }

uint32_t capped(uint32_t value, uint32_t limit) { return value < limit ? value : limit; }

void add_leaf(const Mask& m) {
    const auto h = hw::cpuid(m.leaf, m.subleaf == no_subleaf ? 0 : m.subleaf);
    const xen::CpuidLeaf raw{m.leaf, m.subleaf, h.a, h.b, h.c, h.d};
    xen::CpuidLeaf l{m.leaf, m.subleaf, h.a & m.a, h.b & m.b, h.c & m.c, h.d & m.d};
    if (m.leaf == 0) l.a = capped(l.a, max_basic);
    if (m.leaf == 0x80000000) l.a = capped(l.a, max_extended);
    if (m.leaf == 1) l.c |= 1u << 31;  // under a hypervisor
    if (m.leaf == 0xd && m.subleaf == 0) l.c = cpu_features.xsave_size;
    // Both tables have room for every row of `masks`.
    (void)raw_policy.set(raw);
    (void)pv_policy.set(l);
}

/// Xen's own leaves. Source: xen/arch-x86/cpuid.h.
bool hypervisor_leaf(const Vcpu& v, uint32_t leaf, uint32_t subleaf, xen::CpuidLeaf& out) {
    constexpr uint32_t version = (4u << 16) | 17;
    switch (leaf - hypervisor_base) {
        case 0:
            out.a = hypervisor_base + 5;
            out.b = 0x566e6558;  // "XenV"
            out.c = 0x65584d4d;  // "MMXe"
            out.d = 0x4d4d566e;  // "nVMM"
            return true;
        case 1: out.a = version; return true;
        case 2:
            out.a = 1;  // hypercall pages
            out.b = hypervisor_base;
            out.c = 1;  // MMU_PT_UPDATE_PRESERVE_AD
            return true;
        case 3:
            if (subleaf == 0) {
                out.a = 1u << 8;  // guest TSC frequency is the host's
                out.b = 2;        // native
                out.c = static_cast<uint32_t>(clock::tsc_khz);
            } else if (subleaf == 1) {
                out.a = static_cast<uint32_t>(clock::scale.tsc_base);
                out.b = static_cast<uint32_t>(clock::scale.tsc_base >> 32);
                out.c = clock::scale.mul;
                out.d = static_cast<uint32_t>(static_cast<int32_t>(clock::scale.shift));
            } else if (subleaf == 2) {
                out.a = static_cast<uint32_t>(clock::tsc_khz);
            }
            return true;
        case 4: out.b = v.id.raw; return true;
        case 5:
            out.b = cpu_features.physical_bits;
            return true;
        default: return false;
    }
}

/// What depends on the vCPU and its state rather than on the policy.
void adjust(const Vcpu& v, uint32_t leaf, uint32_t subleaf, xen::CpuidLeaf& l) {
    if (leaf == 1) {
        l.b = (l.b & 0x00ffffff) | ((v.id.raw * 2) << 24);
        const uint32_t osxsave = (v.pv->cr4 & hw::cr4_osxsave) ? 1u << 27 : 0;
        l.c = (l.c & ~(1u << 27)) | osxsave;
    }
    if (leaf == 0xd && subleaf == 0) {
        constexpr uint32_t legacy_area = 512 + 64;
        l.b = (v.pv->xcr0 & 4) ? cpu_features.xsave_size : legacy_area;
    }
}

}  // namespace

const xen::CpuidLeaf* CpuPolicy::find(uint32_t leaf, uint32_t subleaf) const {
    for (unsigned i = 0; i < count; ++i)
        if (leaves[i].leaf == leaf && (leaves[i].subleaf == no_subleaf || leaves[i].subleaf == subleaf)) return &leaves[i];
    return nullptr;
}

base::Status CpuPolicy::set(const xen::CpuidLeaf& l) {
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
    const uint32_t host_basic = hw::cpuid(0).a;
    const uint32_t host_extended = hw::cpuid(0x80000000).a;
    for (const Mask& m : masks) {
        const bool hypervisors = m.leaf >= hypervisor_base && m.leaf < 0x80000000;
        const uint32_t limit = m.leaf >= 0x80000000 ? host_extended : host_basic;
        if (hypervisors || m.leaf <= limit) add_leaf(m);
    }
}

const CpuPolicy& pv_domain_policy(const Domain& d) { return d.pv->policy ? *d.pv->policy : pv_policy; }

void pv_cpuid(Vcpu& v, Regs& r) {
    const auto leaf = static_cast<uint32_t>(r.rax);
    const auto subleaf = static_cast<uint32_t>(r.rcx);
    xen::CpuidLeaf l{};
    if (!hypervisor_leaf(v, leaf, subleaf, l)) {
        const xen::CpuidLeaf* found = pv_domain_policy(v.domain).find(leaf, subleaf);
        if (found) l = *found;
        adjust(v, leaf, subleaf, l);
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
        if (l.leaf >= hypervisor_base && l.leaf < hypervisor_base + 0x10000) continue;
        const uint32_t key = has_subleaves(l.leaf) ? l.subleaf : no_subleaf;
        const xen::CpuidLeaf* limit = pv_policy.find(l.leaf, key);
        // Leaves beyond what we offer read as zero: saying so again changes nothing.
        if (!limit) continue;
        xen::CpuidLeaf cut = *limit;
        const bool features = l.leaf == 1 || l.leaf == 7 || l.leaf == 0x80000001;
        if (features) {
            cut.b &= l.leaf == 7 ? l.b : all;
            cut.c &= l.c;
            cut.d &= l.d;
            if (l.leaf == 1) cut.c |= 1u << 31;
        }
        TRY(d.pv->policy->set(cut));
    }
    return base::ok;
}

void pv_free_policy(Domain& d) {
    destroy(d.pv->policy);
    d.pv->policy = nullptr;
}

}  // namespace hv
