// SPDX-License-Identifier: Apache-2.0
// The first page tables of a PV domain: which tables a set of mapped ranges needs, and what stands in them.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "toolstack/builder/plan.hpp"

namespace builder {

inline constexpr unsigned entries_per_table = 512;

/// Bytes of virtual address space that one table of `level` (1..4) covers.
constexpr uint64_t table_span(unsigned level) { return uint64_t{1} << (12 + 9 * level); }

/// First address covered by the table of `level` that `virt` belongs to. Addresses are compared without their sign
/// extension, so that a range may end exactly at the top.
constexpr uint64_t table_start(uint64_t virt, unsigned level) {
    return level >= 4 ? 0 : (virt & 0x0000'ffff'ffff'f000) & ~(table_span(level) - 1);
}

/// The tables that are needed so that [virt, virt + pages) can be mapped and that `have` does not hold yet, highest
/// level first. Their pfn is not set.
std::vector<TablePage> tables_for(uint64_t virt, uint64_t pages, std::span<const TablePage> have);

/// Page table entry bits.
inline constexpr uint64_t pte_present = 1, pte_write = 2, pte_user = 4, pte_accessed = 0x20, pte_dirty = 0x40;

/// Writes the entries of one table. `mfn_of` translates a pfn. Tables themselves are mapped read-only: the hypervisor
/// accepts nothing else.
void write_table(const Layout& layout, const TablePage& table, std::span<uint64_t, entries_per_table> out,
                 const std::function<uint64_t(uint64_t)>& mfn_of);

}  // namespace builder
