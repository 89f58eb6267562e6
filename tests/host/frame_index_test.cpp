// SPDX-License-Identifier: Apache-2.0
// link: migration
// Frames looked up in a list of pages, compared with a map.
#include "toolstack/migration/frame_index.hpp"

#include <gtest/gtest.h>

#include <map>

namespace {

using migration::FrameIndex;

TEST(FrameIndexTest, FindsWhatAMapFinds) {
    std::mt19937_64 random(3);
    for (unsigned round = 0; round < 50; ++round) {
        std::vector<uint64_t> list(1 + random() % 3000);
        FrameIndex index(list.size());
        std::map<uint64_t, uint64_t> map;
        // Runs, as memory is given; strides and large numbers, as nobody gives it; and frames that come twice.
        const uint64_t base = random() >> 24U, stride = uint64_t{1} << (random() % 20);
        for (uint64_t pfn = 0; pfn < list.size(); ++pfn) {
            list[pfn] = random() % 8 == 0 ? base + random() % 100 * stride : base + pfn * stride;
            const auto [at, added] = map.emplace(list[pfn], pfn);
            EXPECT_EQ(index.add(list, pfn), added ? std::nullopt : std::optional(at->second));
        }
        for (const auto& [frame, pfn] : map) {
            EXPECT_EQ(index.find(list, frame), pfn);
            EXPECT_EQ(index.find(list, frame + 1).has_value(), map.contains(frame + 1));
        }
    }
}

TEST(FrameIndexTest, AnEmptyOneHasNothing) {
    EXPECT_EQ(FrameIndex().find({}, 0), std::nullopt);
    const std::vector<uint64_t> list = {7};
    EXPECT_EQ(FrameIndex(0).find(list, 7), std::nullopt);
}

}  // namespace
