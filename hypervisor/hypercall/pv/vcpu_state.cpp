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
#include "hypervisor/mm/dirty.hpp"
#include "lib/base/bits.hpp"

namespace hv {

Result<uint64_t> hypercall_set_trap_table(Vcpu& v, const uint64_t (&args)[6]) {
    PvVcpu& pv = *v.pv;
    if (args[0] == 0) {
        for (xen::TrapInfo& t : pv.traps) t = {};
        return uint64_t{0};
    }
    const auto list = GuestPtr<xen::TrapInfo>::from_reg(args[0]);
    for (uint32_t i = 0; i < 257; ++i) {
        const xen::TrapInfo t = TRY(list.fetch(i));
        if (t.address == 0) break;
        if (!base::canonical(t.address)) return Err{Errc::inval};
        pv.traps[t.vector] = t;
    }
    return uint64_t{0};
}

Result<uint64_t> hypercall_set_gdt(Vcpu& v, const uint64_t (&args)[6]) {
    const auto entries = static_cast<uint32_t>(args[1]);
    if (entries > xen::FIRST_RESERVED_GDT_ENTRY) return Err{Errc::inval};
    Mfn frames[gdt_guest_pages];
    const auto list = GuestPtr<uint64_t>::from_reg(args[0]);
    for (uint32_t i = 0; i < (entries + 511) / 512; ++i) frames[i] = Mfn(TRY(list.fetch(i)));
    TRY(pv_set_gdt(v, frames, entries));
    return uint64_t{0};
}

Result<uint64_t> hypercall_update_descriptor(Vcpu& v, const uint64_t (&args)[6]) {
    TRY(pv_update_descriptor(v.domain, args[0], args[1]));
    return uint64_t{0};
}

Result<uint64_t> hypercall_stack_switch(Vcpu& v, const uint64_t (&args)[6]) {
    v.pv->kernel_ss = args[0] | 3;
    v.pv->kernel_sp = args[1];
    return uint64_t{0};
}

Result<uint64_t> hypercall_set_callbacks(Vcpu& v, const uint64_t (&args)[6]) {
    for (unsigned i = 0; i < 3; ++i)
        if (!base::canonical(args[i])) return Err{Errc::inval};
    v.pv->event = {args[0], true};
    v.pv->failsafe = {args[1], v.pv->failsafe.masks_events};
    v.pv->syscall = {args[2], v.pv->syscall.masks_events};
    return uint64_t{0};
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

}  // namespace

Result<uint64_t> hypercall_callback_op(Vcpu& v, const uint64_t (&args)[6]) {
    if (args[0] == xen::CALLBACKOP_unregister) {
        const auto c = TRY(GuestPtr<xen::CallbackUnregister>::from_reg(args[1]).fetch());
        PvCallback* slot = callback_slot(*v.pv, c.type);
        if (!slot) return Err{Errc::nosys};
        // Without these the guest cannot run at all.
        if (slot == &v.pv->event || slot == &v.pv->failsafe || slot == &v.pv->syscall) return Err{Errc::inval};
        *slot = {};
        return uint64_t{0};
    }
    if (args[0] != xen::CALLBACKOP_register) return Err{Errc::nosys};
    const auto c = TRY(GuestPtr<xen::CallbackRegister>::from_reg(args[1]).fetch());
    PvCallback* slot = callback_slot(*v.pv, c.type);
    if (!slot) return Err{Errc::nosys};
    if (!base::canonical(c.address)) return Err{Errc::inval};
    *slot = {c.address, (c.flags & xen::CALLBACKF_mask_events) != 0};
    return uint64_t{0};
}

Result<uint64_t> hypercall_nmi_op(Vcpu& v, const uint64_t (&args)[6]) {
    switch (args[0]) {
        case xen::XENNMI_register_callback: {
            const auto c = TRY(GuestPtr<xen::NmiCallback>::from_reg(args[1]).fetch());
            if (v.id.raw != 0 || !base::canonical(c.handler_address)) return Err{Errc::inval};
            v.pv->nmi = {c.handler_address, true};
            return uint64_t{0};
        }
        case xen::XENNMI_unregister_callback: v.pv->nmi = {}; return uint64_t{0};
        default: return Err{Errc::nosys};
    }
}

Result<uint64_t> hypercall_fpu_taskswitch(Vcpu& v, const uint64_t (&args)[6]) {
    v.pv->cr0_ts = args[0] ? hw::cr0_ts : 0;
    hw::set_ts(args[0] != 0);
    return uint64_t{0};
}

Result<uint64_t> hypercall_set_debugreg(Vcpu& v, const uint64_t (&args)[6]) {
    TRY(pv_write_debug_reg(v, static_cast<uint32_t>(args[0]), args[1]));
    return uint64_t{0};
}

Result<uint64_t> hypercall_get_debugreg(Vcpu& v, const uint64_t (&args)[6]) {
    return TRY(pv_read_debug_reg(v, static_cast<uint32_t>(args[0])));
}

Result<uint64_t> hypercall_set_segment_base(Vcpu& v, const uint64_t (&args)[6]) {
    const uint64_t base = args[1];
    switch (args[0]) {
        case xen::SEGBASE_FS: TRY(pv_set_fs_base(v, base)); return uint64_t{0};
        case xen::SEGBASE_GS_USER: TRY(pv_set_gs_base_user(v, base)); return uint64_t{0};
        case xen::SEGBASE_GS_KERNEL: TRY(pv_set_gs_base_kernel(v, base)); return uint64_t{0};
        case xen::SEGBASE_GS_USER_SEL: arch::load_gs_user_selector(static_cast<uint16_t>(base)); return uint64_t{0};
        default: return Err{Errc::inval};
    }
}

Result<uint64_t> hypercall_vm_assist(Vcpu& v, const uint64_t (&args)[6]) {
    constexpr uint64_t known = (1u << xen::VMASST_TYPE_4gb_segments) | (1u << xen::VMASST_TYPE_4gb_segments_notify) |
                               (1u << xen::VMASST_TYPE_writable_pagetables) | (1u << xen::VMASST_TYPE_pae_extended_cr3) |
                               (1u << xen::VMASST_TYPE_architectural_iopl) | (1u << xen::VMASST_TYPE_runstate_update_flag) |
                               (uint64_t{1} << xen::VMASST_TYPE_m2p_strict);
    const uint64_t type = args[1];
    if (type >= 64 || !((known >> type) & 1)) return Err{Errc::inval};
    if (args[0] == xen::VMASST_CMD_enable) v.domain.vm_assist |= uint64_t{1} << type;
    else if (args[0] == xen::VMASST_CMD_disable) v.domain.vm_assist &= ~(uint64_t{1} << type);
    else return Err{Errc::nosys};
    return uint64_t{0};
}

/// The guest's kernel returns from a trap, event or system call, perhaps to its user mode.
Result<uint64_t> hypercall_iret(Vcpu& v, const uint64_t (&)[6]) {
    Regs& r = arch::guest_regs();
    const auto frame = GuestPtr<xen::IretContext>(r.rsp).fetch();
    if (!frame) {
        domain_crash(v.domain, "IRET frame is not readable");
        return uint64_t{0};
    }
    const xen::IretContext& f = frame.value();
    constexpr uint64_t never = eflags_iopl | eflags_vm | eflags_nt | eflags_vif | eflags_vip;
    if ((f.cs & 3) == 3) {
        if (v.pv->user_root.raw == 0) {
            domain_crash(v.domain, "IRET to user mode without user page tables");
            return uint64_t{0};
        }
        pv_toggle_mode(v);
    }
    r.rip = f.rip;
    r.cs = (f.cs & 0xffff) | 3;
    r.rflags = (f.rflags & 0x3f7fd7 & ~never) | eflags_if | 2;
    r.rsp = f.rsp;
    r.ss = (f.ss & 0xffff) | 3;
    r.vector = 0;
    if (f.flags & xen::VGCF_in_syscall) {
        r.vector = entry_syscall;
    } else {
        r.r11 = f.r11;
        r.rcx = f.rcx;
    }
    xen::VcpuInfo* info = v.info.load(std::memory_order_relaxed);
    __atomic_store_n(&info->evtchn_upcall_mask, static_cast<uint8_t>((f.rflags & eflags_if) == 0), __ATOMIC_RELAXED);
    dirtied(info);
    if (pv_architectural_iopl(v.domain)) v.pv->iopl = static_cast<uint8_t>((f.rflags & eflags_iopl) >> eflags_iopl_shift);
    return f.rax;  // in the place of a result
}

}  // namespace hv
