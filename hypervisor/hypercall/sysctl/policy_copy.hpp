// SPDX-License-Identifier: Apache-2.0
/// CPU policies on their way to tools: the same for the machine's and a domain's.
#pragma once

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/cpu_policy/policy.hpp"

namespace hv {

/// Entries that tools are told to make room for.
inline constexpr uint32_t policy_msr_capacity = 2;

/// Stores the leaves, or with a null handle says how many to expect. The counts are updated. Errors: nobufs, fault.
base::Status copy_policy_out(const CpuPolicy& p, xen::Handle<xen::CpuidLeaf> leaves, uint32_t& nr_leaves,
                             xen::Handle<xen::MsrEntry> msrs, uint32_t& nr_msrs);

}  // namespace hv
