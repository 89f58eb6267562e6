// SPDX-License-Identifier: Apache-2.0
/// How grants enter and leave a guest's address space; called by grant/, done by the kind of guest (domain/guest_kind.hpp).
#pragma once

#include <cstdint>

#include "hypervisor/mm/frame.hpp"

namespace hv {

struct Vcpu;

enum class Access : uint8_t { read_only, read_write };

/// Puts frame `m` into the caller's page table. With `contains_pte`, `addr` is the machine address of the PTE to
/// write; otherwise a linear address whose L1 slot is used. `pte_flags` are the guest's available bits (GNTMAP_guest_avail).
/// The previous entry is released as by any page-table update. No reference on `m` is taken: grant/ holds them.
/// Errors: inval, fault-like problems as inval. Locks: takes Rank::page_table of the caller's domain.
Status guest_map_grant(Vcpu& v, uint64_t addr, Mfn m, Access access, bool contains_pte, uint64_t avail_bits);
/// Clears the entry again when it still maps `m`. `new_addr` (linear address, 0: none): its PTE moves to `addr`
/// instead and is cleared there (unmap_and_replace). Errors: inval when the entry maps something else.
Status guest_unmap_grant(Vcpu& v, uint64_t addr, Mfn m, Access access, bool contains_pte, uint64_t new_addr);

}  // namespace hv
