// SPDX-License-Identifier: Apache-2.0
/// CPU state that belongs to the running guest and that guest/ changes. On the host: nothing happens.
#pragma once

#include <cstdint>

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/hw.hpp"

namespace hv {

struct Vcpu;

/// Registers that every kind of guest has beside those of Regs: a switch saves and loads them.
struct GuestState {
    uint8_t* fpu = nullptr;  ///< XSAVE area of cpu_features.xsave_size bytes, aligned to 64
    uint64_t xcr0 = 1;
    uint64_t debug[8] = {0, 0, 0, 0, 0, 0, 0xffff0ff0, 0x400};  ///< DR0-3, DR6, DR7; at first as after a reset
    uint64_t tsc_aux = 0;
    uint32_t spec_ctrl = 0;  ///< MSR SPEC_CTRL while the guest runs
};

namespace arch {
#ifdef HV_HOST
void load_root(uint64_t cr3);
void load_other_root(uint64_t cr3);
inline void swap_gs() {}
inline void load_guest_cr4(const Vcpu&) {}
inline void load_guest_ldt(const Vcpu&) {}
inline void load_guest_xcr0(const Vcpu&) {}
inline void load_guest_spec_ctrl(const Vcpu&) {}
inline void load_guest_debug(const Vcpu&) {}
inline void load_gs_user_selector(uint16_t) {}
inline uint64_t read_fs_base() { return 0; }
inline uint64_t read_gs_base(bool) { return 0; }
inline void write_fs_base(uint64_t) {}
inline void write_gs_base(bool, uint64_t) {}
inline uint16_t read_segment(unsigned) { return 0; }
#else
/// Loads CR3 with the machine address of a root of the current PV guest's, which also flushes the TLB.
void load_root(uint64_t cr3);
/// The same from one root of the current guest's to its other one, as it goes to its user mode and comes from there.
[[gnu::always_inline]] inline void load_other_root(uint64_t cr3) {
    CpuStackTop& top = stack_top();
    Cpu& cpu = *top.cpu;
    // Not idle before and not after: nobody skips this CPU. MOV to CR3 waits until the store can be seen.
    __atomic_store_n(&cpu.loaded_cr3, cr3, __ATOMIC_RELAXED);
    const uint32_t time = tlb_flush_begins_in_passing();
    if (top.hypervisor_cr3) [[unlikely]]
        top.hypervisor_cr3 = cr3;
    hw::write_cr3(cr3);
    tlb_flush_ended(cpu, time);
}
/// Exchanges the guest's kernel and user GS bases.
inline void swap_gs() { asm volatile("swapgs"); }
void load_guest_cr4(const Vcpu& v);
void load_guest_ldt(const Vcpu& v);
void load_guest_xcr0(const Vcpu& v);
/// SPEC_CTRL for when the guest runs next.
void load_guest_spec_ctrl(const Vcpu& v);
void load_guest_debug(const Vcpu& v);
/// Loads GS for the guest's user mode while its kernel runs.
void load_gs_user_selector(uint16_t selector);
uint64_t read_fs_base();
/// GS base of the mode the guest is not in (`other`), or is in.
uint64_t read_gs_base(bool other);
void write_fs_base(uint64_t v);
void write_gs_base(bool other, uint64_t v);
/// 0 ds, 1 es, 2 fs, 3 gs
uint16_t read_segment(unsigned which);
#endif
/// The vCPU's address space for the mode it is in; all CPU state follows. Current vCPU only.
}  // namespace arch
}  // namespace hv
