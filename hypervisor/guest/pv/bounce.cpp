// SPDX-License-Identifier: Apache-2.0
/// Entering a handler of the guest's kernel: the frame it finds on its stack, and the mode it runs in.
#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/guest_access.hpp"
#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/guest/pv/kind.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/trace_points.hpp"
#include "hypervisor/guest/pv/traps.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {
namespace {

constexpr uint64_t clear_on_entry = eflags_ac | eflags_vm | eflags_rf | eflags_nt | eflags_tf;

/// The guest's virtual interrupt flag in the place of the real one, and its virtual IOPL when it keeps that there.
uint64_t guest_rflags(const Vcpu& v, const Regs& r, bool masked) {
    uint64_t f = r.rflags & ~(eflags_if | eflags_iopl);
    if (!masked) f |= eflags_if;
    if (pv_architectural_iopl(v.domain)) f |= uint64_t{v.pv->iopl} << eflags_iopl_shift;
    return f;
}

/// The guest's kernel and its user program take turns. The mode that comes has page tables.
[[gnu::always_inline]] inline void turn(Vcpu& v, PvVcpu& pv, bool to_kernel, Mfn cr3) {
    pv.in_kernel = to_kernel;
    arch::swap_gs();
    arch::load_other_root(cr3.address());
    if (to_kernel && v.runstate_stale) [[unlikely]]
        pv_write_runstate(v);
}

/// What entering a handler asks for.
struct Target {
    uint64_t address;
    bool masks_events;
};

[[gnu::noinline]] void refuse_to_enter(Vcpu& v, const char* why) { domain_crash(v.domain, why); }

/// Builds the frame of the PV ABI: rcx, r11, [error code,] rip, cs with the saved event mask, rflags, rsp, ss.
template <class... ErrorCode>
[[gnu::always_inline]] inline void enter_handler(Vcpu& v, Regs& r, Target t, ErrorCode... error_code) {
    PvVcpu& pv = *v.pv;
    xen::VcpuInfo* info = v.info.load(std::memory_order_relaxed);
    uint64_t top = r.rsp;
    uint64_t cs = r.cs;
    if (pv.in_kernel) {
        // RPL 0 tells the guest that its kernel was interrupted.
        cs &= ~uint64_t{3};
    } else {
        top = pv.kernel_sp;
        if (pv.kernel_cr3.raw == 0) [[unlikely]]
            return refuse_to_enter(v, "no page tables for its kernel");
        turn(v, pv, true, pv.kernel_cr3);
    }
    const bool masked = __atomic_load_n(&info->evtchn_upcall_mask, __ATOMIC_RELAXED) != 0;
    if (t.address == 0) [[unlikely]]
        return refuse_to_enter(v, "no handler is registered for a trap");
    const uint64_t sp = (top & ~uint64_t{15}) - (7 + sizeof...(error_code)) * 8;
    if (!arch::store_frame(sp, r.rcx, r.r11, error_code..., r.rip, cs | (uint64_t{masked} << 32), guest_rflags(v, r, masked),
                           r.rsp, r.ss)) [[unlikely]]
        return refuse_to_enter(v, "kernel stack is not writable");
    if (t.masks_events) {
        __atomic_store_n(&info->evtchn_upcall_mask, uint8_t{1}, __ATOMIC_RELAXED);
        dirtied_shared(info);
    }
    r.rsp = sp;
    r.ss = xen::FLAT_KERNEL_SS;
    r.cs = xen::FLAT_KERNEL_CS;
    r.rip = t.address;
    r.rflags &= ~clear_on_entry;
    // The handler finds rcx and r11 in its frame, so SYSRET may go to it.
    r.vector = entry_syscall;
}

/// For those that are not asked for all day.
[[gnu::noinline]] void enter_plain_handler(Vcpu& v, Regs& r, uint64_t address, bool masks_events) {
    enter_handler(v, r, {address, masks_events});
}

/// SYSCALL is undefined where its kernel wants none, as with EFER.SCE clear. The flags and the return address it put
/// into r11 and rcx stay there.
void refuse_system_call(Vcpu& v, Regs& r) {
    constexpr uint64_t syscall_length = 2;
    r.rip -= syscall_length;
    pv_inject(v, r, trap_invalid_opcode, 0);
}

}  // namespace

