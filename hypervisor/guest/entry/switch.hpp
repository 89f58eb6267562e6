// SPDX-License-Identifier: Apache-2.0
/// What kinds of guests share when a CPU turns from one vCPU to another.
#pragma once

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/guarded.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "lib/base/result.hpp"

namespace hv {

/// Makes CPU `cpu` ready for guests of all kinds, before it runs one. Errors: nomem.
base::Status prepare_for_guests(unsigned cpu);

/// Loads page tables; `has_view`: they are a guest's over which a view of it lies (guest/pv/view.hpp).
inline void set_root(Cpu& cpu, uint64_t cr3, auto has_view) {
    // Others skip idle CPUs when they flush: say "guest" before its translations can exist, "idle" after they are gone.
    const uint64_t idle = idle_cr3();
    if (cr3 != idle) __atomic_store_n(&cpu.loaded_cr3, cr3, __ATOMIC_SEQ_CST);
    const uint32_t time = tlb_flush_begins();
    // What the entry stubs load before they go on when a view lies over these tables. Nothing when no view is loaded: an NMI
    // in the idle loop must not load what the last guest left behind.
    if (entries_guarded) [[unlikely]]
        stack_top().hypervisor_cr3 = has_view() ? cr3 : 0;
    hw::write_cr3(cr3);
    tlb_flush_ended(cpu, time);
    if (cr3 == idle) __atomic_store_n(&cpu.loaded_cr3, cr3, __ATOMIC_SEQ_CST);
}

/// The hypervisor's own tables and descriptors: no guest can run.
void enter_idle(Cpu& cpu);

/// Takes v.state off this CPU. CR0.TS is clear.
void save_guest_state(Vcpu& v);
/// Loads it. Clears CR0.TS.
void load_guest_state(Vcpu& v);
/// What one domain has taught the branch predictors is forgotten before another runs here, however long ago that was. True
/// when it is another one that ran here last.
bool separate_domains(const Cpu& cpu, const Vcpu& v);

}  // namespace hv
