// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/arch/x86/speculation_setup.hpp"

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/descriptors.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/guarded.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/rt/log.hpp"
#include "lib/x86/speculation_words.hpp"

namespace hv {

extern "C" uint32_t wrmsr_fault_safe(uint32_t msr, uint64_t value);

namespace {

constexpr uint32_t msr_arch_capabilities = 0x10a;
constexpr uint32_t msr_tsx_ctrl = 0x122;
constexpr uint32_t msr_mcu_opt_ctrl = 0x123;
constexpr uint32_t msr_virt_spec_ctrl = 0xc001011f;
constexpr uint32_t msr_amd_ls_cfg = 0xc0011020;
constexpr uint32_t msr_amd_de_cfg = 0xc0011029;

CpuVendor vendor_of(const hw::CpuidResult& leaf0) {
    switch (leaf0.b) {
        case 0x756e6547: return CpuVendor::intel;  // "Genu"
        case 0x68747541: return CpuVendor::amd;    // "Auth"
        case 0x6f677948: return CpuVendor::hygon;  // "Hygo"
        default: return CpuVendor::other;
    }
}

CpuTraits read_traits() {
    CpuTraits t;
    const auto leaf0 = hw::cpuid(0);
    t.vendor = vendor_of(leaf0);
    // SDM 2A figure 3-6.
    const uint32_t signature = hw::cpuid(1).a;
    t.family = (signature >> 8) & 0xf;
    t.model = (signature >> 4) & 0xf;
    t.stepping = signature & 0xf;
    if (t.family == 6 || t.family == 0xf) t.model |= (signature >> 12) & 0xf0;
    if (t.family == 0xf) t.family += (signature >> 20) & 0xff;
    if (leaf0.a >= 7) {
        const auto seven = hw::cpuid(7);
        t.leaf7_ebx = seven.b;
        t.leaf7_edx = seven.d;
    }
    const uint32_t extended = hw::cpuid(0x80000000).a;
    if (extended >= 0x80000008) t.ext8_ebx = hw::cpuid(0x80000008).b;
    if (extended >= 0x80000021) t.ext21_eax = hw::cpuid(0x80000021).a;
    if (t.has7(spec_bit::arch_caps)) t.arch_caps = hw::rdmsr(msr_arch_capabilities);
    return t;
}

/// Registers that no CPUID bit tells of: families that have them may still run under somebody who does not let us.
void change_bits(uint32_t msr, uint64_t clear, uint64_t set) {
    uint64_t value = 0;
    if (!hw::rdmsr_safe(msr, value)) return;
    const uint64_t wanted = (value & ~clear) | set;
    if (wanted != value) (void)wrmsr_fault_safe(msr, wanted);
}

}  // namespace

void speculation_init(const SpeculationOptions& o) {
    cpu_traits = read_traits();
    speculation = plan_speculation(cpu_traits, o);
    choose_thunk(speculation.thunk);
    if (speculation.guarded()) guard_entries();
    if (speculation.isolates()) {
        // A global translation of ours would outlive the change to a guest's view.
        cpu_features.pge = false;
        cpu_features.cr4 &= ~hw::cr4_pge;
    }
}

void speculation_init_cpu() {
    const SpeculationPlan& p = speculation;
    constexpr uint64_t lfence_is_dispatch_serialising = 2, rtm_disable_and_hide = 3, mitigation_off = 1;
    if (p.lfence_dispatch) change_bits(msr_amd_de_cfg, 0, lfence_is_dispatch_serialising);
    if (p.ssbd_ls_cfg) change_bits(msr_amd_ls_cfg, 0, p.ssbd_ls_cfg);
    if (p.virt_ssbd) hw::wrmsr(msr_virt_spec_ctrl, spec_ctrl::ssbd);
    if (p.tsx != Choice::unset) {
        const bool off = p.tsx == Choice::no;
        change_bits(msr_tsx_ctrl, rtm_disable_and_hide, off ? rtm_disable_and_hide : 0);
    }
    if (p.rngds_mitigation != Choice::unset)
        change_bits(msr_mcu_opt_ctrl, mitigation_off, p.rngds_mitigation == Choice::no ? mitigation_off : 0);
    if (has_spec_ctrl(cpu_traits)) hw::wrmsr(hw::msr_spec_ctrl, p.spec_ctrl);
    CpuStackTop& top = stack_top();
    top.guards = (p.switch_spec_ctrl ? guard::spec_ctrl : 0) | (p.rsb_on_entry ? guard::rsb : 0) |
                 (p.ibpb_on_entry ? guard::ibpb : 0) | (p.verw_on_exit ? guard::verw : 0);
    top.spec_ctrl = p.spec_ctrl;
    top.guest_spec_ctrl = 0;
    top.verw_selector = sel_hv_ds;
}

void speculation_report() {
    x86::describe_speculation(cpu_traits, speculation, [](const char* line) { log(LogLevel::info, "%s", line); });
}

}  // namespace hv
