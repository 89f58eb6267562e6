// SPDX-License-Identifier: Apache-2.0
/// What CPUID tells a PV guest.
#pragma once

#include <cstdint>
#include <span>

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/domain/vcpu.hpp"
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
    const xen::CpuidLeaf* find(uint32_t leaf, uint32_t subleaf) const;
    /// Adds or replaces. Errors: nobufs.
    base::Status set(const xen::CpuidLeaf& l);
};

/// The machine's own leaves, and those a PV guest may see. Filled once at boot by pv_cpuid_init().
extern CpuPolicy raw_policy;
extern CpuPolicy pv_policy;
void pv_cpuid_init();

/// Executes CPUID for the guest: eax and ecx select, eax to edx are replaced.
void pv_cpuid(Vcpu& v, Regs& r);
/// The leaves from 0x40000000 on, which are Xen's own.
xen::CpuidLeaf pv_cpuid_of_xen(const Domain& d, uint32_t leaf, uint32_t subleaf);
/// The bits of XCR0 that the domain may set, by its CPUID.
uint64_t pv_xcr0_allowed(const Domain& d);
/// Gives domain `d` leaves of its own, each cut to what pv_policy allows.
/// Errors: inval a leaf that is not offered, nomem, nobufs.
base::Status pv_set_policy(Domain& d, std::span<const xen::CpuidLeaf> leaves);
const CpuPolicy& pv_domain_policy(const Domain& d);
void pv_free_policy(Domain& d);

}  // namespace hv
