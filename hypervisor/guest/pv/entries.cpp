// SPDX-License-Identifier: Apache-2.0
/// What one page-table entry may say, and the references it holds.
#include "abi/xen/arch_x86.hpp"
#include "abi/xen/basic.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/pv/guest_memory.hpp"
#include "hypervisor/guest/pv/present.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {
namespace {

Mfn frame_in(uint64_t e) { return Mfn::of_address(e & pte::frame_mask); }

/// RAM belongs to someone; everything else is a device's, or nothing.
bool is_ram(Mfn m) { return mfn_valid(m) && page_of(m).owner.load(std::memory_order_relaxed) != xen::DOMID_IO; }

Status io_entry(Domain& l1_owner, Mfn m) {
    if (!l1_owner.iomem.contains(m.raw, m.raw)) return Err{Errc::perm};
    return ok;
}

/// Of an entry that is present.
[[gnu::always_inline]] inline void entry_put(uint64_t e) {
    const Mfn m = frame_in(e);
    if (!is_ram(m)) return;
    PageInfo& p = page_of(m);
    if (e & pte::rw) put_writable_type(p);
    put_page(p);
}

}  // namespace

uint64_t l1_cache_bits(uint64_t e) { return is_ram(frame_in(e)) ? e & ~l1_cache_type : e; }

/// A page of the owner's, nearly always. Else the control domain may map pages the hypervisor offers (trace buffers, M2P) read-only,
/// and devices' frames take no references.
Result<L1Rare> l1_entry_get_rarely(Domain& l1_owner, uint64_t e) {
    const Mfn m = frame_in(e);
    e = l1_entry_bits(l1_owner, e);
    if (!is_ram(m)) {
        TRY(io_entry(l1_owner, m));
        return L1Rare{nullptr, e};
    }
    if (!l1_owner.privileged || !get_page(page_of(m), DomId(xen::DOMID_XEN))) return Err{Errc::perm};
    return L1Rare{&page_of(m), e};
}

void l1_entry_put_present(uint64_t e) { entry_put(e); }

Status l1_table_get(Domain& d, uint64_t* table, unsigned& taken) {
    for (taken = next_present(table, 0); taken < base::radix::entries; taken = next_present(table, taken + 1)) {
        uint64_t e = table[taken];
        TRY(l1_entry_get(d, d, e));
        if (e == table[taken]) continue;
        table[taken] = e;
        dirtied(table + taken);
    }
    return ok;
}

void l1_table_put(const uint64_t* table, unsigned taken) {
    for (unsigned end = last_present(table, taken); end > 0; end = last_present(table, end - 1)) entry_put(table[end - 1]);
}

namespace {

/// `p`, of which the caller has an existence reference, is wanted by a linear entry of `table`. Lock held.
Status get_linear(PageInfo& table, PageInfo& p, PageType level) {
    const uint64_t above = table.type.load(std::memory_order_acquire);
    const uint64_t x = p.type.load(std::memory_order_acquire);
    if (type_of(x) != level || !(x & page::validated) || (x & page::users_mask) == page::users_mask) return Err{Errc::inval};
    if ((above & page::linear_uses_mask) || (x & page::linear_entries_mask)) return Err{Errc::inval};
    if ((x & page::linear_uses_mask) == page::linear_uses_mask) return Err{Errc::inval};
    // Nobody changes the words of tables in use without the lock.
    p.type.fetch_add((uint64_t{1} << page::linear_uses_shift) + 1, std::memory_order_acq_rel);
    table.type.fetch_add(uint64_t{1} << page::linear_entries_shift, std::memory_order_acq_rel);
    return ok;
}

}  // namespace

void forget_linear_use(PageInfo& table, PageInfo& p) {
    if (type_of(p.type.load(std::memory_order_acquire)) != type_of(table.type.load(std::memory_order_acquire))) return;
    p.type.fetch_sub(uint64_t{1} << page::linear_uses_shift, std::memory_order_acq_rel);
    table.type.fetch_sub(uint64_t{1} << page::linear_entries_shift, std::memory_order_acq_rel);
}

Status table_entry_get(Domain& d, PageInfo& table, uint64_t& e, unsigned level) {
    if (e & (pte::pse | pte::global)) {
        // Large pages are not offered to PV guests; bit 8 means nothing here.
        if (e & pte::pse) return Err{Errc::inval};
        e &= ~pte::global;
    }
    const Mfn m = frame_in(e);
    if (!mfn_valid(m)) return Err{Errc::inval};
    PageInfo& p = page_of(m);
    e |= pte::user;
    const bool may_be_linear = !(e & pte::rw);
    if (&p == &table) {
        if (!may_be_linear) return Err{Errc::inval};
        if (level == 4) keep_clear_of_linear_l4s(d);
        return ok;
    }
    if (!get_page(p, d.id)) return Err{Errc::perm};
    Status s = get_page_type(d, p, static_cast<PageType>(level - 1));
    if (!s && s.error() == Errc::inval && may_be_linear) {
        if (level == 4) keep_clear_of_linear_l4s(d);
        s = get_linear(table, p, static_cast<PageType>(level));
    }
    if (!s) {
        put_page(p);
        return s;
    }
    return ok;
}

Status table_entry_put(Domain& d, PageInfo& table, uint64_t e) {
    if (!(e & pte::present)) return ok;
    PageInfo& p = page_of(frame_in(e));
    if (&p == &table) return ok;
    forget_linear_use(table, p);
    const Status s = put_page_type(d, p);
    put_page(p);
    return s;
}

void fill_hypervisor_slots(Domain& d, uint64_t* l4) {
    for (unsigned s = l4_slot_m2p; s < l4_slot_end; ++s) l4[s] = idle_l4[s];
    // The frame may have been another root of this domain before, of which a CPU still has a copy.
    d.pv->root_changes.fetch_add(1, std::memory_order_seq_cst);
    l4[l4_slot_perdomain] = mfn_of(d.pv->perdomain_l3).address() | pte::present | pte::rw | pte::accessed | pte::dirty;
}

/// SDM 3A 5.2, segment descriptors. Code and data of ring 3 are fine; gates and system segments are not.
Status check_descriptor(uint64_t& d) {
    constexpr uint64_t present = uint64_t{1} << 47;
    constexpr uint64_t not_system = uint64_t{1} << 44;
    constexpr uint64_t dpl_3 = uint64_t{3} << 45;
    constexpr uint64_t code = uint64_t{1} << 43;
    constexpr uint64_t long_and_big = (uint64_t{1} << 53) | (uint64_t{1} << 54);
    if (!(d & present)) return ok;
    if (!(d & not_system)) return Err{Errc::inval};
    if ((d & code) && (d & long_and_big) == long_and_big) return Err{Errc::inval};
    // The guest's kernel believes in ring 0 and gets ring 3.
    d |= dpl_3;
    return ok;
}

}  // namespace hv
