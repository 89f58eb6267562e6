// SPDX-License-Identifier: Apache-2.0
/// Grants in a PV guest's page tables, in line. Ring 3 runs its kernel too: there is no mapping that only the kernel can use.
#pragma once

#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/pv/kind.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv::pv_grants {

/// Writes the entry of a grant of `m`. It holds references of its own, beside those of the grant: whoever clears it drops them.
[[gnu::always_inline]] inline Status enter(uint64_t* slot, Mfn m, Access access, uint64_t entry) {
    PageInfo& p = page_of(m);
    get_page_again(p);
    if (access == Access::read_write && !get_writable_type(p)) [[unlikely]] {
        put_page(p);
        return Err{Errc::inval};
    }
    const uint64_t old = __atomic_exchange_n(slot, entry, __ATOMIC_ACQ_REL);
    dirtied(slot);
    if (access == Access::read_write) dirtied(m);
    l1_entry_put(old);
    return ok;
}

/// Clears it again.
[[gnu::always_inline]] inline Status leave(uint64_t* slot, Mfn m, Access access, uint64_t replacement, uint64_t old) {
    __atomic_store_n(slot, replacement, __ATOMIC_RELEASE);
    dirtied(slot);
    if (access == Access::read_write) dirtied(m);
    // It mapped a page of RAM, which the grant holds.
    PageInfo& p = page_of(m);
    if (old & pte::rw) put_writable_type(p);
    put_page(p);
    return ok;
}

/// Whether an entry is the mapping of `m`.
inline bool maps(uint64_t e, Mfn m, Access access) {
    constexpr uint64_t looked_at = pte::present | pte::frame_mask;
    return (e & looked_at) == (m.address() | pte::present) && (access == Access::read_only || (e & pte::rw));
}

// At a machine address that the guest names, or with an entry that moves.
Status enter_named(Vcpu& v, uint64_t address, Mfn m, Access access, uint64_t entry) REQUIRES(v.domain.pv->lock);
Status leave_rarely(Vcpu& v, uint64_t addr, Mfn m, Access access, bool contains_pte, uint64_t new_addr)
    REQUIRES(v.domain.pv->lock);

/// pv_map_grant().
[[gnu::always_inline]] inline Status map(Vcpu& v, uint64_t addr, Mfn m, Access access, bool contains_pte, uint64_t avail_bits) {
    uint64_t entry = m.address() | pte::present | pte::user | pte::accessed | pte::dirty | pte::nx |
                     (avail_bits & (pte::avail | (pte::avail_high & ~pte::nx)));
    if (access == Access::read_write) entry |= pte::rw;
    Guard g(v.domain.pv->lock);
    if (contains_pte) [[unlikely]]
        return enter_named(v, addr, m, access, entry);
    uint64_t* const slot = find_l1_slot(v.pv->kernel_root, addr);
    if (!slot) return Err{Errc::inval};
    return enter(slot, m, access, entry);
}

/// pv_unmap_grant().
[[gnu::always_inline]] inline Status unmap(Vcpu& v, uint64_t addr, Mfn m, Access access, bool contains_pte, uint64_t new_addr) {
    Guard g(v.domain.pv->lock);
    if (contains_pte || new_addr != 0) [[unlikely]]
        return leave_rarely(v, addr, m, access, contains_pte, new_addr);
    uint64_t* const slot = find_l1_slot(v.pv->kernel_root, addr);
    if (!slot) return Err{Errc::inval};
    const uint64_t old = __atomic_load_n(slot, __ATOMIC_RELAXED);
    if (!maps(old, m, access)) return Err{Errc::inval};
    return leave(slot, m, access, 0, old);
}

/// find_l1_slot() for addresses that are nearly always neighbours. While it lives the caller holds the lock of the tables, so that
/// the table that was found stays.
class Slots {
    const Mfn root_;
    uint64_t window_ = ~uint64_t{0};  ///< what a table translates, by the bits of an address above it; no address has all of them
    uint64_t* table_ = nullptr;

public:
    explicit Slots(Mfn root) : root_(root) {}
    [[gnu::always_inline]] uint64_t* find(uint64_t va) {
        const unsigned index = base::radix::index_of(va, 1);
        if (va >> 21 != window_) {
            uint64_t* const slot = find_l1_slot(root_, va);
            if (!slot) [[unlikely]]
                return nullptr;
            table_ = slot - index;
            window_ = va >> 21;
        }
        return table_ + index;
    }
};

/// Writes the entry of a grant of `m`, whose references the caller has taken.
[[gnu::always_inline]] inline void put_in(uint64_t* slot, Mfn m, Access access) {
    constexpr uint64_t always = pte::present | pte::user | pte::accessed | pte::dirty | pte::nx;
    const uint64_t entry = m.address() | (access == Access::read_write ? always | pte::rw : always);
    const uint64_t old = __atomic_exchange_n(slot, entry, __ATOMIC_ACQ_REL);
    dirtied(slot);
    if (access == Access::read_write) dirtied(m);
    l1_entry_put(old);
}

/// Clears it again, if it is one that holds such references. They are the caller's then.
[[gnu::always_inline]] inline bool take_out(uint64_t* slot, Mfn m, Access access) {
    constexpr uint64_t looked_at = pte::present | pte::frame_mask | pte::rw;
    const uint64_t wanted = m.address() | pte::present | (access == Access::read_write ? pte::rw : 0);
    if ((__atomic_load_n(slot, __ATOMIC_RELAXED) & looked_at) != wanted) return false;
    __atomic_store_n(slot, uint64_t{0}, __ATOMIC_RELEASE);
    dirtied(slot);
    if (access == Access::read_write) dirtied(m);
    return true;
}

}  // namespace hv::pv_grants
