// SPDX-License-Identifier: Apache-2.0
/// The policies there are: the machine's, the one that PV guests are offered, and those of domains that have their own.
#include <bit>
#include <utility>

#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/speculation_plan.hpp"
#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/clock.hpp"

namespace hv {

CpuPolicy raw_policy;
CpuPolicy pv_policy;
uint32_t machine_mtrr = 0;

void cpu_policies_init(x86::CpuidReader read) {
    constexpr uint32_t mtrr = 1u << 12;
    machine_mtrr = read(1, 0).d & mtrr;
    x86::make_policies(read, {cpu_features.amd, cpu_features.xsave_size, speculation.guest_allowed, speculation.has_ibpb},
                       raw_policy, pv_policy);
}

base::Status set_domain_policy(Domain& d, std::span<const xen::CpuidLeaf> leaves) {
    if (d.policy == d.kind.offered) {
        d.policy = TRY(make<CpuPolicy>());
        *d.policy = *d.kind.offered;
    }
    return x86::restrict_policy(*d.kind.offered, leaves, *d.policy);
}

xen::CpuidLeaf cpuid_of_xen(const Domain& d, uint32_t leaf, uint32_t subleaf) {
    constexpr uint32_t invariant_tsc = 1u << 8;
    const xen::CpuidLeaf* power = leaf == x86::xen_time_leaf ? raw_policy.find(0x80000007, 0) : nullptr;
    // The guest reads the machine's own TSC, so there is no offset and no factor to tell.
    return x86::cpuid_of_xen(
        {d.privileged, power && (power->d & invariant_tsc), cpu_features.rdtscp, d.tsc_mode, d.tsc_incarnation,
         static_cast<uint32_t>(clock::tsc_khz), static_cast<uint32_t>(std::bit_width(max_frame - 1)) + base::page_shift},
        leaf, subleaf);
}

uint64_t domain_xcr0_allowed(const Domain& d) {
    const xen::CpuidLeaf* states = domain_policy(d).find(0xd, 0);
    return states ? states->a & cpu_features.xcr0 : 0;
}

void free_domain_policy(Domain& d) {
    if (d.policy != d.kind.offered) destroy(std::exchange(d.policy, d.kind.offered));
}

}  // namespace hv