void pv_toggle_mode(Vcpu& v) {
    PvVcpu& pv = *v.pv;
    const Mfn root = pv.in_kernel ? pv.user_cr3 : pv.kernel_cr3;
    if (root.raw == 0) [[unlikely]] {
        domain_crash(v.domain, "no page tables for the mode that a vCPU enters");
        return;
    }
    turn(v, pv, !pv.in_kernel, root);
}

namespace {

[[gnu::always_inline]] inline void inject(Vcpu& v, Regs& r, uint8_t vector, uint32_t error_code) {
    const TrapHandlers& t = v.pv->traps;
    const Target handler{t.address[vector], t.masks_events(vector)};
    if (handler.address == 0)
        guest_log(LogLevel::warning, "d%uv%u: unhandled trap %u, code %x, rip %016lx, rsp %016lx", v.domain.id.raw, v.id.raw,
                  vector, error_code, r.rip, r.rsp);
    if (has_error_code(vector)) enter_handler(v, r, handler, uint64_t{error_code});
    else enter_handler(v, r, handler);
}

}  // namespace

void pv_inject(Vcpu& v, Regs& r, uint8_t vector, uint32_t error_code) {
    pv_trace_trap(r, vector, error_code);
    inject(v, r, vector, error_code);
}

void pv_inject_software(Vcpu& v, Regs& r, uint8_t vector) {
    pv_trace_software_interrupt(r, vector);
    const TrapHandlers& t = v.pv->traps;
    enter_handler(v, r, {t.address[vector], t.masks_events(vector)});
}

void pv_inject_page_fault(Vcpu& v, Regs& r, uint64_t address, uint32_t error_code) {
    constexpr uint32_t user = 4;
    v.pv->cr2 = address;
    xen::VcpuInfo* info = v.info.load(std::memory_order_relaxed);
    __atomic_store_n(&info->arch.cr2, address, __ATOMIC_RELAXED);
    dirtied_shared(info);
    // The guest's kernel runs in ring 3 without knowing it.
    if (v.pv->in_kernel) error_code &= ~user;
    pv_trace_page_fault(r, address, error_code);
    inject(v, r, trap_page_fault, error_code);
}

void pv_iret_failed(Vcpu& v, Regs& r) {
    const PvCallback& c = v.pv->failsafe;
    guest_log(LogLevel::warning, "d%uv%u: return to cs:rip %04lx:%016lx ss:rsp %04lx:%016lx is not possible", v.domain.id.raw,
              v.id.raw, r.cs, r.rip, r.ss, r.rsp);
    if (c.address == 0) {
        domain_crash(v.domain, "returned to impossible registers and has no failsafe callback");
        return;
    }
    // The failsafe frame carries the four data segment registers in front of rip: ds, es, fs, gs.
    if (!v.pv->in_kernel) pv_toggle_mode(v);
    xen::VcpuInfo* info = v.info.load(std::memory_order_relaxed);
    const bool masked = __atomic_load_n(&info->evtchn_upcall_mask, __ATOMIC_RELAXED) != 0;
    const uint64_t frame[] = {r.rcx,
                              r.r11,
                              arch::read_segment(0),
                              arch::read_segment(1),
                              arch::read_segment(2),
                              arch::read_segment(3),
                              r.rip,
                              r.cs | (uint64_t{masked} << 32),
                              guest_rflags(v, r, masked),
                              r.rsp,
                              r.ss};
    const uint64_t sp = (v.pv->kernel_sp & ~uint64_t{15}) - sizeof frame;
    if (!arch::copy_to_guest(sp, frame, sizeof frame)) {
        domain_crash(v.domain, "kernel stack is not writable for the failsafe callback");
        return;
    }
    if (c.masks_events) {
        __atomic_store_n(&info->evtchn_upcall_mask, uint8_t{1}, __ATOMIC_RELAXED);
        dirtied_shared(info);
    }
    r.rsp = sp;
    r.ss = xen::FLAT_KERNEL_SS;
    r.cs = xen::FLAT_KERNEL_CS;
    r.rip = c.address;
    r.rflags = (r.rflags & ~clear_on_entry) | eflags_if;
    r.vector = 0;
}

