// SPDX-License-Identifier: Apache-2.0
// link: hvcore
#include "hypervisor/mm/heap.hpp"

#include <algorithm>
#include <bit>
#include <map>
#include <random>

#include "hypervisor/mm/tlb.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;

/// How many blocks of each order could be taken: the shape of free memory when everything has merged.
std::vector<unsigned> shape() {
    std::vector<unsigned> counts;
    std::vector<std::pair<Mfn, unsigned>> all;
    for (unsigned order = max_order + 1; order-- > 0;) {
        unsigned n = 0;
        while (auto m = heap::alloc(order)) {
            all.emplace_back(m.value(), order);
            ++n;
        }
        counts.push_back(n);
    }
    for (auto [m, order] : all) heap::free(m, order);
    return counts;
}

/// A number below `n`.
struct Dice {
    std::mt19937 source;
    explicit Dice(unsigned seed) : source(seed) {}
    unsigned operator()(unsigned n) { return static_cast<unsigned>(source() % n); }
};

TEST(Heap, RandomUseNeverOverlapsAndMergesBack) {
    machine();
    const auto before = shape();
    const uint64_t free = heap::free_pages().n;
    Dice random(1);
    std::map<uint64_t, unsigned> blocks;  // first frame -> order
    uint64_t held = 0;
    for (int step = 0; step < 20000; ++step) {
        if (random(2) || blocks.empty()) {
            const unsigned order = std::min(random(12), random(12));
            const unsigned bits = random(4) ? 64 : 20 + random(8);
            auto m = heap::alloc(order, bits);
            if (!m) continue;
            const uint64_t first = m.value().raw;
            const uint64_t n = uint64_t{1} << order;
            ASSERT_EQ(first % n, 0u);
            ASSERT_NE(first, 0u);
            ASSERT_LE(first + n, max_frame);
            ASSERT_LE(std::bit_width((first + n - 1) << 12), static_cast<int>(bits));
            auto next = blocks.lower_bound(first);
            if (next != blocks.end()) { ASSERT_LE(first + n, next->first); }
            if (next != blocks.begin()) {
                --next;
                ASSERT_LE(next->first + (uint64_t{1} << next->second), first);
            }
            blocks[first] = order;
            held += n;
        } else {
            auto victim = std::next(blocks.begin(), random(static_cast<unsigned>(blocks.size())));
            heap::free(Mfn(victim->first), victim->second);
            held -= uint64_t{1} << victim->second;
            blocks.erase(victim);
        }
        ASSERT_EQ(heap::free_pages().n + held, free);
    }
    for (auto [first, order] : blocks) heap::free(Mfn(first), order);
    EXPECT_EQ(heap::free_pages().n, free);
    EXPECT_EQ(shape(), before);
}

TEST(Heap, AddressLimitsAreKept) {
    machine();
    std::vector<Mfn> low;
    const uint64_t below_16m = heap::free_pages_between(0, 24).n;
    while (auto m = heap::alloc(0, 24)) low.push_back(m.value());
    EXPECT_EQ(low.size(), below_16m);
    EXPECT_FALSE(heap::alloc(0, 12));
    EXPECT_TRUE(std::all_of(low.begin(), low.end(), [](Mfn m) { return m.address() < (1u << 24); }));
    for (Mfn m : low) heap::free(m, 0);
    EXPECT_EQ(heap::free_pages_between(0, 24).n, below_16m);
    // Without a limit the high frames go first.
    auto high = must(heap::alloc(0));
    EXPECT_GT(high.address(), uint64_t{1} << 24);
    heap::free(high, 0);
}

TEST(Heap, RangesAreFreedPieceByPiece) {
    machine();
    const Resources before;
    const Mfn m = must(heap::alloc(4));
    heap::free_range(m + Pages{1}, Pages{15});
    heap::free_range(m, Pages{1});
    EXPECT_EQ(Resources(), before);
}

TEST(Heap, FramesThatWaitApartAreMergedBeforeAnythingFails) {
    machine();
    constexpr unsigned order = 4;
    const auto take_all = [] {
        std::vector<Mfn> blocks;
        while (auto m = heap::alloc(order)) blocks.push_back(m.value());
        return blocks;
    };
    const std::vector<Mfn> all = take_all();
    for (const Mfn m : all) heap::free(m, order);
    const Mfn block = must(heap::alloc(order));
    for (uint64_t i = 0; i < uint64_t{1} << order; ++i) heap::free(block + Pages{i}, 0);
    const Mfn newest = must(heap::alloc(0));
    EXPECT_EQ(newest, block + Pages{(uint64_t{1} << order) - 1}) << "what was freed last comes first";
    heap::free(newest, 0);
    const std::vector<Mfn> again = take_all();
    EXPECT_EQ(again.size(), all.size());
    for (const Mfn m : again) heap::free(m, order);
}

