// SPDX-License-Identifier: Apache-2.0
/// Grants in a PV guest's page tables. Ring 3 runs its kernel too: there is no mapping that only the kernel can use.
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/pv/kind.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv {
namespace {

/// The entry at a machine address, of an L1 table in use. `table` keeps it that.
[[gnu::noinline]] uint64_t* named_entry(const Domain& d, uint64_t address, PageRef& table) {
    if (address & 7) return nullptr;
    auto ref = PageRef::acquire(Mfn::of_address(address), d.id);
    if (!ref) return nullptr;
    table = std::move(ref).take();
    const uint64_t x = table.page().type.load(std::memory_order_acquire);
    if (type_of(x) != PageType::l1 || !(x & page::users_mask) || !(x & page::validated)) return nullptr;
    return map_mfn<uint64_t>(table.mfn()) + (address & (page_size - 1)) / 8;
}

/// An L1 entry to change, of this linear address or at this machine address; null: there is none.
[[gnu::always_inline]] inline uint64_t* entry_at(Vcpu& v, uint64_t addr, bool contains_pte, PageRef& table)
    REQUIRES(v.domain.pv->lock) {
    if (contains_pte) [[unlikely]]
        return named_entry(v.domain, addr, table);
    return find_l1_slot(v.pv->kernel_root, addr);
}

}  // namespace

Status pv_map_grant(Vcpu& v, uint64_t addr, Mfn m, Access access, bool contains_pte, uint64_t avail_bits) {
    uint64_t entry = m.address() | pte::present | pte::user | pte::accessed | pte::dirty | pte::nx |
                     (avail_bits & (pte::avail | (pte::avail_high & ~pte::nx)));
    if (access == Access::read_write) entry |= pte::rw;
    PageInfo& p = page_of(m);
    Guard g(v.domain.pv->lock);
    PageRef table;
    uint64_t* const slot = entry_at(v, addr, contains_pte, table);
    if (!slot) return Err{Errc::inval};
    // The entry holds references of its own, beside those of the grant: whoever clears it drops them.
    get_page_again(p);
    if (access == Access::read_write && !get_writable_type(p)) {
        put_page(p);
        return Err{Errc::inval};
    }
    const uint64_t old = __atomic_exchange_n(slot, entry, __ATOMIC_ACQ_REL);
    dirtied(slot);
    if (access == Access::read_write) dirtied(m);
    l1_entry_put(old);
    return ok;
}

Status pv_unmap_grant(Vcpu& v, uint64_t addr, Mfn m, Access access, bool contains_pte, uint64_t new_addr) {
    Guard g(v.domain.pv->lock);
    PageRef table;
    uint64_t* const slot = entry_at(v, addr, contains_pte, table);
    if (!slot) return Err{Errc::inval};
    const uint64_t old = __atomic_load_n(slot, __ATOMIC_RELAXED);
    const bool mapped = (old & pte::present) && Mfn::of_address(old & pte::frame_mask) == m;
    const bool same_access = access == Access::read_only || (old & pte::rw);
    if (!mapped || !same_access) return Err{Errc::inval};
    uint64_t replacement = 0;
    if (new_addr != 0) {
        uint64_t* from = find_l1_slot(v.pv->kernel_root, new_addr);
        if (!from || from == slot) return Err{Errc::inval};
        // The entry moves: its references move with it.
        replacement = __atomic_exchange_n(from, uint64_t{0}, __ATOMIC_ACQ_REL);
        dirtied(from);
    }
    __atomic_store_n(slot, replacement, __ATOMIC_RELEASE);
    dirtied(slot);
    if (access == Access::read_write) dirtied(m);
    // It mapped a page of RAM, which the grant holds.
    PageInfo& p = page_of(m);
    if (old & pte::rw) put_writable_type(p);
    put_page(p);
    return ok;
}

}  // namespace hv