void pv_deliver(Vcpu& v, Regs& r) {
    PvVcpu& pv = *v.pv;
    if (pv.nmi_pending && pv.nmi.address != 0) {
        pv.nmi_pending = false;
        enter_plain_handler(v, r, pv.nmi.address, true);
        return;
    }
    if (vcpu_upcall_due(v)) enter_plain_handler(v, r, pv.event.address, true);
}

void pv_system_call(Vcpu& v, Regs& r) {
    const PvCallback& c = v.pv->syscall;
    if (c.address == 0) [[unlikely]] {
        refuse_system_call(v, r);
        return;
    }
    enter_handler(v, r, {c.address, c.masks_events});
}

void pv_return(Vcpu& v, Regs& r) {
    PvVcpu& pv = *v.pv;
    xen::IretContext f;
    if (!arch::load_frame(r.rsp, f.rax, f.r11, f.rcx, f.flags, f.rip, f.cs, f.rflags, f.rsp, f.ss)) [[unlikely]]
        return refuse_to_enter(v, "IRET frame is not readable");
    if ((f.cs & 3) == 3) {
        if (pv.user_cr3.raw == 0) [[unlikely]]
            return refuse_to_enter(v, "IRET to user mode without user page tables");
        turn(v, pv, false, pv.user_cr3);
    }
    constexpr uint64_t never = eflags_iopl | eflags_vm | eflags_nt | eflags_vif | eflags_vip;
    r.rax = f.rax;
    r.rip = f.rip;
    r.cs = (f.cs & 0xffff) | 3;
    r.rflags = (f.rflags & 0x3f7fd7 & ~never) | eflags_if | 2;
    r.rsp = f.rsp;
    r.ss = (f.ss & 0xffff) | 3;
    // A kernel that returns from a system call need not say so: where SYSRET would leave the registers as they are to be, it will.
    const bool as_sysret = (f.flags & xen::VGCF_in_syscall) || (f.rcx == f.rip && f.r11 == r.rflags);
    r.vector = as_sysret && has_flat_selectors(r) ? entry_syscall : 0;
    if (!(f.flags & xen::VGCF_in_syscall)) {
        r.r11 = f.r11;
        r.rcx = f.rcx;
    }
    xen::VcpuInfo* info = v.info.load(std::memory_order_relaxed);
    __atomic_store_n(&info->evtchn_upcall_mask, static_cast<uint8_t>((f.rflags & eflags_if) == 0), __ATOMIC_RELAXED);
    dirtied_shared(info);
    if (pv_architectural_iopl(v.domain)) pv.iopl = static_cast<uint8_t>((f.rflags & eflags_iopl) >> eflags_iopl_shift);
}

bool pv_sysenter(Vcpu& v, Regs& r) {
    const PvCallback& c = v.pv->sysenter;
    if (v.pv->in_kernel || c.address == 0) return false;
    // The instruction keeps neither stack nor return address: its caller and the kernel know where they are.
    constexpr uint64_t no_selector_of_ring_3 = 3;
    r.rip = 0;
    r.cs = no_selector_of_ring_3;
    r.rsp = 0;
    r.ss = xen::FLAT_USER_SS;
    enter_plain_handler(v, r, c.address, c.masks_events);
    return true;
}

void pv_compat_syscall(Vcpu& v, Regs& r) {
    const PvCallback& c = v.pv->syscall32;
    if (v.pv->in_kernel || c.address == 0) {
        refuse_system_call(v, r);
        return;
    }
    enter_plain_handler(v, r, c.address, c.masks_events);
}

}  // namespace hv
