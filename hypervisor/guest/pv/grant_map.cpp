// SPDX-License-Identifier: Apache-2.0
/// Grants in a PV guest's page tables: what grant_map.hpp leaves, and all of it for the kind's table.
#include "hypervisor/guest/pv/grant_map.hpp"

namespace hv {

namespace pv_grants {

namespace {

/// The entry at a machine address, of an L1 table in use. `table` keeps it that.
uint64_t* named_entry(const Domain& d, uint64_t address, PageRef& table) {
    if (address & 7) return nullptr;
    auto ref = PageRef::acquire(Mfn::of_address(address), d.id);
    if (!ref) return nullptr;
    table = std::move(ref).take();
    const uint64_t x = table.page().type.load(std::memory_order_acquire);
    if (type_of(x) != PageType::l1 || !(x & page::users_mask) || !(x & page::validated)) return nullptr;
    return map_mfn<uint64_t>(table.mfn()) + (address & (page_size - 1)) / 8;
}

}  // namespace

Status enter_named(Vcpu& v, uint64_t address, Mfn m, Access access, uint64_t entry) {
    PageRef table;
    uint64_t* const slot = named_entry(v.domain, address, table);
    if (!slot) return Err{Errc::inval};
    return enter(slot, m, access, entry);
}

Status leave_rarely(Vcpu& v, uint64_t addr, Mfn m, Access access, bool contains_pte, uint64_t new_addr) {
    PageRef table;
    uint64_t* const slot = contains_pte ? named_entry(v.domain, addr, table) : find_l1_slot(v.pv->kernel_root, addr);
    if (!slot) return Err{Errc::inval};
    const uint64_t old = __atomic_load_n(slot, __ATOMIC_RELAXED);
    if (!maps(old, m, access)) return Err{Errc::inval};
    uint64_t replacement = 0;
    if (new_addr != 0) {
        uint64_t* from = find_l1_slot(v.pv->kernel_root, new_addr);
        if (!from || from == slot) return Err{Errc::inval};
        // The entry moves: its references move with it.
        replacement = __atomic_exchange_n(from, uint64_t{0}, __ATOMIC_ACQ_REL);
        dirtied(from);
    }
    return leave(slot, m, access, replacement, old);
}

}  // namespace pv_grants

Status pv_map_grant(Vcpu& v, uint64_t addr, Mfn m, Access access, bool contains_pte, uint64_t avail_bits) {
    return pv_grants::map(v, addr, m, access, contains_pte, avail_bits);
}

Status pv_unmap_grant(Vcpu& v, uint64_t addr, Mfn m, Access access, bool contains_pte, uint64_t new_addr) {
    return pv_grants::unmap(v, addr, m, access, contains_pte, new_addr);
}

}  // namespace hv
