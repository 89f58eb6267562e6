// SPDX-License-Identifier: Apache-2.0
/// How a PV guest enters the hypervisor and how exceptions and events reach it.
#pragma once

#include <cstdint>

#include "hypervisor/guest/pv/pv.hpp"
#include "lib/base/bits.hpp"

namespace hv {

/// An exception raised while the guest ran: handled here, or handed to the guest.
void pv_trap(Vcpu& v, Regs& r);
/// SYSCALL in the guest's user mode: a system call for its kernel.
void pv_system_call(Vcpu& v, Regs& r);
/// HYPERVISOR_iret: the guest's kernel returns from a trap, event or system call, perhaps to its user mode. The frame is on its stack.
void pv_return(Vcpu& v, Regs& r);
/// SYSENTER, in its user mode: another system call. False when the kernel has no callback for it.
bool pv_sysenter(Vcpu& v, Regs& r);
/// IRETQ into the guest faulted: its failsafe callback decides, or it crashes.
void pv_iret_failed(Vcpu& v, Regs& r);
/// Enters the guest's handler for the NMI, else the events, that are pending.
void pv_deliver(Vcpu& v, Regs& r);
inline bool pv_delivery_due(const Vcpu& v) { return v.pv->nmi_pending || vcpu_upcall_due(v); }
/// Delivers what is pending (NMI, events) just before the guest runs.
inline void pv_before_entry(Vcpu& v, Regs& r) {
    if (pv_delivery_due(v)) [[unlikely]]
        pv_deliver(v, r);
}
/// Whether SYSRET restores `r` completely. What says that it came by SYSCALL has the selectors of that, too.
inline bool pv_can_sysret(const Regs& r) {
    constexpr uint64_t unsupported = eflags_rf | eflags_vm | eflags_tf;
    return r.vector == entry_syscall && base::canonical(r.rip) && (r.rflags & unsupported) == 0;
}

inline bool has_flat_selectors(const Regs& r) { return r.cs == xen::FLAT_RING3_CS64 && r.ss == xen::FLAT_RING3_SS64; }

/// Enters the guest's handler for exception `vector` with the current registers as the interrupted ones.
void pv_inject(Vcpu& v, Regs& r, uint8_t vector, uint32_t error_code);
/// The same for an instruction that asked for the handler: there is one, and it finds no error code.
void pv_inject_software(Vcpu& v, Regs& r, uint8_t vector);
/// The same for a page fault at `address`.
void pv_inject_page_fault(Vcpu& v, Regs& r, uint64_t address, uint32_t error_code);
/// Switches between the guest's kernel and user address space and GS base. Without page tables there it stays where it is,
/// and the domain crashes.
void pv_toggle_mode(Vcpu& v);

inline constexpr uint8_t trap_debug = 1, trap_breakpoint = 3, trap_overflow = 4, trap_invalid_opcode = 6, trap_no_device = 7,
                         trap_gp = 13, trap_page_fault = 14;
/// Whether the CPU pushes an error code for this exception.
constexpr bool has_error_code(uint8_t vector) {
    constexpr uint32_t with_one = 1u << 8 | 0x1fu << 10 | 1u << 17 | 1u << 21;
    return vector < 32 && (with_one >> vector & 1);
}
/// Its gate is open to ring 3: the fast way in for system calls of 32-bit programs.
inline constexpr uint8_t linux_vector = 0x80;

}  // namespace hv
