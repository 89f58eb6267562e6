// SPDX-License-Identifier: Apache-2.0
/// Buddy allocator. A free block of 2^order frames is known by its first frame's PageInfo: `is_free` in the count word,
/// its order, its links, and as stamp the newest of its pages' TLB stamps.
///
/// Blocks lie in zones by the bit width of their frame numbers, so "below N address bits" is a choice of zones. Frame 0
/// is never given out: 0 ends the lists.
///
/// The single frames that were freed last stay apart for a while: who frees one often wants one again, and to merge it with its neighbours
/// and take the block apart again is most of what that costs. Whoever finds no block has them merged first.
///
/// A frame that stays apart remembers in its type word which domain had it last, and as what. That is forgotten with whatever else
/// happens to it, so a domain that finds its own serial there finds nothing but what it left itself.
#include "hypervisor/mm/heap.hpp"

#include <bit>
#include <cstring>

#include "hypervisor/mm/tlb.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv::heap {
namespace {

constexpr unsigned zones = 33;  // bit widths 0..32 of a frame number
constexpr unsigned orders = max_order + 1;
constexpr unsigned max_singles = 16;

struct FreeLists {
    Spinlock lock{Rank::heap};
    uint32_t head[zones][orders] GUARDED_BY(lock) = {};
    uint32_t used_orders[zones] GUARDED_BY(lock) = {};   ///< bit o: head[zone][o] is not empty
    uint32_t single[max_singles] GUARDED_BY(lock) = {};  ///< the newest last
    unsigned singles GUARDED_BY(lock) = 0;
    std::atomic<uint64_t> free{0};
    std::atomic<uint64_t> total{0};
};
FreeLists lists;

unsigned zone_of(uint64_t mfn) { return static_cast<unsigned>(std::bit_width(mfn)); }

void link(uint32_t mfn, unsigned order, uint32_t stamp) REQUIRES(lists.lock) {
    PageInfo& p = frame_table[mfn];
    const unsigned z = zone_of(mfn);
    uint32_t& head = lists.head[z][order];
    p.prev = 0;
    p.next = head;
    if (head) frame_table[head].prev = mfn;
    head = mfn;
    p.order = static_cast<uint8_t>(order);
    p.stamp.store(stamp, std::memory_order_relaxed);
    p.count.store(page::is_free, std::memory_order_relaxed);
    lists.used_orders[z] |= 1u << order;
}

void unlink(uint32_t mfn, unsigned order) REQUIRES(lists.lock) {
    PageInfo& p = frame_table[mfn];
    const unsigned z = zone_of(mfn);
    if (p.next) frame_table[p.next].prev = p.prev;
    if (p.prev) frame_table[p.prev].next = p.next;
    else lists.head[z][order] = p.next;
    if (!lists.head[z][order]) lists.used_orders[z] &= ~(1u << order);
    p.next = p.prev = 0;
    p.order = 0;
    p.count.store(0, std::memory_order_relaxed);
}

/// Which of two stamps makes more flushes necessary: a stamp beyond the clock is from before it wrapped.
uint32_t newer(uint32_t a, uint32_t b) { return a > b ? a : b; }

bool free_block_at(uint64_t mfn, unsigned order) REQUIRES(lists.lock) {
    if (mfn == 0 || mfn >= max_frame) return false;
    const PageInfo& p = frame_table[mfn];
    return p.count.load(std::memory_order_relaxed) == page::is_free && p.order == order;
}

void free_locked(uint64_t mfn, unsigned order, uint32_t stamp) REQUIRES(lists.lock) {
    lists.free.fetch_add(uint64_t{1} << order, std::memory_order_relaxed);
    while (order < max_order) {
        const uint64_t buddy = mfn ^ (uint64_t{1} << order);
        if (!free_block_at(buddy, order)) break;
        stamp = newer(stamp, frame_table[buddy].stamp.load(std::memory_order_relaxed));
        unlink(static_cast<uint32_t>(buddy), order);
        mfn &= ~(uint64_t{1} << order);
        ++order;
    }
    link(static_cast<uint32_t>(mfn), order, stamp);
}

/// The smallest block that fits, from the highest zone allowed: low frames are kept for those who need them.
uint32_t take(unsigned order, unsigned top_zone, uint32_t& stamp) REQUIRES(lists.lock) {
    for (unsigned z = top_zone + 1; z-- > 0;) {
        const uint32_t fitting = lists.used_orders[z] & (~0u << order);
        if (!fitting) continue;
        auto have = static_cast<unsigned>(std::countr_zero(fitting));
        const uint32_t mfn = lists.head[z][have];
        stamp = frame_table[mfn].stamp.load(std::memory_order_relaxed);
        unlink(mfn, have);
        while (have > order) {
            --have;
            link(mfn + (uint32_t{1} << have), have, stamp);
        }
        lists.free.fetch_sub(uint64_t{1} << order, std::memory_order_relaxed);
        return mfn;
    }
    return 0;
}

/// A low frame is for those who need one: it goes back where it is taken last. It is in a lower zone than the last frame: the two
/// differ in that one's highest bit.
bool is_low(uint64_t mfn) {
    constexpr uint64_t four_gib = uint64_t{1} << (32 - page_shift);
    return mfn < four_gib && mfn < (mfn ^ (max_frame - 1));
}

/// `last_use`: whose it was, and as what; 0: nobody's that may have it back.
[[gnu::always_inline]] inline void keep_single(uint32_t mfn, uint64_t last_use) REQUIRES(lists.lock) {
    PageInfo& p = frame_table[mfn];
    lists.single[lists.singles++] = mfn;
    lists.free.fetch_add(1, std::memory_order_relaxed);
    p.order = apart;
    p.type.store(last_use, std::memory_order_relaxed);
    p.count.store(page::is_free, std::memory_order_relaxed);
}

[[gnu::always_inline]] inline void take_newest(PageInfo& p) REQUIRES(lists.lock) {
    --lists.singles;
    lists.free.fetch_sub(1, std::memory_order_relaxed);
    p.order = 0;
    p.count.store(0, std::memory_order_relaxed);
}

/// The newest, if it is low enough; 0: none.
uint32_t take_single(unsigned top_zone, uint32_t& stamp) REQUIRES(lists.lock) {
    if (lists.singles == 0) return 0;
    const uint32_t mfn = lists.single[lists.singles - 1];
    if (zone_of(mfn) > top_zone) return 0;
    PageInfo& p = frame_table[mfn];
    stamp = p.stamp.load(std::memory_order_relaxed);
    p.type.store(0, std::memory_order_relaxed);
    take_newest(p);
    return mfn;
}

void merge_singles() REQUIRES(lists.lock) {
    uint32_t stamp = 0;
    while (const uint32_t mfn = take_single(zones, stamp)) free_locked(mfn, 0, stamp);
}

}  // namespace

