// SPDX-License-Identifier: Apache-2.0
/// Small objects: pages cut into objects of one size class. A slab page's bookkeeping stands in its PageInfo, so objects
/// are aligned to their class: `type` holds the number of objects in use and the first free one, `order` the class,
/// next/prev the class's list of pages with room. Free objects are chained through their first two bytes.
#include <atomic>
#include <bit>
#include <cstring>

#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv::heap {
namespace {

constexpr unsigned smallest_shift = 5;  // 32 bytes
constexpr unsigned classes = 7;         // up to 2048
constexpr size_t largest = size_t{1} << (smallest_shift + classes - 1);

constexpr size_t size_of(unsigned c) { return size_t{1} << (smallest_shift + c); }
constexpr unsigned objects_of(unsigned c) { return static_cast<unsigned>(page_size >> (smallest_shift + c)); }
constexpr uint16_t no_object = 0xffff;

struct Slabs {
    Spinlock lock{Rank::heap};
    uint32_t partial[classes] GUARDED_BY(lock) = {};
    std::atomic<size_t> in_use{0};
};
Slabs slabs;

struct Fill {
    uint32_t used;
    uint16_t first_free;
};
Fill fill_of(const PageInfo& p) {
    const uint64_t w = p.type.load(std::memory_order_relaxed);
    return {static_cast<uint32_t>(w), static_cast<uint16_t>(w >> 32)};
}
void set_fill(PageInfo& p, Fill f) { p.type.store((uint64_t{f.first_free} << 32) | f.used, std::memory_order_relaxed); }

unsigned class_of(size_t bytes) { return bytes <= 32 ? 0 : static_cast<unsigned>(std::bit_width(bytes - 1)) - smallest_shift; }
Pages pages_for(size_t bytes) { return Pages::covering(bytes); }

void link(uint32_t mfn, unsigned c) REQUIRES(slabs.lock) {
    PageInfo& p = frame_table[mfn];
    p.prev = 0;
    p.next = slabs.partial[c];
    if (p.next) frame_table[p.next].prev = mfn;
    slabs.partial[c] = mfn;
}

void unlink(uint32_t mfn, unsigned c) REQUIRES(slabs.lock) {
    PageInfo& p = frame_table[mfn];
    if (p.next) frame_table[p.next].prev = p.prev;
    if (p.prev) frame_table[p.prev].next = p.next;
    else slabs.partial[c] = p.next;
    p.next = p.prev = 0;
}

uint16_t& chain(uint8_t* base, unsigned index, unsigned c) { return *reinterpret_cast<uint16_t*>(base + index * size_of(c)); }

void* take_object(unsigned c) REQUIRES(slabs.lock) {
    const uint32_t mfn = slabs.partial[c];
    if (!mfn) return nullptr;
    PageInfo& p = frame_table[mfn];
    uint8_t* base = map_mfn(Mfn(mfn));
    Fill f = fill_of(p);
    const uint16_t index = f.first_free;
    HV_ASSERT(index < objects_of(c));
    f.first_free = chain(base, index, c);
    ++f.used;
    set_fill(p, f);
    if (f.first_free == no_object) unlink(mfn, c);
    return base + index * size_of(c);
}

void prepare_page(Mfn m, unsigned c) {
    uint8_t* base = map_mfn(m);
    const unsigned n = objects_of(c);
    for (unsigned i = 0; i < n; ++i) chain(base, i, c) = i + 1 < n ? static_cast<uint16_t>(i + 1) : no_object;
    PageInfo& p = page_of(m);
    p.order = static_cast<uint8_t>(c);
    set_fill(p, {0, 0});
}

/// Puts an object back; returns the page when nothing is left on it.
Mfn put_object(void* o, unsigned c) REQUIRES(slabs.lock) {
    const Mfn m = mfn_of(o);
    const auto mfn = static_cast<uint32_t>(m.raw);
    PageInfo& p = page_of(m);
    HV_ASSERT(p.order == c);
    uint8_t* base = map_mfn(m);
    const auto index = static_cast<uint16_t>(static_cast<size_t>(static_cast<uint8_t*>(o) - base) / size_of(c));
    Fill f = fill_of(p);
    HV_ASSERT(f.used > 0);
    const bool was_full = f.first_free == no_object;
    chain(base, index, c) = f.first_free;
    f.first_free = index;
    --f.used;
    set_fill(p, f);
    if (was_full) link(mfn, c);
    if (f.used) return Mfn(0);
    unlink(mfn, c);
    p.order = 0;
    p.type.store(0, std::memory_order_relaxed);
    return m;
}

Result<void*> alloc_large(size_t bytes) {
    const Pages n = pages_for(bytes);
    const auto order = static_cast<unsigned>(std::bit_width(n.n - 1));
    const Mfn m = TRY(alloc(order));
    const uint64_t spare = (uint64_t{1} << order) - n.n;
    if (spare) free_range(m + n, Pages{spare});
    memset(map_mfn(m), 0, n.bytes());
    slabs.in_use.fetch_add(n.bytes(), std::memory_order_relaxed);
    return map_mfn<void>(m);
}

}  // namespace

Result<void*> alloc_bytes(size_t bytes) {
    if (bytes > largest) return alloc_large(bytes);
    const unsigned c = class_of(bytes);
    void* o = nullptr;
    {
        Guard g(slabs.lock);
        o = take_object(c);
    }
    if (!o) {
        const Mfn m = TRY(alloc(0));
        prepare_page(m, c);
        Guard g(slabs.lock);
        link(static_cast<uint32_t>(m.raw), c);
        o = take_object(c);
    }
    slabs.in_use.fetch_add(size_of(c), std::memory_order_relaxed);
    memset(o, 0, size_of(c));
    return o;
}

void free_bytes(void* p, size_t bytes) {
    if (!p) return;
    if (bytes > largest) {
        const Pages n = pages_for(bytes);
        slabs.in_use.fetch_sub(n.bytes(), std::memory_order_relaxed);
        free_range(mfn_of(p), n);
        return;
    }
    const unsigned c = class_of(bytes);
    slabs.in_use.fetch_sub(size_of(c), std::memory_order_relaxed);
    Mfn empty{0};
    {
        Guard g(slabs.lock);
        empty = put_object(p, c);
    }
    if (empty.raw) free(empty, 0);
}

size_t bytes_in_use() { return slabs.in_use.load(std::memory_order_relaxed); }

}  // namespace hv::heap
