// SPDX-License-Identifier: Apache-2.0
/// Model-specific registers as a PV guest sees them.
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/cpu_policy/speculation.hpp"
#include "hypervisor/guest/pv/emulate.hpp"
#include "hypervisor/guest/pv/hypercall_page.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/rt/log.hpp"
#include "lib/base/bits.hpp"
#include "lib/x86/fixed_msrs.hpp"

namespace hv {
namespace {

constexpr uint32_t msr_tsc = 0x10;
constexpr uint32_t msr_platform_id = 0x17;
constexpr uint32_t msr_ucode_rev = 0x8b;
constexpr uint32_t msr_misc_enable = 0x1a0;
constexpr uint32_t msr_hypercall_page = 0x40000000;

constexpr uint64_t guest_efer = (1u << 0) | (1u << 8) | (1u << 10) | (1u << 11);  // SCE LME LMA NX

bool is_current(const Vcpu& v) { return &v == this_cpu().current; }

/// A register of the machine that any guest may read, where the machine has it.
base::Result<uint64_t> machine_value(uint32_t msr) {
    uint64_t value = 0;
    if (!hw::rdmsr_safe(msr, value)) return Err{Errc::perm};
    return value;
}

/// IA32_MISC_ENABLE without what a guest cannot use. SDM 4, table 2-2.
base::Result<uint64_t> misc_enable() {
    constexpr uint64_t monitoring = 1u << 7, mwait = 1u << 18;
    constexpr uint64_t no_branch_trace = 1u << 11, no_event_sampling = 1u << 12, no_xtpr = 1u << 23;
    const uint64_t value = TRY(machine_value(msr_misc_enable));
    return (value & ~(monitoring | mwait)) | no_branch_trace | no_event_sampling | no_xtpr;
}

/// Writes the stubs for hypercalls into a frame of the guest's: for kernels that found the register in CPUID.
base::Status fill_page_of_guest(Vcpu& v, uint64_t machine_address) {
    if (machine_address & (base::page_size - 1)) return Err{Errc::perm};
    PageRef ref = TRY(guest_page(v.domain, base::Gfn::of_address(machine_address)));
    const auto page = WritableRef::of(std::move(ref));
    if (!page) return Err{Errc::perm};
    fill_hypercall_page(page.value().data());
    dirtied(page.value().mfn());
    return base::ok;
}

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

namespace {

x86::MsrReader reader(const Vcpu& v) { return {cpu_features.amd, v.domain.privileged}; }

/// Registers that are read once, at boot.
[[gnu::noinline]] base::Result<uint64_t> read_other(Vcpu& v, uint32_t msr) {
    switch (msr) {
        case hw::msr_pat: return hw::rdmsr(hw::msr_pat);
        case hw::msr_tsc_aux: return v.state.tsc_aux;
        case msr_hypercall_page: return uint64_t{0};
        case msr_ucode_rev: return machine_value(msr);
        case msr_platform_id:
            if (cpu_features.amd) break;
            return machine_value(msr);
        case msr_misc_enable: return misc_enable();
        default: break;
    }
    if (auto r = read_speculation_msr(v, msr); r || r.error() != Errc::noent) return r;
    const x86::MsrReader who = reader(v);
    auto fixed = x86::msr_read_fixed(who, msr);
    if (!fixed) fixed = x86::msr_read_machine_check(who, msr);
    if (!fixed && domain_msr_is_news(v.domain, msr, false))
        guest_log(LogLevel::warning, "d%uv%u: RDMSR %08x refused", v.domain.id.raw, v.id.raw, msr);
    return fixed;
}

}  // namespace

base::Result<uint64_t> pv_read_msr(Vcpu& v, uint32_t msr) {
    switch (msr) {
        case hw::msr_fs_base: return is_current(v) ? arch::read_fs_base() : v.pv->fs_base;
        case hw::msr_gs_base: return is_current(v) ? arch::read_gs_base(false) : v.pv->gs_base_kernel;
        case hw::msr_kernel_gs_base: return is_current(v) ? arch::read_gs_base(true) : v.pv->gs_base_user;
        case hw::msr_efer: return guest_efer;
        case hw::msr_apic_base: return uint64_t{0xfee00800} | (v.id.raw == 0 ? 0x100u : 0u);
        case msr_tsc: return hw::rdtsc();
        default: return read_other(v, msr);
    }
}

namespace {

[[gnu::noinline]] base::Status write_other(Vcpu& v, uint32_t msr, uint64_t value) {
    switch (msr) {
        case hw::msr_tsc_aux:
            if (value >> 32) return Err{Errc::perm};
            v.state.tsc_aux = value;
            if (is_current(v) && cpu_features.rdtscp) hw::wrmsr(hw::msr_tsc_aux, value);
            return base::ok;
        // Registers guests write to say what is so already.
        case hw::msr_efer:
            if (value != guest_efer) return Err{Errc::perm};
            return base::ok;
        case msr_misc_enable: {
            const auto now = misc_enable();
            if (!now || value != now.value()) return Err{Errc::perm};
            return base::ok;
        }
        // To be written with 0 before it is read; AMD's is read-only.
        case msr_ucode_rev:
            if (cpu_features.amd || value != 0) return Err{Errc::perm};
            return base::ok;
        case msr_hypercall_page: return fill_page_of_guest(v, value);
        default: break;
    }
    if (auto s = write_speculation_msr(v, msr, value); s || s.error() != Errc::noent) return s;
    base::Status fixed = x86::msr_write_fixed(reader(v), msr, value);
    if (!fixed) fixed = x86::msr_write_machine_check(msr, value);
    if (!fixed && domain_msr_is_news(v.domain, msr, true))
        guest_log(LogLevel::warning, "d%uv%u: WRMSR %08x = %lx refused", v.domain.id.raw, v.id.raw, msr, value);
    return fixed;
}

}  // namespace

base::Status pv_write_msr(Vcpu& v, uint32_t msr, uint64_t value) {
    switch (msr) {
        case hw::msr_fs_base: return pv_set_fs_base(v, value);
        case hw::msr_gs_base: return pv_set_gs_base_kernel(v, value);
        case hw::msr_kernel_gs_base: return pv_set_gs_base_user(v, value);
        default: return write_other(v, msr, value);
    }
}

}  // namespace hv
