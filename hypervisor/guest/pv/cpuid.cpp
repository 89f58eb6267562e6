// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/cpuid.hpp"

#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/cpu_policy/speculation.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "lib/x86/leaf_rules.hpp"

namespace hv {
namespace {

using namespace x86::cpu_policy;

/// Of the two extended-state leaves: how many bytes the states that are on need.
void adjust_state_leaf(const Vcpu& v, uint32_t subleaf, xen::CpuidLeaf& l) {
    constexpr uint32_t xsave_compact = 1u << 1, avx_state = 4, avx_bytes = 256;
    const bool avx = v.state.xcr0 & avx_state;
    if (subleaf == 0 && l.a != 0) l.b = avx ? cpu_features.xsave_size : legacy_save_area;
    if (subleaf == 1 && (l.a & xsave_compact)) l.b = legacy_save_area + (avx ? avx_bytes : 0);
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
        add_control_features(v, l);
    }
}

}  // namespace

void pv_cpuid(Vcpu& v, Regs& r) {
    const auto leaf = static_cast<uint32_t>(r.rax);
    const auto subleaf = static_cast<uint32_t>(r.rcx);
    static constexpr xen::CpuidLeaf nothing{};
    xen::CpuidLeaf l;
    if (leaf >= hypervisor_base && leaf < hypervisor_end) [[unlikely]] {
        l = cpuid_of_xen(v.domain, leaf, subleaf);
    } else if (const CpuPolicy& policy = domain_policy(v.domain); leaf <= policy.highest[leaf >> 31]) {
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

}  // namespace hv
