// SPDX-License-Identifier: Apache-2.0
/// Tables that a CPU or a device walks: a tree of pages of 512 entries of 8 bytes, each level taking nine bits of the address. The
/// CPU's page tables, EPT, NPT and the tables of IOMMUs have this shape and differ in the bits of their entries (TableFormat) and in how
/// we reach the memory they lie in (TableMem).
///
/// Somebody may walk a tree at any moment, so each store leaves a tree that is right: a table is complete before the one store
/// that links it, and an entry is exchanged for another in one piece. A walker that was there before may still use the old one: what
/// these functions return is what the caller has to flush, and only then to free.
#pragma once

#include <concepts>
#include <cstdint>

#include "lib/base/result.hpp"
#include "lib/base/types.hpp"

namespace base::radix {

inline constexpr unsigned entries = 512;
inline constexpr uint64_t address_mask = 0x000f'ffff'ffff'f000;

/// Which entry of a table of `level` (1: the last) is on the way to `address`.
constexpr unsigned index_of(uint64_t address, unsigned level) { return (address >> (3 + 9 * level)) & (entries - 1); }
/// Bytes that one entry of a table of `level` leads to.
constexpr uint64_t span_of(unsigned level) { return uint64_t{1} << (3 + 9 * level); }

/// Where tables can be read. `at` is the machine address of an entry.
template <class M>
concept TableReader = requires(M& m, uint64_t at) {
    { m.read(at) } -> std::same_as<uint64_t>;
};

/// Where tables can be made. write() is for tables that nobody walks yet; cas() stores `v` where `old` stands, else it sets `old` to
/// what does and answers false; it is visible to walkers not before what was written earlier. alloc_zeroed() gives the machine
/// address of an empty table. Errors: nomem.
template <class M>
concept TableMem = TableReader<M> && requires(M& m, uint64_t at, uint64_t& old, uint64_t v) {
    m.write(at, v);
    { m.cas(at, old, v) } -> std::same_as<bool>;
    { m.alloc_zeroed() } -> std::same_as<Result<uint64_t>>;
    m.free(at);
};

/// The bits of one kind of table. An entry that is not present leads nowhere, and a leaf maps memory; table() is the entry of `level`
/// for the table at `address`, and part() the entry one level below that maps the i-th part of what the leaf `e` maps.
template <class F>
concept TableFormat = requires(const F& f, uint64_t e, unsigned level, unsigned i) {
    { f.present(e) } -> std::same_as<bool>;
    { f.leaf(e, level) } -> std::same_as<bool>;
    { f.table(e, level) } -> std::same_as<uint64_t>;
    { f.part(e, level, i) } -> std::same_as<uint64_t>;
};

/// An entry: its machine address, and the level of the table that it stands in.
struct Place {
    uint64_t slot;
    unsigned level;
};

/// Goes down from the table `root` of level `top` to the entry of `level` for `address`, as long as `follow(place, entry)` says so of each
/// entry above; where it does not, that entry is the answer.
template <TableReader M, class Follow>
constexpr Place descend(const M& mem, uint64_t root, unsigned top, unsigned level, uint64_t address, Follow follow) {
    for (uint64_t table = root;; --top) {
        const Place at{table + index_of(address, top) * sizeof(uint64_t), top};
        if (top == level) return at;
        const uint64_t e = mem.read(at.slot);
        if (!follow(at, e)) return at;
        table = e & address_mask;
    }
}

/// Puts a table in place of the entry `seen` of `level` in `slot`: an empty one, or one that maps what a leaf maps. Returns the
/// entry that stands there now, which is another one when somebody was faster. Errors: nomem.
template <TableMem M, TableFormat F>
Result<uint64_t> grow(M& mem, const F& format, uint64_t slot, unsigned level, uint64_t seen) {
    const uint64_t table = TRY(mem.alloc_zeroed());
    if (format.present(seen))
        for (unsigned i = 0; i < entries; ++i) mem.write(table + i * sizeof(uint64_t), format.part(seen, level, i));
    const uint64_t entry = format.table(table, level);
    if (mem.cas(slot, seen, entry)) return entry;
    mem.free(table);
    return seen;
}

/// The machine address of the entry of `level` for `address`; tables on the way are made, and leaves there are split.
/// Errors: nomem; the tables made until then stay, empty or with what the split leaf mapped.
template <TableMem M, TableFormat F>
Result<uint64_t> reach(M& mem, const F& format, uint64_t root, unsigned top, unsigned level, uint64_t address) {
    for (uint64_t table = root;; --top) {
        const uint64_t slot = table + index_of(address, top) * sizeof(uint64_t);
        if (top == level) return slot;
        uint64_t e = mem.read(slot);
        while (!format.present(e) || format.leaf(e, top)) e = TRY(grow(mem, format, slot, top, e));
        table = e & address_mask;
    }
}

/// Stores `entry` at `level` for `address`. Returns what stood there: a leaf or a table that the caller answers for now.
/// Errors: nomem, and nothing is stored then.
template <TableMem M, TableFormat F>
Result<uint64_t> set(M& mem, const F& format, uint64_t root, unsigned top, unsigned level, uint64_t address, uint64_t entry) {
    const uint64_t slot = TRY(reach(mem, format, root, top, level, address));
    uint64_t old = mem.read(slot);
    while (!mem.cas(slot, old, entry)) {}
    return old;
}

}  // namespace base::radix
