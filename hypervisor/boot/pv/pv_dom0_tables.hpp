// SPDX-License-Identifier: Apache-2.0
/// dom0's first page tables, written from a pool of its own pages.
#pragma once

#include <cstdint>

#include "hypervisor/mm/frame.hpp"

namespace hv {

/// A run of a domain's pages by pfn: p2m[pfn] is the frame.
class TableBuilder : public MappedTables {
public:
    /// Tables are taken from pfns [first, first + n) in order; the first one becomes the root.
    TableBuilder(const uint64_t* p2m, uint64_t first, uint64_t n);
    /// Maps the page `pfn` at `va`, writable.
    void map(uint64_t va, uint64_t pfn);
    /// From now on tables come from another pool.
    void use_pool(uint64_t first, uint64_t n);
    /// Takes write permission from the mapping of `va`: tables are read-only to the guest.
    void protect(uint64_t va);
    Mfn root() const { return root_; }
    uint64_t next_pfn() const { return next_; }

    // base::radix::TableMem
    Result<uint64_t> alloc_zeroed();
    static void free(uint64_t) {}  ///< for who loses a race: nobody runs yet

private:
    uint64_t* slot(uint64_t va);
    const uint64_t* p2m_;
    uint64_t next_;
    uint64_t end_;
    Mfn root_;
};

/// Tables below the root that mapping [start, end) takes, given nothing else is mapped near it.
uint64_t tables_for(uint64_t start, uint64_t end);

}  // namespace hv
