// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/dom0_tables.hpp"

#include <cstring>

#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {
namespace {

constexpr uint64_t table_flags = pte::present | pte::rw | pte::user | pte::accessed | pte::dirty;

uint64_t spanned(uint64_t start, uint64_t end, unsigned shift) { return ((end - 1) >> shift) - (start >> shift) + 1; }

}  // namespace

uint64_t tables_for(uint64_t start, uint64_t end) {
    if (start == end) return 0;
    // One L1 covers 2 MiB, one L2 1 GiB, one L3 512 GiB.
    return spanned(start, end, 21) + spanned(start, end, 30) + spanned(start, end, 39);
}

TableBuilder::TableBuilder(const uint64_t* p2m, uint64_t first, uint64_t n)
    : p2m_(p2m), next_(first), end_(first + n), root_(mfn_of(take())) {}

void TableBuilder::use_pool(uint64_t first, uint64_t n) {
    next_ = first;
    end_ = first + n;
}

uint64_t* TableBuilder::take() {
    HV_ASSERT(next_ < end_);
    auto* t = map_mfn<uint64_t>(Mfn(p2m_[next_++]));
    memset(t, 0, page_size);
    return t;
}

uint64_t* TableBuilder::slot(uint64_t va) {
    uint64_t* table = map_mfn<uint64_t>(root_);
    for (unsigned shift = 39; shift > 12; shift -= 9) {
        uint64_t& e = table[(va >> shift) & 511];
        if (!(e & pte::present)) e = mfn_of(take()).address() | table_flags;
        table = map_mfn<uint64_t>(Mfn::of_address(e & pte::frame_mask));
    }
    return &table[(va >> 12) & 511];
}

void TableBuilder::map(uint64_t va, uint64_t pfn) { *slot(va) = Mfn(p2m_[pfn]).address() | table_flags; }
void TableBuilder::protect(uint64_t va) { *slot(va) &= ~pte::rw; }

}  // namespace hv
