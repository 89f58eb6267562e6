// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/pv/pv_dom0_tables.hpp"

#include <cstring>

#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/rt/log.hpp"
#include "lib/base/radix.hpp"

namespace hv {
namespace {

constexpr uint64_t table_flags = pte::present | pte::rw | pte::user | pte::accessed | pte::dirty;

struct GuestFormat {
    static bool present(uint64_t e) { return e & pte::present; }
    static bool leaf(uint64_t, unsigned level) { return level == 1; }
    static uint64_t table(uint64_t at, unsigned) { return at | table_flags; }
    static uint64_t part(uint64_t e, unsigned, unsigned) { return e; }
};

uint64_t spanned(uint64_t start, uint64_t end, unsigned shift) { return ((end - 1) >> shift) - (start >> shift) + 1; }

}  // namespace

uint64_t tables_for(uint64_t start, uint64_t end) {
    if (start == end) return 0;
    // One L1 covers 2 MiB, one L2 1 GiB, one L3 512 GiB.
    return spanned(start, end, 21) + spanned(start, end, 30) + spanned(start, end, 39);
}

TableBuilder::TableBuilder(const uint64_t* p2m, uint64_t first, uint64_t n)
    : p2m_(p2m), next_(first), end_(first + n), root_(Mfn::of_address(alloc_zeroed().value())) {}

void TableBuilder::use_pool(uint64_t first, uint64_t n) {
    next_ = first;
    end_ = first + n;
}

Result<uint64_t> TableBuilder::alloc_zeroed() {
    HV_ASSERT(next_ < end_);
    const Mfn m(p2m_[next_++]);
    memset(map_mfn(m), 0, page_size);
    return m.address();
}

uint64_t* TableBuilder::slot(uint64_t va) {
    return entry(base::radix::reach(*this, GuestFormat{}, root_.address(), 4, 1, va).value());
}

void TableBuilder::map(uint64_t va, uint64_t pfn) { *slot(va) = Mfn(p2m_[pfn]).address() | table_flags; }
void TableBuilder::protect(uint64_t va) { *slot(va) &= ~pte::rw; }

}  // namespace hv
