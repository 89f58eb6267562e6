// SPDX-License-Identifier: Apache-2.0
/// What CPUID tells, as a table: of a machine, of what it may offer guests, and of one guest. Pure: `read` says what the machine is.
#pragma once

#include <cstdint>
#include <span>

#include "abi/xen/arch_x86.hpp"
#include "lib/base/result.hpp"
#include "lib/x86/cpuid.hpp"
#include "lib/x86/speculation_policy.hpp"

namespace x86 {

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

/// What a hypervisor decided about the machine on which the guests of a policy run.
struct OfferedMachine {
    bool amd = false;
    uint32_t save_area_bytes = 512;  ///< of all extended states that guests may use
    uint32_t spec_ctrl_allowed = 0;  ///< SpeculationPlan::guest_allowed
    bool has_ibpb = false;           ///< SpeculationPlan::has_ibpb
};

/// Adds to a leaf of the machine's what guests may see of its means against speculation.
void add_speculation_features(const OfferedMachine& m, const xen::CpuidLeaf& machine, xen::CpuidLeaf& offered);
/// Fills the machine's own leaves, and those that a PV guest on it may see.
void make_policies(CpuidReader read, const OfferedMachine& m, CpuPolicy& raw, CpuPolicy& pv);

/// Changes `own`, which began as `offered`, to what `leaves` say, each cut to what is offered; what needs a feature that is missing
/// goes too. Leaves that are not offered change nothing. Errors: nobufs.
base::Status restrict_policy(const CpuPolicy& offered, std::span<const xen::CpuidLeaf> leaves, CpuPolicy& own);

/// What the leaves from 0x40000000 on tell of a guest and its machine, and these leaves.
inline constexpr uint32_t xen_time_leaf = 0x40000003;
struct XenLeaves {
    bool privileged = false;
    bool tsc_is_safe = false;  ///< the machine's TSC runs at one rate; only the leaf of time says so
    bool has_tsc_aux = false;
    uint32_t tsc_mode = 0, tsc_incarnation = 0, tsc_khz = 0;
    uint32_t address_bits = 0;  ///< of the machine's memory
};
xen::CpuidLeaf cpuid_of_xen(const XenLeaves& x, uint32_t leaf, uint32_t subleaf);

/// Words in a feature set (XEN_SYSCTL_get_cpu_featureset), and what a policy says in word `i` of it.
inline constexpr uint32_t feature_words = 14;
uint32_t feature_word(const CpuPolicy& p, uint32_t i);
/// The same as tools show it of a machine (hw_caps), where Xen leaves out: OSXSAVE, which is the hypervisor's doing; of AMD's CPUs what leaf
/// 0x80000001 says again of leaf 1, and SYSENTER, which their 64-bit mode has not.
uint32_t shown_feature_word(const CpuPolicy& p, uint32_t i, bool amd);

}  // namespace x86
