// SPDX-License-Identifier: Apache-2.0
/// What CPUID tells: of the machine, to guests that are offered all there is, and to a domain.
#pragma once

#include <cstdint>
#include <span>

#include "hypervisor/domain/domain.hpp"
#include "lib/base/result.hpp"
#include "lib/x86/cpu_policy.hpp"

namespace hv {

/// The machine's own leaves ("raw" and "host" to the tools), and those a PV guest may see (its "maximum" and "default").
extern CpuPolicy raw_policy;
extern CpuPolicy pv_policy;
extern uint32_t machine_mtrr;  ///< leaf 1, d: the bit of memory types, where the machine has them

/// Fills them from what `read` says of the machine. Boot, once cpu_features and the plan against speculation stand.
void cpu_policies_init(x86::CpuidReader read);

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