void add_region(Mfn start, Pages n) {
    uint64_t at = start.raw ? start.raw : 1;
    const uint64_t end = start.raw + n.n;
    if (at >= end) return;
    lists.total.fetch_add(end - at, std::memory_order_relaxed);
    free_range(Mfn(at), Pages{end - at});
}

void free_range(Mfn start, Pages n) {
    uint64_t at = start.raw;
    const uint64_t end = at + n.n;
    while (at < end) {
        const auto aligned = static_cast<unsigned>(std::countr_zero(at));
        const unsigned fits = static_cast<unsigned>(std::bit_width(end - at)) - 1;
        unsigned order = aligned < fits ? aligned : fits;
        if (order > max_order) order = max_order;
        free(Mfn(at), order);
        at += uint64_t{1} << order;
    }
}

Result<Mfn> alloc(unsigned order, unsigned address_bits) {
    if (order > max_order || address_bits <= page_shift) return Err{Errc::nomem};
    const unsigned width = address_bits - page_shift;
    uint32_t stamp = 0;
    uint32_t mfn = 0;
    {
        Guard g(lists.lock);
        const unsigned top_zone = width < zones ? width : zones - 1;
        if (order == 0) mfn = take_single(top_zone, stamp);
        if (!mfn) mfn = take(order, top_zone, stamp);
        if (!mfn && lists.singles != 0) {
            merge_singles();
            mfn = take(order, top_zone, stamp);
        }
    }
    if (!mfn) return Err{Errc::nomem};
    // Whoever used the frames last may have left translations to them behind.
    tlb_flush_stamped(stamp, online_cpus());
    return Mfn(mfn);
}

