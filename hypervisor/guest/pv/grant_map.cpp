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

/// An L1 slot to change, with the reference that keeps its table alive and an L1.
struct Slot {
    uint64_t* entry = nullptr;
    PageRef table;
};

Result<Slot> slot_at(Vcpu& v, uint64_t addr, bool contains_pte) REQUIRES(v.domain.pv->lock) {
    if (!contains_pte) {
        uint64_t* e = find_l1_slot(v.pv->kernel_root, addr);
        if (!e) return Err{Errc::inval};
        return Slot{e, PageRef()};
    }
    if (addr & 7) return Err{Errc::inval};
    PageRef ref = TRY(PageRef::acquire(Mfn::of_address(addr), v.domain.id));
    const uint64_t x = ref.page().type.load(std::memory_order_acquire);
    if (type_of(x) != PageType::l1 || !(x & page::users_mask) || !(x & page::validated)) return Err{Errc::inval};
    uint64_t* e = map_mfn<uint64_t>(ref.mfn()) + (addr & (page_size - 1)) / 8;
    return Slot{e, std::move(ref)};
}

}  // namespace

Status pv_map_grant(Vcpu& v, uint64_t addr, Mfn m, Access access, bool contains_pte, uint64_t avail_bits) {
    uint64_t entry = m.address() | pte::present | pte::user | pte::accessed | pte::dirty | pte::nx |
                     (avail_bits & (pte::avail | (pte::avail_high & ~pte::nx)));
    if (access == Access::read_write) entry |= pte::rw;
    PageInfo& p = page_of(m);
    Guard g(v.domain.pv->lock);
    Slot s = TRY(slot_at(v, addr, contains_pte));
    // The entry holds references of its own, beside those of the grant: whoever clears it drops them.
    get_page_again(p);
    if (access == Access::read_write && !get_writable_type(p)) {
        put_page(p);
        return Err{Errc::inval};
    }
    const uint64_t old = __atomic_exchange_n(s.entry, entry, __ATOMIC_ACQ_REL);
    dirtied(s.entry);
    if (access == Access::read_write) dirtied(m);
    l1_entry_put(old);
    return ok;
}

Status pv_unmap_grant(Vcpu& v, uint64_t addr, Mfn m, Access access, bool contains_pte, uint64_t new_addr) {
    Guard g(v.domain.pv->lock);
    Slot s = TRY(slot_at(v, addr, contains_pte));
    const uint64_t old = __atomic_load_n(s.entry, __ATOMIC_RELAXED);
    const bool mapped = (old & pte::present) && Mfn::of_address(old & pte::frame_mask) == m;
    const bool same_access = access == Access::read_only || (old & pte::rw);
    if (!mapped || !same_access) return Err{Errc::inval};
    uint64_t replacement = 0;
    if (new_addr != 0) {
        uint64_t* from = find_l1_slot(v.pv->kernel_root, new_addr);
        if (!from || from == s.entry) return Err{Errc::inval};
        // The entry moves: its references move with it.
        replacement = __atomic_exchange_n(from, uint64_t{0}, __ATOMIC_ACQ_REL);
        dirtied(from);
    }
    __atomic_store_n(s.entry, replacement, __ATOMIC_RELEASE);
    dirtied(s.entry);
    if (access == Access::read_write) dirtied(m);
    l1_entry_put(old);
    return ok;
}

}  // namespace hv
