// SPDX-License-Identifier: Apache-2.0
#include "guests/tiny/paging.hpp"

namespace guest {

using namespace xen;

namespace {

constexpr unsigned shift_of(unsigned level) { return 12 + 9 * (level - 1); }

}  // namespace

uint64_t* table_of(uint64_t va, unsigned level) {
    auto* table = at<uint64_t>(info->pt_base);
    for (unsigned l = 4; l > level; --l) {
        const uint64_t entry = table[va >> shift_of(l) & 511];
        if (!(entry & 1)) return nullptr;
        table = static_cast<uint64_t*>(page_of((entry & frame_mask) / page_bytes));
    }
    return table;
}

uint64_t* entry_of(const void* p) { return &table_of(addr(p), 1)[addr(p) >> 12 & 511]; }

uint64_t* make_tables(uint64_t va, Page (&tables)[3]) {
    for (unsigned i = 0; i < 3; ++i) {
        auto* table = reinterpret_cast<uint64_t*>(&tables[i]);
        for (unsigned n = 0; n < 512; ++n) table[n] = 0;
        if (i < 2) table[va >> shift_of(3 - i) & 511] = mfn_of(&tables[i + 1]) * page_bytes | read_write;
    }
    for (Page& p : tables)
        if (protect(&p, read_only) != 0) return nullptr;
    const uint64_t* slot = &table_of(va, 4)[va >> shift_of(4) & 511];
    if (write_entry(machine_address(slot), mfn_of(&tables[0]) * page_bytes | read_write) != 0) return nullptr;
    return reinterpret_cast<uint64_t*>(&tables[2]);
}

}  // namespace guest
