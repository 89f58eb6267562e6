// SPDX-License-Identifier: Apache-2.0
// link: proto
// Pages that come in parts of any length, and the zeros among them.
#include "lib/proto/saved/page_store.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

namespace {

using proto::saved::PageStore;
using Bytes = std::vector<std::byte>;

constexpr size_t page = base::page_size;

/// Pages of zeros, of one byte anywhere, and full ones.
Bytes some_pages(size_t count, std::mt19937& random) {
    Bytes out(count * page);
    for (size_t i = 0; i < count; ++i) {
        if (random() % 3 == 0)
            std::fill_n(out.begin() + static_cast<ptrdiff_t>(i * page), page, std::byte{static_cast<uint8_t>(i + 1)});
        else if (random() % 3 == 0) out[i * page + random() % page] = std::byte{9};
    }
    return out;
}

/// Zeros are told as such when there are that many.
void give(PageStore& store, std::span<const std::byte> all, std::mt19937& random) {
    for (size_t at = 0; at < all.size();) {
        const size_t wish = 1 + random() % (random() % 2 == 0 ? 200 : 3 * page);
        auto room = store.room();
        ASSERT_FALSE(room.empty());
        ASSERT_EQ(store.left(), all.size() - at);
        const size_t some = std::min(wish, room.size());
        const auto part = all.subspan(at, some);
        const bool zeros = std::ranges::all_of(part, [](std::byte b) { return b == std::byte{}; });
        if (zeros && random() % 4 != 0) {
            store.zeros_came(some);
        } else {
            std::ranges::copy(part, room.begin());
            store.came(some);
        }
        at += some;
    }
    ASSERT_EQ(store.left(), 0U);
}

TEST(PageStoreTest, EachPageIsWhatCame) {
    std::mt19937 random(5);
    for (unsigned round = 0; round < 400; ++round) {
        const size_t count = 1 + random() % 20;
        const Bytes all = some_pages(count, random);
        Bytes storage((count + random() % 3 - 1) * page), own;  // one page too short, sometimes
        PageStore store(count, storage, own);
        give(store, all, random);
        const auto pages = store.pages();
        ASSERT_EQ(pages.size(), count);
        const std::byte* place = storage.size() >= all.size() ? storage.data() : own.data();
        for (size_t i = 0; i < count; ++i) {
            const std::byte* wanted = all.data() + i * page;
            if (std::all_of(wanted, wanted + page, [](std::byte b) { return b == std::byte{}; })) {
                ASSERT_EQ(pages[i], nullptr) << i;
                continue;
            }
            ASSERT_EQ(pages[i], place) << "one behind the other";
            ASSERT_EQ(std::memcmp(pages[i], wanted, page), 0) << i;
            place += page;
        }
    }
}

TEST(PageStoreTest, TakesMemoryForWhatComes) {
    Bytes own;
    PageStore store(2000, {}, own);
    store.zeros_came(1999 * page);
    EXPECT_TRUE(own.empty());
    std::ranges::fill(store.room().first(page), std::byte{1});
    store.came(page);
    EXPECT_EQ(own.size(), page);
    EXPECT_EQ(store.pages().back(), own.data());
}

}  // namespace
