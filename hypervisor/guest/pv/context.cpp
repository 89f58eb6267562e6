// SPDX-License-Identifier: Apache-2.0
/// A vCPU's whole state in one structure: VCPUOP_initialise, XEN_DOMCTL_setvcpucontext, and back.
#include <cstring>

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/guest/pv/cr4.hpp"
#include "hypervisor/guest/pv/debug_regs.hpp"
#include "hypervisor/guest/pv/descriptors.hpp"
#include "hypervisor/guest/pv/emulate.hpp"
#include "hypervisor/guest/pv/kind.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/traps.hpp"
#include "lib/base/bits.hpp"

namespace hv {
namespace {

constexpr uint64_t rflags_never = eflags_iopl | eflags_nt | eflags_vm | eflags_rf | eflags_vif | eflags_vip;

/// The general registers have the same order in both.
constexpr size_t general_bytes = offsetof(Regs, error_code);
static_assert(offsetof(Regs, r15) == 0 && offsetof(xen::CpuUserRegs, r15) == 0);
static_assert(offsetof(Regs, rax) == offsetof(xen::CpuUserRegs, rax));
static_assert(offsetof(xen::CpuUserRegs, error_code) == general_bytes);

/// A selector that cannot reach ring 0, whatever the guest says.
uint16_t ring3(uint16_t selector) { return selector | 3; }

void set_registers(Vcpu& v, const xen::CpuUserRegs& u) {
    Regs& r = v.regs;
    memcpy(&r, &u, general_bytes);
    r.error_code = 0;
    r.vector = 0;
    r.rip = u.rip;
    r.cs = ring3(u.cs);
    r.rflags = (u.rflags & 0x3f7fd7 & ~rflags_never) | eflags_if | 2;
    r.rsp = u.rsp;
    r.ss = ring3(u.ss);
    v.pv->iopl = static_cast<uint8_t>((u.rflags & eflags_iopl) >> eflags_iopl_shift);
    v.pv->ds = u.ds;
    v.pv->es = u.es;
    v.pv->fs = u.fs;
    v.pv->gs = u.gs;
}

Status check_addresses(const xen::VcpuGuestContext& c) {
    const uint64_t all[] = {c.user_regs.rip, c.event_callback_eip, c.failsafe_callback_eip, c.syscall_callback_eip, c.kernel_sp,
                            c.fs_base,       c.gs_base_kernel,     c.gs_base_user};
    for (const uint64_t a : all)
        if (!base::canonical(a)) return Err{Errc::inval};
    if (c.ldt_ents > ldt_max_entries || c.gdt_ents > xen::FIRST_RESERVED_GDT_ENTRY) return Err{Errc::inval};
    return ok;
}

bool breakpoints_on(const xen::VcpuGuestContext& c) { return c.debugreg[7] & 0xff; }

Status check_debug_registers(const xen::VcpuGuestContext& c) {
    for (unsigned i = 0; i < 4; ++i) TRY(pv_check_debug_reg(i, c.debugreg[i]));
    if (breakpoints_on(c)) TRY(pv_check_debug_reg(7, c.debugreg[7] & 0xffffffff));
    return ok;
}

/// Frames of the roots; 0: the context has none.
Gfn kernel_root_of(const xen::VcpuGuestContext& c) { return Gfn(xen::xen_cr3_to_pfn(c.ctrlreg[3])); }
Gfn user_root_of(const xen::VcpuGuestContext& c) { return Gfn(xen::xen_cr3_to_pfn(c.ctrlreg[1])); }

/// Without tables for its mode a vCPU would run on the idle ones, which have no window for its descriptors: its first
/// exception would be the machine's last.
Status check_roots(const Vcpu& v, const xen::VcpuGuestContext& c) {
    if (kernel_root_of(c).raw == 0) return Err{Errc::inval};
    if (c.ctrlreg[1] != 0 && user_root_of(c).raw == 0) return Err{Errc::inval};
    if (!(c.flags & xen::VGCF_in_kernel) && c.ctrlreg[1] == 0 && v.pv->user_root.raw == 0) return Err{Errc::inval};
    return ok;
}

/// What can fail, or be interrupted: then the next attempt finds its progress.
Status take_tables(Vcpu& v, const xen::VcpuGuestContext& c) {
    TRY(finish_pending_put(v));
    TRY(set_kernel_root(v, machine_frame(v.domain, kernel_root_of(c))));
    if (c.ctrlreg[1] != 0) {
        TRY(finish_pending_put(v));  // of the kernel root before: one can wait, not two
        TRY(set_user_root(v, machine_frame(v.domain, user_root_of(c))));
    }
    Mfn frames[gdt_guest_pages];
    for (unsigned i = 0; i < gdt_guest_pages; ++i) frames[i] = machine_frame(v.domain, Gfn(c.gdt_frames[i]));
    TRY(pv_set_gdt(v, frames, static_cast<uint32_t>(c.gdt_ents)));
    return pv_set_ldt(v, c.ldt_base, static_cast<uint32_t>(c.ldt_ents));
}

void set_fpu(Vcpu& v, const xen::VcpuGuestContext& c) {
    memcpy(v.state.fpu, c.fpu_ctxt.x, sizeof c.fpu_ctxt.x);
    // Reserved MXCSR bits would fault when the area is loaded.
    uint32_t mxcsr = 0;
    memcpy(&mxcsr, v.state.fpu + 24, 4);
    mxcsr &= 0xffff;
    memcpy(v.state.fpu + 24, &mxcsr, 4);
    if (!cpu_features.xsave) return;  // the area ends here
    constexpr uint64_t x87_and_sse = 3;
    memset(v.state.fpu + 512, 0, 64);
    memcpy(v.state.fpu + 512, &x87_and_sse, 8);
}

void set_debug_registers(Vcpu& v, const xen::VcpuGuestContext& c) {
    for (unsigned i = 0; i < 4; ++i) (void)pv_write_debug_reg(v, i, c.debugreg[i]);
    (void)pv_write_debug_reg(v, 7, breakpoints_on(c) ? c.debugreg[7] & 0xffffffff : 0);
}

void set_callbacks(PvVcpu& pv, const xen::VcpuGuestContext& c) {
    for (unsigned i = 0; i < 256; ++i) pv.traps.set(static_cast<uint8_t>(i), c.trap_ctxt[i]);
    pv.event = {c.event_callback_eip, true};
    pv.failsafe = {c.failsafe_callback_eip, (c.flags & xen::VGCF_failsafe_disables_events) != 0};
    pv.syscall = {c.syscall_callback_eip, (c.flags & xen::VGCF_syscall_disables_events) != 0};
    pv.kernel_ss = ring3(static_cast<uint16_t>(c.kernel_ss));
    pv_set_kernel_stack(pv, c.kernel_sp);
    pv_set_quick_call(pv);
}

}  // namespace

Status pv_set_context(Vcpu& v, const xen::VcpuGuestContext& c) {
    TRY(check_addresses(c));
    TRY(check_debug_registers(c));
    TRY(check_roots(v, c));
    PvVcpu& pv = *v.pv;
    if (const Status s = take_tables(v, c); !s) {
        if (!v.initialised && s.error() != Errc::restart) {
            pv_clear_descriptors(v);
            drop_roots(v);
        }
        return s;
    }

    set_registers(v, c.user_regs);
    set_callbacks(pv, c);
    pv.in_kernel = (c.flags & xen::VGCF_in_kernel) != 0;
    if ((c.flags & xen::VGCF_in_syscall) && has_flat_selectors(v.regs)) v.regs.vector = entry_syscall;
    if (c.flags & xen::VGCF_i387_valid) set_fpu(v, c);
    pv.cr0_ts = c.ctrlreg[0] & 8;
    // OSXSAVE stays as it was for a new vCPU: user code sees it set whatever its kernel says.
    pv.cr4 = (pv.cr4 & hw::cr4_osxsave) | pv_cr4_allowed(v.domain, c.ctrlreg[4]);
    pv.fs_base = c.fs_base;
    pv.gs_base_kernel = c.gs_base_kernel;
    pv.gs_base_user = c.gs_base_user;
    set_debug_registers(v, c);
    if (v.id.raw == 0) v.domain.vm_assist |= c.vm_assist;
    v.initialised = true;
    return ok;
}

void pv_get_context(Vcpu& v, xen::VcpuGuestContext& c) {
    memset(&c, 0, sizeof c);
    const PvVcpu& pv = *v.pv;
    const Regs& r = v.regs;
    xen::CpuUserRegs& u = c.user_regs;
    memcpy(&u, &r, general_bytes);
    u.rip = r.rip;
    u.cs = static_cast<uint16_t>(r.cs);
    u.rflags = r.rflags | (uint64_t{pv.iopl} << eflags_iopl_shift);
    u.rsp = r.rsp;
    u.ss = static_cast<uint16_t>(r.ss);
    u.ds = pv.ds;
    u.es = pv.es;
    u.fs = pv.fs;
    u.gs = pv.gs;
    u.saved_upcall_mask = v.info.load()->evtchn_upcall_mask;
    c.flags = (pv.in_kernel ? xen::VGCF_in_kernel : 0) | xen::VGCF_i387_valid |
              (pv.failsafe.masks_events ? xen::VGCF_failsafe_disables_events : 0) |
              (pv.syscall.masks_events ? xen::VGCF_syscall_disables_events : 0) |
              ((v.pause_flags.load() & vpf_down) ? 0 : xen::VGCF_online) | (r.vector == entry_syscall ? xen::VGCF_in_syscall : 0);
    memcpy(c.fpu_ctxt.x, v.state.fpu, sizeof c.fpu_ctxt.x);
    for (unsigned i = 0; i < 256; ++i) c.trap_ctxt[i] = pv.traps.get(static_cast<uint8_t>(i));
    for (unsigned i = 0; i < gdt_guest_pages; ++i) c.gdt_frames[i] = pv.gdt_entries > i * 512 ? pv.gdt_frames[i].raw : 0;
    c.gdt_ents = pv.gdt_entries;
    c.ldt_base = pv.ldt_base;
    c.ldt_ents = pv.ldt_entries;
    c.kernel_ss = pv.kernel_ss;
    c.kernel_sp = pv.kernel_sp;
    c.ctrlreg[0] = 0x80050033 | pv.cr0_ts;
    c.ctrlreg[3] = xen::xen_pfn_to_cr3(pv.kernel_root.raw);
    c.ctrlreg[1] = pv.user_root.raw ? xen::xen_pfn_to_cr3(pv.user_root.raw) : 0;
    c.ctrlreg[4] = pv_cr4_shown(v);
    for (unsigned i = 0; i < 8; ++i) c.debugreg[i] = v.state.debug[i];
    c.event_callback_eip = pv.event.address;
    c.failsafe_callback_eip = pv.failsafe.address;
    c.syscall_callback_eip = pv.syscall.address;
    c.vm_assist = v.domain.vm_assist;
    c.fs_base = pv.fs_base;
    c.gs_base_kernel = pv.gs_base_kernel;
    c.gs_base_user = pv.gs_base_user;
}

}  // namespace hv
