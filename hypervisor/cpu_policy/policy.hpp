// SPDX-License-Identifier: Apache-2.0
/// What CPUID tells: of the machine, to guests that are offered all there is, and to a domain.
#pragma once

#include <cstdint>
#include <span>

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/domain/domain.hpp"
#include "lib/base/result.hpp"

namespace hv {

/// CPUID leaves as the tools read and write them (XEN_SYSCTL_get_cpu_policy, XEN_DOMCTL_set_cpu_policy).
/// A leaf without subleaves has subleaf XEN_CPUID_NO_SUBLEAF.
struct CpuPolicy {
    /// Room for every leaf that the tools write back, most of them zero: their form has a slot for each possible subleaf.
    static constexpr unsigned capacity = 128;
    xen::CpuidLeaf leaves[capacity] = {};
    unsigned count = 0;
    /// The highest leaf from 0 and from 0x80000000 on: what those two leaves say in a.
    uint32_t highest[2] = {};
    const xen::CpuidLeaf* find(uint32_t leaf, uint32_t subleaf) const {
        for (const xen::CpuidLeaf *l = leaves, *end = leaves + count; l != end; ++l)
            if (l->leaf == leaf && (l->subleaf == xen::XEN_CPUID_NO_SUBLEAF || l->subleaf == subleaf)) return l;
        return nullptr;
    }
    /// Adds or replaces. Errors: nobufs.
    base::Status set(const xen::CpuidLeaf& l);
};

/// The machine's own leaves ("raw" and "host" to the tools), and those a PV guest may see (its "maximum" and "default").
extern CpuPolicy raw_policy;
extern CpuPolicy pv_policy;
extern uint32_t machine_mtrr;  ///< leaf 1, d: the bit of memory types, where the machine has them

using CpuidReader = hw::CpuidResult (*)(uint32_t leaf, uint32_t subleaf);
/// Fills them from what `read` says of the machine. Boot, once cpu_features and the plan against speculation stand.
void cpu_policies_init(CpuidReader read);

/// The leaves from 0x40000000 on, which are Xen's own.
xen::CpuidLeaf cpuid_of_xen(const Domain& d, uint32_t leaf, uint32_t subleaf);

/// The domain's own, or what its kind of guest is offered.
inline const CpuPolicy& domain_policy(const Domain& d) { return *d.policy; }
/// Gives domain `d` leaves of its own, each cut to what its kind is offered; what needs a feature that is missing goes too.
/// Errors: nomem, nobufs.
base::Status set_domain_policy(Domain& d, std::span<const xen::CpuidLeaf> leaves);
void free_domain_policy(Domain& d);
/// The bits of XCR0 that the domain may set.
uint64_t domain_xcr0_allowed(const Domain& d);

}  // namespace hv
