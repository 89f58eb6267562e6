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

enum class Register : uint8_t { a, b, c, d };

struct FeatureWord {
    uint32_t leaf;
    uint32_t subleaf;
    Register reg;
};

constexpr uint32_t no_sub = xen::XEN_CPUID_NO_SUBLEAF;

/// The order of words in a feature set (public ABI).
constexpr FeatureWord feature_words[] = {
    {1, no_sub, Register::d},
    {1, no_sub, Register::c},
    {0x80000001, no_sub, Register::d},
    {0x80000001, no_sub, Register::c},
    {0xd, 1, Register::a},
    {7, 0, Register::b},
    {7, 0, Register::c},
    {0x80000007, no_sub, Register::d},
    {0x80000008, no_sub, Register::b},
    {7, 0, Register::d},
    {7, 1, Register::a},
    {0x80000021, no_sub, Register::a},
    {7, 1, Register::b},
    {7, 2, Register::d},
};
constexpr uint32_t feature_word_count = sizeof feature_words / sizeof *feature_words;

uint32_t word_of(const CpuPolicy& p, const FeatureWord& w) {
    const xen::CpuidLeaf* l = p.find(w.leaf, w.subleaf);
    if (!l) return 0;
    switch (w.reg) {
        case Register::a: return l->a;
        case Register::b: return l->b;
        case Register::c: return l->c;
        default: return l->d;
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
        f.nr_features = feature_word_count;
        return c.done();
    }
    const CpuPolicy* from = TRY(policy_of(f.index));
    const auto out = GuestPtr<uint32_t>::of(f.features);
    const uint32_t n = std::min(f.nr_features, feature_word_count);
    for (uint32_t i = 0; i < n; ++i) TRY(out.store(word_of(*from, feature_words[i]), i));
    const bool cut = f.nr_features < feature_word_count;
    f.nr_features = n;
    TRY(c.done());
    if (cut) return Err{Errc::nobufs};
    return ok;
}

}  // namespace sysctl
}  // namespace hv
