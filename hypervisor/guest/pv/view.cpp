// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/view.hpp"

#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

CpuView cpu_views[max_cpus];

namespace {

constexpr uint64_t table_flags = pte::present | pte::rw | pte::accessed | pte::dirty;
constexpr unsigned entries = 512;

Result<uint64_t*> new_table() { return static_cast<uint64_t*>(TRY(heap::alloc_page_zeroed())); }

Result<uint64_t*> table_below(uint64_t* table, uint64_t va, unsigned shift) {
    uint64_t& slot = table[(va >> shift) & (entries - 1)];
    if (!(slot & pte::present)) slot = mfn_of(TRY(new_table())).address() | table_flags;
    return map_mfn<uint64_t>(Mfn::of_address(slot & pte::frame_mask));
}

/// What the view has in place of the guest's entry `e`.
uint64_t entry_in_view(uint64_t e, uint64_t source, const CpuView::Root& r) {
    if (!(e & pte::present)) return e;
    const Mfn m = Mfn::of_address(e & pte::frame_mask);
    if (type_of(page_of(m).type.load(std::memory_order_relaxed)) != PageType::l4) return e;
    return m.address() == source ? (e & ~pte::frame_mask) | mfn_of(r.table).address() : 0;
}

}  // namespace

Status view_create(unsigned cpu, const VisiblePages& pages) {
    CpuView& view = cpu_views[cpu];
    uint64_t* image_l3 = TRY(new_table());
    for (const VisiblePage& p : pages) {
        uint64_t* l2 = TRY(table_below(image_l3, p.va, 30));
        uint64_t* l1 = TRY(table_below(l2, p.va, 21));
        l1[(p.va >> page_shift) & (entries - 1)] = p.entry;
    }
    for (CpuView::Root& r : view.roots) {
        r = {};
        r.table = TRY(new_table());
        r.table[l4_slot_image] = mfn_of(image_l3).address() | table_flags;
    }
    return ok;
}

void view_forget(unsigned cpu) {
    for (CpuView::Root& r : cpu_views[cpu].roots) r.copy_of = 0;
    cpu_views[cpu].ready_for = 0;
}

void view_copy(CpuView::Root& r, uint64_t source, uint64_t changes) {
    const uint64_t* from = map_mfn<uint64_t>(Mfn::of_address(source));
    for (unsigned i = 0; i < entries; ++i) {
        if (is_hypervisor_slot(i)) continue;
        const uint64_t e = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
        r.table[i] = e ? entry_in_view(e, source, r) : 0;
    }
    // Of the hypervisor's slots the guest sees the M2P map, and the CPU needs the descriptor tables.
    r.table[l4_slot_m2p] = from[l4_slot_m2p];
    r.table[l4_slot_perdomain] = from[l4_slot_perdomain];
    r.copy_of = source;
    r.changes = changes;
}

uint64_t pv_view_to_leave_with(const Vcpu& v) {
    const Cpu& cpu = this_cpu();
    PvDomain& d = *v.domain.pv;
    CpuView& view = cpu_views[cpu.id];
    // Pairs with pv_root_changed(): after our last flush, and before the entries are read.
    const uint64_t changes = d.root_changes.load(std::memory_order_seq_cst);
    view.ready_for = cpu.loaded_cr3;
    view.ready_changes = changes;
    if (!d.isolated) return 0;
    CpuView::Root& r = view.roots[v.pv->in_kernel];
    if (r.copy_of != cpu.loaded_cr3 || r.changes != changes) [[unlikely]]
        view_copy(r, cpu.loaded_cr3, changes);
    return mfn_of(r.table).address();
}

void pv_root_changed(Domain& d, const uint64_t* slot) {
    if (!d.pv->isolated) return;
    // Before the CPUs are looked at: one that loads the root now either is seen here, or sees the new count.
    d.pv->root_changes.fetch_add(1, std::memory_order_seq_cst);
    const uint64_t root = mfn_of(slot).address();
    const CpuSet on_copies = d.dirty_cpus.load().where(
        [&](unsigned c) { return c != this_cpu().id && __atomic_load_n(&cpus[c].loaded_cr3, __ATOMIC_SEQ_CST) == root; });
    if (!on_copies.empty()) arch::flush_tlb(on_copies);
}

}  // namespace hv
