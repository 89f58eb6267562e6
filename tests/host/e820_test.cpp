// SPDX-License-Identifier: Apache-2.0
// link: parse
#include "lib/parse/e820.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace {

using parse::MemoryMap;
using parse::MemoryType;

TEST(MemoryMap, SortsMergesAndLetsRestrictionsWin) {
    MemoryMap map;
    ASSERT_TRUE(map.add(0x100000, 0x100000, 1));
    ASSERT_TRUE(map.add(0, 0x9fc00, 1));
    ASSERT_TRUE(map.add(0x180000, 0x1000, 2));
    ASSERT_TRUE(map.add(0x200000, 0x1000, 1));
    ASSERT_TRUE(map.add(0x50000, 0, 2));
    ASSERT_TRUE(map.add(0xfffc0000, 0x40000, 99));
    ASSERT_TRUE(map.sanitise());
    ASSERT_EQ(map.ranges().size(), 5u);
    EXPECT_EQ(map.ranges()[0].end, 0x9fc00u);
    EXPECT_EQ(map.ranges()[1].end, 0x180000u);
    EXPECT_EQ(map.ranges()[2].type, MemoryType::reserved);
    EXPECT_EQ(map.ranges()[3].start, 0x181000u);
    EXPECT_EQ(map.ranges()[3].end, 0x201000u);
    EXPECT_EQ(map.ranges()[4].type, MemoryType::reserved);
    EXPECT_EQ(map.ram_end(), 0x201000u);
    EXPECT_EQ(map.ram_bytes(), 0x9fc00u + 0x100000u);
    EXPECT_EQ(map.find(0x180800)->type, MemoryType::reserved);
    EXPECT_EQ(map.find(0x900000), nullptr);
    map.align_ram_to_pages();
    EXPECT_EQ(map.ranges()[0].end, 0x9f000u);
}

TEST(MemoryMap, ChangesAndLimits) {
    MemoryMap map;
    ASSERT_TRUE(map.add(0, 0x10000, 1));
    ASSERT_TRUE(map.add(0x20000, 0x10000, 1));
    ASSERT_TRUE(map.sanitise());
    ASSERT_TRUE(map.change(0x4000, 0x24000, MemoryType::ram, MemoryType::reserved));
    ASSERT_EQ(map.ranges().size(), 4u);
    EXPECT_EQ(map.ranges()[1].start, 0x4000u);
    EXPECT_EQ(map.ranges()[2].end, 0x24000u);
    map.limit_ram(0x5000);
    EXPECT_EQ(map.ram_bytes(), 0x5000u);
    EXPECT_EQ(map.ram_end(), 0x25000u);
    map.limit_ram(0x1000);
    EXPECT_EQ(map.ram_end(), 0x1000u);
}

TEST(MemoryMap, WrappingRangesAreCut) {
    MemoryMap map;
    ASSERT_TRUE(map.add(UINT64_MAX - 10, 100, 1));
    EXPECT_EQ(map.ranges()[0].end, UINT64_MAX);
    ASSERT_TRUE(map.sanitise());
    map.align_ram_to_pages();
    EXPECT_TRUE(map.ranges().empty());
    for (std::size_t i = 0; i < MemoryMap::capacity; ++i) ASSERT_TRUE(map.add(i * 2, 1, 1));
    EXPECT_EQ(map.add(9000, 1, 1).error(), base::Errc::nospc);
}

/// Byte by byte, what the definition says: the most restrictive of all ranges that cover it.
TEST(MemoryMap, AgreesWithTheDefinition) {
    std::mt19937 engine(7);
    const auto random = [&](unsigned below) { return static_cast<unsigned>(engine() % below); };
    const int rank[] = {-1, 0, 4, 2, 3, 5};
    for (int round = 0; round < 300; ++round) {
        MemoryMap map;
        std::map<unsigned, int> wanted;
        for (int n = 0; n < 12; ++n) {
            const unsigned start = random(200), size = random(60), type = 1 + random(5);
            ASSERT_TRUE(map.add(start, size, type));
            for (unsigned a = start; a < start + size; ++a)
                if (!wanted.contains(a) || rank[wanted[a]] < rank[type]) wanted[a] = static_cast<int>(type);
        }
        ASSERT_TRUE(map.sanitise());
        for (unsigned a = 0; a < 300; ++a) {
            const auto* range = map.find(a);
            ASSERT_EQ(range == nullptr ? 0 : static_cast<int>(range->type), wanted.contains(a) ? wanted[a] : 0) << a;
        }
        for (std::size_t i = 1; i < map.ranges().size(); ++i) {
            ASSERT_LE(map.ranges()[i - 1].end, map.ranges()[i].start);
            ASSERT_FALSE(map.ranges()[i - 1].end == map.ranges()[i].start && map.ranges()[i - 1].type == map.ranges()[i].type);
        }
    }
}

}  // namespace