void free(Mfn m, unsigned order) {
    HV_DEBUG_ASSERT(order <= max_order && m.raw != 0 && m.raw + (uint64_t{1} << order) <= max_frame);
    HV_DEBUG_ASSERT(page_of(m).count.load(std::memory_order_relaxed) == 0);
    uint32_t stamp = 0;
    for (uint64_t i = 0; i < (uint64_t{1} << order); ++i)
        stamp = newer(stamp, frame_table[m.raw + i].stamp.load(std::memory_order_relaxed));
    Guard g(lists.lock);
    if (order == 0 && lists.singles < max_singles && !is_low(m.raw)) keep_single(static_cast<uint32_t>(m.raw), 0);
    else free_locked(m.raw, order, stamp);
}

void free_from(Mfn m, uint64_t serial) {
    PageInfo& p = page_of(m);
    HV_DEBUG_ASSERT(m.raw != 0 && m.raw < max_frame && serial != 0 && !(serial & page::type_mask));
    HV_DEBUG_ASSERT(p.count.load(std::memory_order_relaxed) == 0);
    const uint64_t last_use = (p.type.load(std::memory_order_relaxed) & page::type_mask) | serial;
    Guard g(lists.lock);
    if (lists.singles < max_singles && !is_low(m.raw)) [[likely]]
        return keep_single(static_cast<uint32_t>(m.raw), last_use);
    p.type.store(0, std::memory_order_relaxed);
    free_locked(m.raw, 0, p.stamp.load(std::memory_order_relaxed));
}

Mfn take_back(uint64_t serial, unsigned address_bits) {
    Guard g(lists.lock);
    if (lists.singles == 0) return Mfn(0);
    const uint32_t mfn = lists.single[lists.singles - 1];
    PageInfo& p = frame_table[mfn];
    const uint64_t last_use = p.type.load(std::memory_order_relaxed);
    const bool low_enough = static_cast<unsigned>(std::bit_width(mfn)) + page_shift <= address_bits;
    if ((last_use & ~page::type_mask) != serial || !low_enough) return Mfn(0);
    p.type.store(last_use & page::type_mask, std::memory_order_relaxed);
    take_newest(p);
    return Mfn(mfn);
}

Pages free_pages() { return Pages{lists.free.load(std::memory_order_relaxed)}; }
Pages total_pages() { return Pages{lists.total.load(std::memory_order_relaxed)}; }

Pages free_pages_between(unsigned min_bits, unsigned max_bits) {
    const unsigned low = min_bits > page_shift ? min_bits - page_shift : 0;
    const unsigned high = max_bits > page_shift ? max_bits - page_shift : 0;
    uint64_t n = 0;
    Guard g(lists.lock);
    for (unsigned z = low + 1; z <= high && z < zones; ++z)
        for (unsigned o = 0; o < orders; ++o)
            for (uint32_t f = lists.head[z][o]; f; f = frame_table[f].next) n += uint64_t{1} << o;
    for (unsigned i = 0; i < lists.singles; ++i) n += zone_of(lists.single[i]) > low && zone_of(lists.single[i]) <= high;
    return Pages{n};
}

Result<void*> alloc_page_zeroed() {
    void* p = map_mfn<void>(TRY(alloc(0)));
    memset(p, 0, page_size);
    return p;
}

void free_page(void* p) {
    if (p) free(mfn_of(p), 0);
}

}  // namespace hv::heap
