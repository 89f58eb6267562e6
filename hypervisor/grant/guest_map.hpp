// SPDX-License-Identifier: Apache-2.0
/// How grants enter and leave a guest's address space; called by grant/, done by the kind of guest (domain/guest_kind.hpp).
#pragma once

#include <cstdint>

#include "hypervisor/mm/frame.hpp"

namespace hv {

struct Vcpu;

enum class Access : uint8_t { read_only, read_write };

// What GuestKind::map_grant and unmap_grant do for grant/map.hpp:
//
// map_grant(v, addr, m, access, contains_pte, avail_bits) puts frame `m` into the caller's page table. With `contains_pte`, `addr` is the
// machine address of the PTE to write; otherwise a linear address whose L1 slot is used. `avail_bits` are the guest's available bits
// (GNTMAP_guest_avail). The previous entry is released as by any page-table update. No reference on `m` is taken: grant/ holds them.
// Errors: inval, fault-like problems as inval. Locks: takes Rank::page_table of the caller's domain.
//
// unmap_grant(v, addr, m, access, contains_pte, new_addr) clears the entry again when it still maps `m`. `new_addr` (linear address, 0:
// none): its PTE moves to `addr` instead and is cleared there (unmap_and_replace). Errors: inval when the entry maps something else.

}  // namespace hv
