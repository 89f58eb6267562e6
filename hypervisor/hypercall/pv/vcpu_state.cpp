// SPDX-License-Identifier: Apache-2.0
/// Hypercalls that set a PV vCPU's tables, callbacks and registers, and IRET.
#include "abi/xen/arch_x86.hpp"
#include "abi/xen/callback.hpp"
#include "abi/xen/nmi.hpp"
#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/guest/pv/debug_regs.hpp"
#include "hypervisor/guest/pv/descriptors.hpp"
#include "hypervisor/guest/pv/emulate.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/traps.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/row.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "lib/base/bits.hpp"

namespace hv {

Answer hypercall_set_trap_table(Vcpu& v, GuestPtr<xen::TrapInfo> list) {
    PvVcpu& pv = *v.pv;
    if (list.null()) {
        pv.traps.clear();
        return 0;
    }
    for (uint32_t i = 0; i < 257; ++i) {
        const xen::TrapInfo t = TRY(list.fetch(i));
        if (t.address == 0) break;
        if (!base::canonical(t.address)) return Err{Errc::inval};
        pv.traps.set(t.vector, t);
    }
    return 0;
}

Status hypercall_set_gdt(Vcpu& v, GuestPtr<uint64_t> frames, uint32_t entries) {
    if (entries > xen::FIRST_RESERVED_GDT_ENTRY) return Err{Errc::inval};
    Mfn pages[gdt_guest_pages];
    for (uint32_t i = 0; i < (entries + 511) / 512; ++i) pages[i] = machine_frame(v.domain, Gfn(TRY(frames.fetch(i))));
    return pv_set_gdt(v, pages, entries);
}

Status hypercall_update_descriptor(Vcpu& v, uint64_t machine_address, uint64_t descriptor) {
    return pv_update_descriptor(v.domain, machine_address, descriptor);
}

Answer hypercall_stack_switch(Vcpu& v, uint64_t ss, uint64_t sp) {
    v.pv->kernel_ss = ss | 3;
    pv_set_kernel_stack(*v.pv, sp);
    return 0;
}

Status hypercall_set_callbacks(Vcpu& v, uint64_t event, uint64_t failsafe, uint64_t syscall) {
    if (!base::canonical(event) || !base::canonical(failsafe) || !base::canonical(syscall)) return Err{Errc::inval};
    v.pv->event = {event, true};
    v.pv->failsafe = {failsafe, v.pv->failsafe.masks_events};
    v.pv->syscall = {syscall, v.pv->syscall.masks_events};
    pv_set_quick_call(*v.pv);
    return ok;
}

namespace {

PvCallback* callback_slot(PvVcpu& pv, uint16_t type) {
    switch (type) {
        case xen::CALLBACKTYPE_event: return &pv.event;
        case xen::CALLBACKTYPE_failsafe: return &pv.failsafe;
        case xen::CALLBACKTYPE_syscall: return &pv.syscall;
        case xen::CALLBACKTYPE_syscall32: return &pv.syscall32;
        case xen::CALLBACKTYPE_sysenter: return &pv.sysenter;
        case xen::CALLBACKTYPE_nmi: return &pv.nmi;
        default: return nullptr;
    }
}

Status register_callback(Vcpu& v, GuestPtr<xen::CallbackRegister> p) {
    const auto c = TRY(p.fetch());
    PvCallback* slot = callback_slot(*v.pv, c.type);
    if (!slot) return Err{Errc::nosys};
    if (!base::canonical(c.address)) return Err{Errc::inval};
    *slot = {c.address, (c.flags & xen::CALLBACKF_mask_events) != 0};
    pv_set_quick_call(*v.pv);
    return ok;
}

Status unregister_callback(Vcpu& v, GuestPtr<xen::CallbackUnregister> p) {
    PvCallback* slot = callback_slot(*v.pv, TRY(p.fetch()).type);
    if (!slot) return Err{Errc::nosys};
    // Without these the guest cannot run at all.
    if (slot == &v.pv->event || slot == &v.pv->failsafe || slot == &v.pv->syscall) return Err{Errc::inval};
    *slot = {};
    return ok;
}

// clang-format off
using OnCallbacks = Operations<
    Op<xen::CALLBACKOP_register,   register_callback>,
    Op<xen::CALLBACKOP_unregister, unregister_callback>>;
// clang-format on

Status register_nmi(Vcpu& v, GuestPtr<xen::NmiCallback> p) {
    const auto c = TRY(p.fetch());
    if (v.id.raw != 0 || !base::canonical(c.handler_address)) return Err{Errc::inval};
    v.pv->nmi = {c.handler_address, true};
    return ok;
}

void unregister_nmi(Vcpu& v, AnyGuestPtr) { v.pv->nmi = {}; }

// clang-format off
using OnNmi = Operations<
    Op<xen::XENNMI_register_callback,   register_nmi>,
    Op<xen::XENNMI_unregister_callback, unregister_nmi>>;
// clang-format on

}  // namespace

Answer hypercall_callback_op(Vcpu& v, uint64_t cmd, AnyGuestPtr arg) { return OnCallbacks::run("callback_op", cmd, v, arg); }
Answer hypercall_nmi_op(Vcpu& v, uint64_t cmd, AnyGuestPtr arg) { return OnNmi::run("nmi_op", cmd, v, arg); }

Answer hypercall_fpu_taskswitch(Vcpu& v, uint64_t set) {
    v.pv->cr0_ts = set ? hw::cr0_ts : 0;
    hw::set_ts(set != 0);
    return 0;
}

Status hypercall_set_debugreg(Vcpu& v, uint32_t number, uint64_t value) { return pv_write_debug_reg(v, number, value); }

Answer hypercall_get_debugreg(Vcpu& v, uint32_t number) { return pv_read_debug_reg(v, number); }

Status hypercall_set_segment_base(Vcpu& v, uint64_t which, uint64_t base) {
    switch (which) {
        case xen::SEGBASE_FS: return pv_set_fs_base(v, base);
        case xen::SEGBASE_GS_USER: return pv_set_gs_base_user(v, base);
        case xen::SEGBASE_GS_KERNEL: return pv_set_gs_base_kernel(v, base);
        case xen::SEGBASE_GS_USER_SEL: arch::load_gs_user_selector(static_cast<uint16_t>(base)); return ok;
        default: return Err{Errc::inval};
    }
}

Status hypercall_vm_assist(Vcpu& v, uint64_t cmd, uint64_t type) {
    constexpr uint64_t known = (1u << xen::VMASST_TYPE_4gb_segments) | (1u << xen::VMASST_TYPE_4gb_segments_notify) |
                               (1u << xen::VMASST_TYPE_writable_pagetables) | (1u << xen::VMASST_TYPE_pae_extended_cr3) |
                               (1u << xen::VMASST_TYPE_architectural_iopl) | (1u << xen::VMASST_TYPE_runstate_update_flag) |
                               (uint64_t{1} << xen::VMASST_TYPE_m2p_strict);
    if (type >= 64 || !((known >> type) & 1)) return Err{Errc::inval};
    if (cmd == xen::VMASST_CMD_enable) v.domain.vm_assist |= uint64_t{1} << type;
    else if (cmd == xen::VMASST_CMD_disable) v.domain.vm_assist &= ~(uint64_t{1} << type);
    else return Err{Errc::nosys};
    return ok;
}

Answer hypercall_iret(Vcpu& v) {
    Regs& r = arch::guest_regs();
    pv_return(v, r);
    return r.rax;  // in the place of a result
}

}  // namespace hv
