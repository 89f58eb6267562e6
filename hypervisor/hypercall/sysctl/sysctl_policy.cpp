// SPDX-License-Identifier: Apache-2.0
/// CPUID data for tools.
#include <algorithm>

#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/hypercall/sysctl/policy_copy.hpp"
#include "hypervisor/hypercall/sysctl/sysctl.hpp"

namespace hv {

Status copy_policy_out(const CpuPolicy& p, xen::Handle<xen::CpuidLeaf> leaves, uint32_t& nr_leaves,
                       xen::Handle<xen::MsrEntry> msrs, uint32_t& nr_msrs) {
    if (leaves.is_null()) {
        nr_leaves = CpuPolicy::capacity;
    } else {
        if (nr_leaves < p.count) return Err{Errc::nobufs};
        TRY(GuestPtr<xen::CpuidLeaf>::of(leaves).store_many(p.leaves, p.count));
        nr_leaves = p.count;
    }
    // A PV guest's model-specific registers are not configurable: none are listed.
    nr_msrs = msrs.is_null() ? policy_msr_capacity : 0;
    return ok;
}

namespace sysctl {

namespace {

// Policies and feature sets are numbered alike, and the most that a guest can have is what it has by default.
static_assert(xen::XEN_SYSCTL_cpu_policy_host == xen::XEN_SYSCTL_cpu_featureset_host);
static_assert(xen::XEN_SYSCTL_cpu_policy_pv_max == xen::XEN_SYSCTL_cpu_featureset_pv);
static_assert(xen::XEN_SYSCTL_cpu_policy_pv_default == xen::XEN_SYSCTL_cpu_featureset_pv_max);

/// Errors: opnotsupp for guests we do not run, inval.
Result<const CpuPolicy*> policy_of(uint32_t index) {
    switch (index) {
        case xen::XEN_SYSCTL_cpu_policy_raw:
        case xen::XEN_SYSCTL_cpu_policy_host: return static_cast<const CpuPolicy*>(&raw_policy);
        case xen::XEN_SYSCTL_cpu_policy_pv_max:
        case xen::XEN_SYSCTL_cpu_policy_pv_default: return static_cast<const CpuPolicy*>(&pv_policy);
        case xen::XEN_SYSCTL_cpu_policy_hvm_max:
        case xen::XEN_SYSCTL_cpu_policy_hvm_default: return Err{Errc::opnotsupp};
        default: return Err{Errc::inval};
    }
}

}  // namespace

Status get_cpu_policy(const Call& c) {
    xen::SysctlCpuPolicy& p = c.op.u.cpu_policy;
    if (p._rsvd != 0) return Err{Errc::inval};
    const CpuPolicy* from = TRY(policy_of(p.index));
    TRY(copy_policy_out(*from, p.leaves, p.nr_leaves, p.msrs, p.nr_msrs));
    return c.done();
}

Status get_cpu_featureset(const Call& c) {
    xen::SysctlCpuFeatureset& f = c.op.u.cpu_featureset;
    if (f.features.is_null()) {
        f.nr_features = x86::feature_words;
        return c.done();
    }
    const CpuPolicy* from = TRY(policy_of(f.index));
    const auto out = GuestPtr<uint32_t>::of(f.features);
    const uint32_t n = std::min(f.nr_features, x86::feature_words);
    for (uint32_t i = 0; i < n; ++i) TRY(out.store(x86::feature_word(*from, i), i));
    const bool cut = f.nr_features < x86::feature_words;
    f.nr_features = n;
    TRY(c.done());
    if (cut) return Err{Errc::nobufs};
    return ok;
}

}  // namespace sysctl
}  // namespace hv
