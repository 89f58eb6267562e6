// SPDX-License-Identifier: Apache-2.0
/// Guest memory by the guest's own page tables, read by us instead of the CPU.
///
/// Why: an L4 table carries the hypervisor's slots. When a guest's L4 has a linear entry (types.hpp), the guest names
/// addresses whose walk enters the L4 a second time, and so the hypervisor's tables. Ring 3 faults there, since these
/// slots are the supervisor's alone; but a copy on the guest's behalf is made in ring 0, and would read whatever the
/// hypervisor's tables, taken for tables of a lower level, lead to. So before the first linear entry appears in an L4 of a
/// domain, its copies change over to the walk below for good, which never leaves the guest's own tables; and the CPUs that
/// run it have left the copy that they may be in.
#pragma once

#include "hypervisor/guest/pv/pv.hpp"

namespace hv {

/// What a guest's address leads to.
struct Mapping {
    uint64_t* slot = nullptr;  ///< the last entry, perhaps not present; null: the way ends before it
    bool writable = false;     ///< at every level
    bool in_l1 = false;        ///< false: a linear entry was on the way, and what the entry maps is a table
    uint64_t entry() const { return slot ? __atomic_load_n(slot, __ATOMIC_RELAXED) : 0; }
};

/// Walks as the CPU does, linear entries included, but not through the hypervisor's slots.
/// Locks: the page_table lock of the tables' owner.
Mapping find_mapping(Mfn root, uint64_t va);

/// An L4 of `d` is about to have a linear entry.
void keep_clear_of_linear_l4s(Domain& d) REQUIRES(d.pv->lock);

}  // namespace hv
