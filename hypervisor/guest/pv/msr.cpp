// SPDX-License-Identifier: Apache-2.0
/// Model-specific registers as a PV guest sees them.
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/guest/pv/emulate.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/rt/log.hpp"
#include "lib/base/bits.hpp"

namespace hv {
namespace {

constexpr uint32_t msr_p5_mc_type = 0x1;
constexpr uint32_t msr_platform_id = 0x17;
constexpr uint32_t msr_ucode_rev = 0x8b;
constexpr uint32_t msr_mtrr_cap = 0xfe;
constexpr uint32_t msr_mcg_cap = 0x179;
constexpr uint32_t msr_mcg_status = 0x17a;
constexpr uint32_t msr_misc_enable = 0x1a0;
constexpr uint32_t msr_amd_syscfg = 0xc0010010;
constexpr uint32_t msr_amd_hwcr = 0xc0010015;
constexpr uint32_t msr_amd_pstate_limit = 0xc0010061;
constexpr uint32_t msr_amd_de_cfg = 0xc0011029;

constexpr uint64_t guest_efer = (1u << 0) | (1u << 8) | (1u << 10) | (1u << 11);  // SCE LME LMA NX

bool is_current(const Vcpu& v) { return &v == this_cpu().current; }

}  // namespace

base::Status pv_set_fs_base(Vcpu& v, uint64_t base) {
    if (!base::canonical(base)) return Err{Errc::inval};
    v.pv->fs_base = base;
    if (is_current(v)) arch::write_fs_base(base);
    return base::ok;
}

base::Status pv_set_gs_base_kernel(Vcpu& v, uint64_t base) {
    if (!base::canonical(base)) return Err{Errc::inval};
    v.pv->gs_base_kernel = base;
    if (is_current(v)) arch::write_gs_base(!v.pv->in_kernel, base);
    return base::ok;
}

base::Status pv_set_gs_base_user(Vcpu& v, uint64_t base) {
    if (!base::canonical(base)) return Err{Errc::inval};
    v.pv->gs_base_user = base;
    if (is_current(v)) arch::write_gs_base(v.pv->in_kernel, base);
    return base::ok;
}

base::Result<uint64_t> pv_read_msr(Vcpu& v, uint32_t msr) {
    switch (msr) {
        case hw::msr_fs_base: return is_current(v) ? arch::read_fs_base() : v.pv->fs_base;
        case hw::msr_gs_base: return is_current(v) ? arch::read_gs_base(false) : v.pv->gs_base_kernel;
        case hw::msr_kernel_gs_base: return is_current(v) ? arch::read_gs_base(true) : v.pv->gs_base_user;
        case hw::msr_efer: return guest_efer;
        case hw::msr_pat: return hw::rdmsr(hw::msr_pat);
        case hw::msr_apic_base: return uint64_t{0xfee00800} | (v.id.raw == 0 ? 0x100u : 0u);
        case hw::msr_tsc_aux: return v.pv->tsc_aux;
        case 0x10: return hw::rdtsc();
        case msr_amd_de_cfg:
            if (!cpu_features.amd) return Err{Errc::perm};
            return uint64_t{1} << 1;  // LFENCE serialises
        case msr_platform_id:
        case msr_misc_enable:
            if (cpu_features.amd) return Err{Errc::perm};
            return uint64_t{0};
        case msr_amd_syscfg:
        case msr_amd_hwcr:
        case msr_amd_pstate_limit:
            if (!cpu_features.amd) return Err{Errc::perm};
            return uint64_t{0};
        case msr_p5_mc_type:
        case msr_ucode_rev:
        case msr_mtrr_cap:
        case hw::msr_mtrr_def_type:
        case msr_mcg_cap:
        case msr_mcg_status: return uint64_t{0};
        default:
            guest_log(LogLevel::debug, "d%uv%u: RDMSR %08x refused", v.domain.id.raw, v.id.raw, msr);
            return Err{Errc::perm};
    }
}

base::Status pv_write_msr(Vcpu& v, uint32_t msr, uint64_t value) {
    switch (msr) {
        case hw::msr_fs_base: return pv_set_fs_base(v, value);
        case hw::msr_gs_base: return pv_set_gs_base_kernel(v, value);
        case hw::msr_kernel_gs_base: return pv_set_gs_base_user(v, value);
        case hw::msr_tsc_aux:
            if (value >> 32) return Err{Errc::perm};
            v.pv->tsc_aux = value;
            if (is_current(v) && cpu_features.rdtscp) hw::wrmsr(hw::msr_tsc_aux, value);
            return base::ok;
        // Registers guests write to say what is so already.
        case hw::msr_efer:
            if (value != guest_efer) return Err{Errc::perm};
            return base::ok;
        case hw::msr_pat:
            if (value != hw::rdmsr(hw::msr_pat)) return Err{Errc::perm};
            return base::ok;
        case msr_ucode_rev: return base::ok;
        default:
            guest_log(LogLevel::debug, "d%uv%u: WRMSR %08x = %lx refused", v.domain.id.raw, v.id.raw, msr, value);
            return Err{Errc::perm};
    }
}

}  // namespace hv
