// SPDX-License-Identifier: Apache-2.0
/// Entering a handler of the guest's kernel: the frame it finds on its stack, and the mode it runs in.
#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/guest/pv/kind.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/traps.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {
namespace {

constexpr uint64_t clear_on_entry = eflags_ac | eflags_vm | eflags_rf | eflags_nt | eflags_tf;

struct Target {
    uint64_t address;
    bool masks_events;
    bool has_error_code;
    uint32_t error_code;
};

/// The guest's virtual interrupt flag in the place of the real one, and its virtual IOPL when it keeps that there.
uint64_t guest_rflags(const Vcpu& v, const Regs& r, bool masked) {
    uint64_t f = r.rflags & ~(eflags_if | eflags_iopl);
    if (!masked) f |= eflags_if;
    if (pv_architectural_iopl(v.domain)) f |= uint64_t{v.pv->iopl} << eflags_iopl_shift;
    return f;
}

/// Builds the frame of the PV ABI: rcx, r11, [error code,] rip, cs with the saved event mask, rflags, rsp, ss.
void enter_handler(Vcpu& v, Regs& r, const Target& t) {
    PvVcpu& pv = *v.pv;
    xen::VcpuInfo* info = v.info.load(std::memory_order_relaxed);
    const bool from_kernel = pv.in_kernel;
    if (!from_kernel) pv_toggle_mode(v);
    const bool masked = __atomic_load_n(&info->evtchn_upcall_mask, __ATOMIC_RELAXED) != 0;

    uint64_t frame[8];
    size_t n = 0;
    frame[n++] = r.rcx;
    frame[n++] = r.r11;
    if (t.has_error_code) frame[n++] = t.error_code;
    frame[n++] = r.rip;
    // RPL 0 tells the guest that its kernel was interrupted.
    frame[n++] = (from_kernel ? r.cs & ~uint64_t{3} : r.cs) | (uint64_t{masked} << 32);
    frame[n++] = guest_rflags(v, r, masked);
    frame[n++] = r.rsp;
    frame[n++] = r.ss;

    const uint64_t top = (from_kernel ? r.rsp : pv.kernel_sp) & ~uint64_t{15};
    const uint64_t sp = top - n * 8;
    if (t.address == 0 || !arch::copy_to_guest(sp, frame, n * 8)) {
        domain_crash(v.domain, t.address == 0 ? "no handler is registered for a trap" : "kernel stack is not writable");
        return;
    }
    if (t.masks_events) {
        __atomic_store_n(&info->evtchn_upcall_mask, uint8_t{1}, __ATOMIC_RELAXED);
        dirtied(info);
    }
    r.rsp = sp;
    r.ss = xen::FLAT_KERNEL_SS;
    r.cs = xen::FLAT_KERNEL_CS;
    r.rip = t.address;
    r.rflags &= ~clear_on_entry;
    r.vector = 0;
}

bool has_error_code(uint8_t vector) {
    constexpr uint32_t with_one = 1u << 8 | 0x1fu << 10 | 1u << 17 | 1u << 21;
    return vector < 32 && (with_one >> vector & 1);
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
    const Mfn root = pv.in_kernel ? pv.user_root : pv.kernel_root;
    if (root.raw == 0) [[unlikely]] {
        domain_crash(v.domain, "no page tables for the mode that a vCPU enters");
        return;
    }
    pv.in_kernel = !pv.in_kernel;
    arch::swap_gs();
    arch::load_root(root.address());
    if (pv.in_kernel && v.runstate_stale) pv_write_runstate(v);
}

void pv_inject(Vcpu& v, Regs& r, uint8_t vector, uint32_t error_code) {
    const xen::TrapInfo& t = v.pv->traps[vector];
    if (t.address == 0)
        guest_log(LogLevel::warning, "d%uv%u: unhandled trap %u, code %x, rip %016lx, rsp %016lx", v.domain.id.raw, v.id.raw,
                  vector, error_code, r.rip, r.rsp);
    enter_handler(v, r, {t.address, xen::TI_GET_IF(t), has_error_code(vector), error_code});
}

void pv_inject_software(Vcpu& v, Regs& r, uint8_t vector) {
    const xen::TrapInfo& t = v.pv->traps[vector];
    enter_handler(v, r, {t.address, xen::TI_GET_IF(t), false, 0});
}

void pv_inject_page_fault(Vcpu& v, Regs& r, uint64_t address, uint32_t error_code) {
    constexpr uint32_t user = 4;
    v.pv->cr2 = address;
    xen::VcpuInfo* info = v.info.load(std::memory_order_relaxed);
    __atomic_store_n(&info->arch.cr2, address, __ATOMIC_RELAXED);
    dirtied(info);
    // The guest's kernel runs in ring 3 without knowing it.
    if (v.pv->in_kernel) error_code &= ~user;
    pv_inject(v, r, trap_page_fault, error_code);
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
        dirtied(info);
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
        enter_handler(v, r, {pv.nmi.address, true, false, 0});
        return;
    }
    if (vcpu_upcall_due(v)) enter_handler(v, r, {pv.event.address, true, false, 0});
}

void pv_system_call(Vcpu& v, Regs& r) {
    const PvCallback& c = v.pv->syscall;
    if (c.address == 0) [[unlikely]] {
        refuse_system_call(v, r);
        return;
    }
    enter_handler(v, r, {c.address, c.masks_events, false, 0});
    // Nothing of the user's rcx and r11 is kept by SYSCALL, so SYSRET may go to the handler.
    r.vector = entry_syscall;
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
    enter_handler(v, r, {c.address, c.masks_events, false, 0});
    return true;
}

void pv_compat_syscall(Vcpu& v, Regs& r) {
    const PvCallback& c = v.pv->syscall32;
    if (v.pv->in_kernel || c.address == 0) {
        refuse_system_call(v, r);
        return;
    }
    enter_handler(v, r, {c.address, c.masks_events, false, 0});
}

}  // namespace hv
