// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/cr4.hpp"

#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/guest/pv/pv.hpp"

namespace hv {
namespace {

constexpr uint64_t shown_to_all = hw::cr4_pae | hw::cr4_mce | hw::cr4_osfxsr | hw::cr4_osxmmexcpt;

bool offers(uint32_t features, unsigned bit) { return features >> bit & 1; }

}  // namespace

uint64_t pv_cr4_allowed(const Domain& d, uint64_t wanted) {
    constexpr unsigned edx_de = 2, edx_tsc = 4, ecx_xsave = 26, ebx_fsgsbase = 0;
    const CpuPolicy& policy = domain_policy(d);
    const xen::CpuidLeaf* basic = policy.find(1, 0);
    const xen::CpuidLeaf* extended = policy.find(7, 0);
    uint64_t allowed = 0;
    if (basic && offers(basic->d, edx_tsc)) allowed |= hw::cr4_tsd;
    if (basic && offers(basic->d, edx_de)) allowed |= hw::cr4_de;
    if (basic && offers(basic->c, ecx_xsave)) allowed |= hw::cr4_osxsave;
    if (extended && offers(extended->b, ebx_fsgsbase)) allowed |= hw::cr4_fsgsbase;
    return wanted & allowed;
}

uint64_t pv_cr4_shown(const Vcpu& v) { return shown_to_all | v.pv->cr4; }

}  // namespace hv