TEST(Heap, ReuseWaitsForTheTlb) {
    machine();
    const Mfn m = must(heap::alloc(0));
    // A guest used it until now: every CPU may still translate to it.
    tlb_stamp(page_of(m));
    heap::free(m, 0);
    const uint64_t before = host::record(1).tlb_flushes.load();
    std::vector<Mfn> taken;
    do taken.push_back(must(heap::alloc(0)));
    while (taken.back() != m);
    EXPECT_GT(host::record(1).tlb_flushes.load(), before);
    for (Mfn t : taken) heap::free(t, 0);

    // A CPU that flushed after the last use is left alone.
    for (unsigned c = 0; c < test_cpus; ++c) tlb_flushed(cpus[c]);
    const uint64_t quiet = host::record(1).tlb_flushes.load();
    tlb_flush_stamped(tlb_clock.load() - test_cpus - 1, online_cpus());
    EXPECT_EQ(host::record(1).tlb_flushes.load(), quiet);
}

TEST(Heap, TlbClockMayWrap) {
    machine();
    tlb_clock = UINT32_MAX - 1;
    for (unsigned c = 0; c < test_cpus; ++c) cpus[c].tlb_time = UINT32_MAX - 1;
    PageInfo p;
    tlb_stamp(p);
    tlb_flushed(cpus[0]);
    tlb_flushed(cpus[0]);  // wraps: the clock stands
    EXPECT_EQ(tlb_clock.load(), 0u);
    const uint64_t before = host::record(2).tlb_flushes.load();
    tlb_flush_before_reuse(p, online_cpus());
    EXPECT_GT(host::record(2).tlb_flushes.load(), before);
    EXPECT_EQ(tlb_clock.load(), 1u);
    // Stamps from before the wrap still count as recent.
    const uint64_t again = host::record(2).tlb_flushes.load();
    tlb_flush_before_reuse(p, online_cpus());
    EXPECT_GT(host::record(2).tlb_flushes.load(), again);
}

struct Object {
    uint8_t* p;
    size_t n;
    uint8_t mark;
};

TEST(Slab, ObjectsAreZeroedAlignedAndApart) {
    machine();
    const Resources before;
    Dice random(2);
    std::vector<Object> live;
    for (int step = 0; step < 20000; ++step) {
        if (live.size() < 600 && random(5) < 3) {
            const size_t n = 1 + (random(8) == 0 ? random(20000) : random(2100));
            auto* p = static_cast<uint8_t*>(must(heap::alloc_bytes(n)));
            ASSERT_TRUE(std::all_of(p, p + n, [](uint8_t b) { return b == 0; }));
            ASSERT_EQ(reinterpret_cast<uintptr_t>(p) % (n <= 32 ? 32 : n >= 2048 ? 2048 : 64), 0u) << n;
            const auto mark = static_cast<uint8_t>(1 + random(255));
            std::memset(p, mark, n);
            live.push_back({p, n, mark});
        } else if (!live.empty()) {
            const size_t i = random(static_cast<unsigned>(live.size()));
            const Object o = live[i];
            live[i] = live.back();
            live.pop_back();
            ASSERT_TRUE(std::all_of(o.p, o.p + o.n, [&](uint8_t b) { return b == o.mark; }));
            heap::free_bytes(o.p, o.n);
        }
    }
    EXPECT_GT(heap::bytes_in_use(), before.bytes);
    for (const Object& o : live) heap::free_bytes(o.p, o.n);
    EXPECT_EQ(Resources(), before);
}

TEST(Slab, RunsOutWithAnError) {
    machine();
    const Resources before;
    std::vector<void*> all;
    while (auto p = heap::alloc_bytes(2048)) all.push_back(p.value());
    EXPECT_FALSE(heap::alloc_bytes(page_size));
    EXPECT_FALSE(heap::alloc_bytes(size_t{1} << 40));
    for (void* p : all) heap::free_bytes(p, 2048);
    EXPECT_EQ(Resources(), before);
}

}  // namespace
