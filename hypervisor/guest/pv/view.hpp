// SPDX-License-Identifier: Apache-2.0
/// What an isolated guest's CR3 names: page tables with the guest's half, the M2P map and its descriptor tables, and of the
/// hypervisor only what the CPU needs to enter it. No direct map, no other memory: a CPU that reads ahead of the permission
/// check (Meltdown) finds nothing to read.
///
/// Each CPU has two roots of its own, one for the guest's kernel and one for its user mode. They are copies of the guest's
/// L4 tables, and to be treated like a TLB: PvDomain::root_changes counts what is done to the domain's L4 tables, and a copy
/// is renewed on the way out when it is of another count or table. An L3 table that an L4 lets go of can still be named by
/// a copy until its CPU next enters the hypervisor and leaves; it cannot be used as anything else before, because the CPUs
/// of its owner are flushed then (mm/tlb.hpp), and a flush is such an entry.
#pragma once

#include <cstdint>

#include "hypervisor/arch/x86/guarded.hpp"
#include "hypervisor/guest/pv/pv.hpp"

namespace hv {

struct CpuView {
    struct Root {
        uint64_t* table = nullptr;
        uint64_t copy_of = 0;  ///< machine address of the guest's L4; 0: of none
        uint64_t changes = 0;  ///< PvDomain::root_changes before it was copied
    };
    Root roots[2];  ///< [0] user mode, [1] kernel mode
    // What the last root to leave with was made ready for: Cpu::loaded_cr3, 0 for nothing, and PvDomain::root_changes.
    uint64_t ready_for = 0;
    uint64_t ready_changes = 0;
};
extern CpuView cpu_views[max_cpus];

/// Makes CPU `cpu`'s view, with `pages` of the hypervisor in it, all in slot 261. Before the CPU runs a guest.
/// Errors: nomem.
Status view_create(unsigned cpu, const VisiblePages& pages);
/// The calling CPU turns to another vCPU: copies are of nothing any more.
void view_forget(unsigned cpu);
/// Copies the guest's L4 at `source` into `r`. An entry that names an L4 table (a linear page table) would lead to the
/// hypervisor's slots: one that names `source` itself names the copy instead, and others are left out.
void view_copy(CpuView::Root& r, uint64_t source, uint64_t changes);

/// Whether the root to leave with is still the one that pv_view_to_leave_with() gave last.
inline bool pv_view_is_ready(const Cpu& cpu) {
    const CpuView& view = cpu_views[cpu.id];
    // Pairs with pv_root_changed(): after our last flush, and before the guest runs on the copy.
    return view.ready_for == cpu.loaded_cr3 &&
           view.ready_changes == cpu.current->domain.pv->root_changes.load(std::memory_order_seq_cst);
}
/// The root to leave with, made ready, when the current vCPU's domain is isolated; else 0.
uint64_t pv_view_to_leave_with(const Vcpu& v);

/// The entry at `slot` of an L4 of `d` has been replaced: CPUs that run on a copy of that table make another.
void pv_root_changed(Domain& d, const uint64_t* slot) REQUIRES(d.pv->lock);

}  // namespace hv
