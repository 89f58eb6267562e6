// SPDX-License-Identifier: Apache-2.0
/// Changing single page-table entries of PV guests.
#pragma once

#include "hypervisor/guest/pv/types.hpp"

namespace hv {

enum class KeepAccessed : uint8_t { no, yes };

/// The L1 slot that translates `va` in the address space `root`; null when a level is missing, the way leads through a linear
/// entry, or the address is not the guest's own.
/// Locks: the page_table lock of the tables' owner.
uint64_t* find_l1_slot(Mfn root, uint64_t va);

/// Replaces an L1 entry; the new one's references are taken, the old one's dropped.
/// Errors: inval, perm.
Status update_l1(Domain& l1_owner, Domain& page_owner, uint64_t* slot, uint64_t entry, KeepAccessed keep)
    REQUIRES(l1_owner.pv->lock);
/// The same as one step from `seen` to `entry`, of the owner's pages. Errors: inval, perm; again: the slot holds something
/// else, since the CPU has marked the entry as accessed or dirty.
Status exchange_l1(Domain& d, uint64_t* slot, uint64_t seen, uint64_t entry) REQUIRES(d.pv->lock);
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
