// SPDX-License-Identifier: Apache-2.0
#include "toolstack/builder/tables.hpp"

#include <algorithm>

namespace builder {
namespace {

bool contains(std::span<const TablePage> tables, unsigned level, uint64_t start) {
    return std::ranges::any_of(tables, [&](const TablePage& t) { return t.level == level && t.virt == start; });
}

/// Whether `pfn` holds a page table. Tables stand in at most two runs of frames.
bool is_table(const Layout& layout, uint64_t pfn) {
    if (pfn >= layout.tables.first && pfn < layout.tables.end()) return true;
    // Behind an apart p2m list its own tables follow.
    return layout.p2m_apart && pfn >= layout.p2m.first && pfn < layout.p2m.end() &&
           std::ranges::any_of(layout.table_pages, [&](const TablePage& t) { return t.pfn == pfn; });
}

void write_leaves(const Layout& layout, const TablePage& table, std::span<uint64_t, entries_per_table> out,
                  const std::function<uint64_t(uint64_t)>& mfn_of) {
    for (const MappedRange& range : layout.mapped) {
        const uint64_t start = range.virt & 0x0000'ffff'ffff'f000;
        const uint64_t end = start + range.frames.pages * base::page_size;
        for (unsigned i = 0; i < entries_per_table; ++i) {
            const uint64_t at = table.virt + i * base::page_size;
            if (at < start || at >= end) continue;
            const uint64_t pfn = range.frames.first + (at - start) / base::page_size;
            const uint64_t write = is_table(layout, pfn) ? 0 : pte_write;
            out[i] = (mfn_of(pfn) << base::page_shift) | pte_present | write | pte_user | pte_accessed;
        }
    }
}

}  // namespace

std::vector<TablePage> tables_for(uint64_t virt, uint64_t pages, std::span<const TablePage> have) {
    std::vector<TablePage> missing;
    if (pages == 0) return missing;
    for (unsigned level = 4; level >= 1; --level) {
        const uint64_t last = table_start(virt + (pages - 1) * base::page_size, level);
        for (uint64_t at = table_start(virt, level);; at += table_span(level)) {
            if (!contains(have, level, at)) missing.push_back({0, level, at});
            if (at == last) break;
        }
    }
    return missing;
}

void write_table(const Layout& layout, const TablePage& table, std::span<uint64_t, entries_per_table> out,
                 const std::function<uint64_t(uint64_t)>& mfn_of) {
    std::ranges::fill(out, 0);
    if (table.level == 1) return write_leaves(layout, table, out, mfn_of);
    const unsigned below = table.level - 1;
    for (const TablePage& child : layout.table_pages) {
        if (child.level != below || table_start(child.virt, table.level) != table.virt) continue;
        const uint64_t index = (child.virt - table.virt) / table_span(below);
        out[index] = (mfn_of(child.pfn) << base::page_shift) | pte_present | pte_write | pte_user | pte_accessed | pte_dirty;
    }
}

}  // namespace builder
