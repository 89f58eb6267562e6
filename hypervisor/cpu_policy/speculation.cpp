// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/cpu_policy/speculation.hpp"

#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/speculation_plan.hpp"
#include "hypervisor/cpu_policy/policy.hpp"

namespace hv {
namespace {

using namespace spec_bit;

constexpr uint32_t msr_arch_capabilities = 0x10a;
/// What these say is true of the guest as well: it runs on the same CPU.
constexpr uint64_t passed_capabilities = rdcl_no | ibrs_all | rsba | cap_ssb_no | mds_no | if_pschange_mc_no | taa_no |
                                         sbdr_ssdp_no | fbsdp_no | psdp_no | fb_clear | rrsba | bhi_no | pbrsb_no;

/// The guest's own CPUID has the bit.
bool sees7(const Vcpu& v, uint32_t bit) {
    const xen::CpuidLeaf* l = domain_policy(v.domain).find(7, 0);
    return l && (l->d & bit);
}
bool sees8(const Vcpu& v, uint32_t bit) {
    const xen::CpuidLeaf* l = domain_policy(v.domain).find(0x80000008, 0);
    return l && (l->b & bit);
}

bool sees_capabilities(const Vcpu& v) { return v.domain.privileged && cpu_traits.has7(arch_caps); }

base::Status set_spec_ctrl(Vcpu& v, uint64_t value) {
    if (!sees7(v, ibrsb)) return Err{Errc::perm};
    const uint32_t allowed = spec_ctrl::ibrs | (sees7(v, stibp) ? spec_ctrl::stibp : 0) | (sees7(v, ssbd) ? spec_ctrl::ssbd : 0);
    // STIBP does nothing on CPUs without threads, and may be set where IBRS is.
    if (value & ~uint64_t{allowed | spec_ctrl::stibp}) return Err{Errc::perm};
    v.state.spec_ctrl = static_cast<uint32_t>(value) & speculation.guest_allowed;
    if (&v == this_cpu().current) arch::load_guest_spec_ctrl(v);
    return base::ok;
}

}  // namespace

void add_control_features(const Vcpu& v, xen::CpuidLeaf& l) {
    if (l.leaf == 7 && l.subleaf == 0 && sees_capabilities(v)) l.d |= arch_caps;
}

base::Result<uint64_t> read_speculation_msr(const Vcpu& v, uint32_t msr) {
    switch (msr) {
        case hw::msr_spec_ctrl:
            if (!sees7(v, ibrsb)) return Err{Errc::perm};
            return uint64_t{v.state.spec_ctrl};
        case hw::msr_pred_cmd: return Err{Errc::perm};
        case msr_arch_capabilities:
            if (!sees_capabilities(v)) return Err{Errc::perm};
            return cpu_traits.arch_caps & passed_capabilities;
        default: return Err{Errc::noent};
    }
}

base::Status write_speculation_msr(Vcpu& v, uint32_t msr, uint64_t value) {
    switch (msr) {
        case hw::msr_spec_ctrl: return set_spec_ctrl(v, value);
        case hw::msr_pred_cmd:
            if ((!sees7(v, ibrsb) && !sees8(v, ibpb)) || value > 1) return Err{Errc::perm};
            if (value) hw::wrmsr(hw::msr_pred_cmd, 1);
            return base::ok;
        case msr_arch_capabilities: return Err{Errc::perm};
        default: return Err{Errc::noent};
    }
}

}  // namespace hv
