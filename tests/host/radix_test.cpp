// SPDX-License-Identifier: Apache-2.0
// link:
// The radix walker on a memory that records every store: whatever a CPU or a device could see between any two stores is a tree in
// which each address leads where it led before or where it shall lead.
#include "lib/base/radix.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <optional>
#include <random>
#include <utility>
#include <vector>

namespace {

using namespace base;
using radix::span_of;

struct Store {
    uint64_t at, old, value;
};

/// Memory of tables. Only what is stored is there: an address that was never allocated is a defect of the walker.
struct RecordingMemory {
    mutable std::map<uint64_t, uint64_t> words;
    std::map<uint64_t, bool> pages;  ///< address → allocated and not freed
    std::vector<Store> history;
    uint64_t next = 0x10000;
    int pages_left = 1 << 20;
    std::function<void(uint64_t at)> before_cas;  ///< called once

    uint64_t read(uint64_t at) const {
        EXPECT_TRUE(pages.contains(at & ~0xfffull) && pages.at(at & ~0xfffull)) << std::hex << at;
        return words[at];
    }
    void write(uint64_t at, uint64_t v) {
        history.push_back({at, words[at], v});
        words[at] = v;
    }
    bool cas(uint64_t at, uint64_t& old, uint64_t v) {
        if (const auto f = std::exchange(before_cas, nullptr)) f(at);
        if (words[at] != old) {
            old = words[at];
            return false;
        }
        write(at, v);
        return true;
    }
    Result<uint64_t> alloc_zeroed() {
        if (pages_left-- <= 0) return Err{Errc::nomem};
        pages[next] = true;
        next += page_size;
        return next - page_size;
    }
    void free(uint64_t at) {
        EXPECT_TRUE(pages[at]);
        pages[at] = false;
    }
    size_t in_use() const {
        size_t n = 0;
        for (const auto& [at, used] : pages) n += used;
        return n;
    }
};
static_assert(radix::TableMem<RecordingMemory>);

/// The CPU's own tables: bit 0 present, bit 7 a leaf above level 1.
struct X86 {
    static bool present(uint64_t e) { return e & 1; }
    static bool leaf(uint64_t e, unsigned level) { return level == 1 || (e & 0x80); }
    static uint64_t table(uint64_t at, unsigned) { return at | 3; }
    static uint64_t part(uint64_t e, unsigned level, unsigned i) {
        return (level == 2 ? e & ~0x80ull : e) + i * span_of(level - 1);
    }
    static uint64_t entry(uint64_t to, unsigned level) { return to | 3 | (level > 1 ? 0x80 : 0); }
};

/// EPT: present when any of read, write, execute is; the type of memory in bits 3 to 5 of leaves.
struct Ept {
    static bool present(uint64_t e) { return e & 7; }
    static bool leaf(uint64_t e, unsigned level) { return level == 1 || (e & 0x80); }
    static uint64_t table(uint64_t at, unsigned) { return at | 7; }
    static uint64_t part(uint64_t e, unsigned level, unsigned i) {
        return (level == 2 ? e & ~0x80ull : e) + i * span_of(level - 1);
    }
    static uint64_t entry(uint64_t to, unsigned level) { return to | 7 | 6 << 3 | (level > 1 ? 0x80 : 0); }
};

/// AMD's IOMMU: bits 9 to 11 say the level of the table that an entry leads to, 0 of a leaf; bits 61 and 62 read and write.
struct AmdIommu {
    static constexpr uint64_t rw = uint64_t{3} << 61;
    static bool present(uint64_t e) { return e & 1; }
    static bool leaf(uint64_t e, unsigned) { return (e >> 9 & 7) == 0; }
    static uint64_t table(uint64_t at, unsigned level) { return at | 1 | rw | (level - 1) << 9; }
    static uint64_t part(uint64_t e, unsigned level, unsigned i) { return e + i * span_of(level - 1); }
    static uint64_t entry(uint64_t to, unsigned) { return to | 1 | rw; }
};

/// Where a walker gets from `address`, whichever page size maps it; nothing: it faults.
template <class F>
std::optional<uint64_t> translate(const RecordingMemory& mem, uint64_t root, unsigned top, uint64_t address) {
    uint64_t entry = 0;
    const auto at = radix::descend(mem, root, top, 1, address,
                                   [](radix::Place p, uint64_t e) { return F::present(e) && !F::leaf(e, p.level); });
    entry = mem.read(at.slot);
    if (!F::present(entry)) return std::nullopt;
    return (entry & radix::address_mask & ~(span_of(at.level) - 1)) + (address & (span_of(at.level) - 1));
}

template <class F>
struct RadixTest : testing::Test {
    RecordingMemory mem;
    unsigned top = 4;
    uint64_t root = mem.alloc_zeroed().value();

