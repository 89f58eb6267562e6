// SPDX-License-Identifier: Apache-2.0
/// Changing single page-table entries of PV guests.
#pragma once

#include "hypervisor/arch/x86/guest_access.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/pv/l1tf.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "lib/base/radix.hpp"

namespace hv {

enum class KeepAccessed : uint8_t { no, yes };

/// Whether a walk may follow `e`, which is not both present and writable, to a table of `level`: linear entries are
/// read-only, and it ends in front of them.
bool leads_to_level(uint64_t e, unsigned level);
/// The L1 slot that translates `va` in the address space `root`; null when a level is missing, the way leads through a linear
/// entry, or the address is not the guest's own.
/// Locks: the page_table lock of the tables' owner.
[[gnu::always_inline]] inline uint64_t* find_l1_slot(Mfn root, uint64_t va) {
    // The guest names the address: a root also carries the hypervisor's own slots, whose tables hold no references, may
    // map large pages, and are nobody's to change.
    if (root.raw == 0 || va - arch::guest_first >= arch::guest_bytes) return nullptr;
    uint64_t table = root.address();
#pragma GCC unroll 3
    for (unsigned level = 4; level > 1; --level) {
        const uint64_t e = MappedTables{}.read(table + base::radix::index_of(va, level) * sizeof(uint64_t));
        constexpr uint64_t usual = pte::present | pte::rw;
        if ((e & usual) != usual && !leads_to_level(e, level - 1)) [[unlikely]]
            return nullptr;
        table = e & base::radix::address_mask;
    }
    return MappedTables::entry(table + base::radix::index_of(va, 1) * sizeof(uint64_t));
}

inline constexpr uint64_t accessed_dirty = pte::accessed | pte::dirty;
/// Bits whose change needs no references to change hands.
inline constexpr uint64_t reference_bits = pte::frame_mask | pte::rw | pte::present;

/// The CPU may set accessed and dirty at any time: with KeepAccessed they survive.
template <Logs logs = Logs::unknown>
inline void store_entry(uint64_t* slot, uint64_t entry, KeepAccessed keep) {
    if (keep == KeepAccessed::no) {
        __atomic_store_n(slot, entry, __ATOMIC_RELEASE);
        dirtied<logs>(slot);
        return;
    }
    uint64_t old = __atomic_load_n(slot, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(slot, &old, entry | (old & accessed_dirty), true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {}
    dirtied<logs>(slot);
}

/// Replaces an L1 entry; the new one's references are taken, the old one's dropped.
/// Errors: inval, perm.
template <Logs logs = Logs::unknown>
[[gnu::always_inline]] inline Status update_l1(Domain& l1_owner, Domain& page_owner, uint64_t* slot, uint64_t entry,
                                               KeepAccessed keep) REQUIRES(l1_owner.pv->lock) {
    const uint64_t old = __atomic_load_n(slot, __ATOMIC_RELAXED);
    if (!(entry & pte::present)) {
        TRY(l1tf_check(l1_owner, entry, 1));
        store_entry<logs>(slot, entry, KeepAccessed::no);
        l1_entry_put(old);
        return ok;
    }
    if (((old ^ entry) & reference_bits) == 0) {
        // The same page, used in the same way: the old entry's references are the new one's.
        store_entry<logs>(slot, l1_entry_bits(l1_owner, entry), keep);
        return ok;
    }
    TRY(l1_entry_get<logs>(l1_owner, page_owner, entry));
    store_entry<logs>(slot, entry, keep);
    l1_entry_put(old);
    return ok;
}
/// The same as one step from `seen` to `entry`, of the owner's pages. Errors: inval, perm; again: the slot holds something
/// else, since the CPU has marked the entry as accessed or dirty.
[[gnu::always_inline]] inline Status exchange_l1(Domain& d, uint64_t* slot, uint64_t seen, uint64_t entry) REQUIRES(d.pv->lock) {
    const bool present = entry & pte::present;
    const bool same_use = present && ((seen ^ entry) & reference_bits) == 0;
    if (same_use) entry = l1_entry_bits(d, entry);
    else if (present) TRY(l1_entry_get(d, d, entry));
    else TRY(l1tf_check(d, entry, 1));
    uint64_t expected = seen;
    if (!__atomic_compare_exchange_n(slot, &expected, entry, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        if (!same_use) l1_entry_put(entry);
        return Err{Errc::again};
    }
    dirtied(slot);
    if (!same_use) l1_entry_put(seen);
    return ok;
}
/// Replaces entry `slot` of a validated table of `level` 2..4. Errors: inval, perm, busy, restart (call again).
Status update_table(Vcpu& v, Domain& owner, uint64_t* slot, uint64_t entry, unsigned level, KeepAccessed keep)
    REQUIRES(owner.pv->lock);
/// Goes on with a release that an earlier update had to leave. First thing in every memory-management hypercall.
/// Errors: restart.
Status finish_put_of(Vcpu& v, PageInfo& pending);
inline Status finish_pending_put(Vcpu& v) {
    if (!v.pv->pending_put) [[likely]]
        return ok;
    return finish_put_of(v, *v.pv->pending_put);
}

/// Leaves the table `m`, of which get_page_type() said `intr`, to finish_pending_put().
void postpone_release(Vcpu& v, Domain& owner, Mfn m);

/// Makes `m` the root of kernel or user mode of `v`; 0, none, for a user mode that `v` is not in. Takes and drops references,
/// and loads it where `v` runs on it. Errors: inval, perm, restart.
Status set_kernel_root(Vcpu& v, Mfn m);
Status set_user_root(Vcpu& v, Mfn m);
/// Takes both away from a vCPU that runs nowhere and will not without new ones.
void drop_roots(Vcpu& v);

/// MMUEXT_PIN_*: keeps a table's type. Errors: inval (pinned already; the domain ends), perm, restart, intr (see types.hpp).
Status pin_table(Domain& owner, Mfn m, PageType t);
Status unpin_table(Domain& owner, Mfn m);

}  // namespace hv