    uint64_t set(unsigned level, uint64_t address, uint64_t to) {
        return radix::set(mem, F{}, root, top, level, address, F::entry(to, level)).value();
    }
    std::optional<uint64_t> look(uint64_t address) const { return translate<F>(mem, root, top, address); }

    /// Plays the stores from `first` on again. The first store between which and the next one an address of `looked_at` leads neither
    /// where it led before nor where it leads afterwards; nothing: there is none.
    std::optional<size_t> first_wrong_state(size_t first, const std::vector<uint64_t>& looked_at) {
        const auto all = [&] {
            std::vector<std::optional<uint64_t>> to;
            for (uint64_t a : looked_at) to.push_back(look(a));
            return to;
        };
        const auto after = all();
        for (size_t i = mem.history.size(); i > first; --i) mem.words[mem.history[i - 1].at] = mem.history[i - 1].old;
        const auto before = all();
        std::optional<size_t> wrong;
        for (size_t i = first; i < mem.history.size(); ++i) {
            mem.words[mem.history[i].at] = mem.history[i].value;
            const auto now = all();
            for (size_t k = 0; k < now.size(); ++k)
                if (!wrong && now[k] != before[k] && now[k] != after[k]) wrong = i;
        }
        return wrong;
    }
};
using Formats = testing::Types<X86, Ept, AmdIommu>;
TYPED_TEST_SUITE(RadixTest, Formats);

TYPED_TEST(RadixTest, MapsWhatWasSetAndNothingElse) {
    EXPECT_EQ(this->set(1, 0x7f12'3456'7000, 0xabc000), 0u);
    EXPECT_EQ(this->look(0x7f12'3456'7123), 0xabc123u);
    EXPECT_FALSE(this->look(0x7f12'3456'8000).has_value());
    EXPECT_FALSE(this->look(0x7f12'3456'6fff).has_value());
    EXPECT_EQ(this->mem.in_use(), 4u);
    EXPECT_EQ(this->set(1, 0x7f12'3456'7000, 0xdef000), TypeParam::entry(0xabc000, 1));
    EXPECT_EQ(this->look(0x7f12'3456'7fff), 0xdeffffu);
    EXPECT_EQ(this->mem.in_use(), 4u);
}

TYPED_TEST(RadixTest, TreesOfThreeAndFiveLevels) {
    for (unsigned levels : {3u, 5u}) {
        this->top = levels;
        this->root = this->mem.alloc_zeroed().value();
        const uint64_t address = span_of(levels) * 3 + span_of(1) * 5;
        this->set(1, address, 0x5000);
        EXPECT_EQ(this->look(address), 0x5000u) << levels;
        EXPECT_FALSE(this->look(address + span_of(levels)).has_value());
    }
}

TYPED_TEST(RadixTest, ALargePageIsSplitWithoutAGap) {
    const uint64_t two_mib = span_of(2), gib = span_of(3), at = 5 * gib;
    this->set(3, at, 64 * gib);
    const size_t first = this->mem.history.size();
    this->set(1, at + 7 * two_mib + 3 * page_size, 0x1000);
    // One store links each table, after all its own.
    EXPECT_EQ(this->mem.history.size() - first, 2 * (radix::entries + 1) + 1);
    EXPECT_EQ(this->first_wrong_state(
                  first, {at, at + 7 * two_mib, at + 7 * two_mib + 3 * page_size, at + 7 * two_mib + 4 * page_size + 9,
                          at + 8 * two_mib - 1, at + 8 * two_mib, at + gib - 1, at - 1, at + gib}),
              std::nullopt);
    EXPECT_EQ(this->look(at + 7 * two_mib + 3 * page_size), 0x1000u);
    EXPECT_EQ(this->look(at + gib - 1), 65 * gib - 1);
    EXPECT_EQ(this->look(at + 7 * two_mib + 5), 64 * gib + 7 * two_mib + 5);
}

TYPED_TEST(RadixTest, TheLoserOfARaceUsesTheWinnersTable) {
    // Another CPU links a table for the same slot right before ours.
    uint64_t winner = 0;
    this->mem.before_cas = [&](uint64_t at) {
        winner = this->mem.alloc_zeroed().value();
        this->mem.write(at, TypeParam::table(winner, this->top));
    };
    this->set(1, 0x1000, 0x2000);
    EXPECT_EQ(this->look(0x1000), 0x2000u);
    EXPECT_TRUE(this->mem.pages.at(winner));
    EXPECT_EQ(this->mem.in_use(), 4u) << "the table that lost is free again";
    // And its entry: what stood there last is what set() returns.
    this->mem.before_cas = [&](uint64_t at) { this->mem.write(at, TypeParam::entry(0x9000, 1)); };
    EXPECT_EQ(this->set(1, 0x1000, 0x3000), TypeParam::entry(0x9000, 1));
    EXPECT_EQ(this->look(0x1000), 0x3000u);
}

TYPED_TEST(RadixTest, WithoutMemoryNothingIsStoredAndNothingIsLost) {
    this->set(2, 0, span_of(3));
    ASSERT_EQ(this->mem.in_use(), 3u);
    const auto attempt = [&](int pages) {
        this->mem.pages_left = pages;
        return radix::set(this->mem, TypeParam{}, this->root, this->top, 1, span_of(4), TypeParam::entry(0x7000, 1));
    };
    // With a page each time the way becomes longer: what was made is linked, and the next attempt goes on from there.
    for (const auto& [pages, in_use] : {std::pair{0, 3u}, {1, 4u}, {1, 5u}}) {
        const auto r = attempt(pages);
        ASSERT_FALSE(r);
        EXPECT_EQ(r.error(), Errc::nomem);
        EXPECT_FALSE(this->look(span_of(4)).has_value());
        EXPECT_EQ(this->look(0x12345), span_of(3) + 0x12345);
        EXPECT_EQ(this->mem.in_use(), in_use);
    }
    ASSERT_TRUE(attempt(1));
    EXPECT_EQ(this->look(span_of(4)), 0x7000u);
    EXPECT_EQ(this->mem.in_use(), 6u);
}

TYPED_TEST(RadixTest, RandomMappingsAgreeWithAMap) {
    std::mt19937_64 random(1);
    std::map<uint64_t, uint64_t> model;  // page → page
    for (int step = 0; step < 400; ++step) {
        const unsigned level = random() % 8 == 0 ? 2 : 1;
        const uint64_t base_address = (random() % 3) * span_of(4) + (random() % 2) * span_of(3) + (random() % 2) * span_of(2);
        const uint64_t address = level == 2 ? base_address : base_address + random() % 512 * page_size;
        const uint64_t to = (1 + random() % 1000) * span_of(2);
        const size_t first = this->mem.history.size();
        const uint64_t old = this->set(level, address, to);
        const bool was_table = TypeParam::present(old) && !TypeParam::leaf(old, level);
        std::vector<uint64_t> looked_at{address, address + span_of(level) - 1, address ^ span_of(2), address ^ page_size};
        // A table that a large page replaces is the caller's: here nobody uses it any more.
        if (was_table) {
            this->mem.free(old & radix::address_mask);
        } else {
            ASSERT_EQ(this->first_wrong_state(first, looked_at), std::nullopt);
        }
        for (uint64_t off = 0; off < span_of(level); off += page_size) model[address + off] = to + off;
        for (uint64_t a : looked_at) {
            const auto it = model.find(a & ~(page_size - 1));
            const auto found = this->look(a);
            ASSERT_EQ(found.has_value(), it != model.end()) << std::hex << a;
            if (found) { ASSERT_EQ(*found, it->second + (a & (page_size - 1))); }
        }
    }
}

/// The test of the test: a table that is linked before it is complete is seen in the history.
TYPED_TEST(RadixTest, TheHistoryShowsATableThatIsLinkedTooEarly) {
    this->set(2, 0, span_of(3));
    const uint64_t slot = radix::reach(this->mem, TypeParam{}, this->root, 4, 2, 0).value();
    const uint64_t table = this->mem.alloc_zeroed().value(), leaf = this->mem.read(slot);
    const size_t first = this->mem.history.size();
    this->mem.write(slot, TypeParam::table(table, 2));
    for (unsigned i = 0; i < radix::entries; ++i) this->mem.write(table + i * sizeof(uint64_t), TypeParam::part(leaf, 2, i));
    EXPECT_EQ(this->look(0x5000), span_of(3) + 0x5000);
    EXPECT_EQ(this->first_wrong_state(first, {0x5000}), first);
}

}  // namespace
