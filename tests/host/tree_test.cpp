// SPDX-License-Identifier: Apache-2.0
#include "lib/base/tree.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace {

struct Leaf {
    int number = 0;
    base::TreeNode node;
};
using Leaves = base::Tree<Leaf, &Leaf::node>;

std::vector<int> numbers(const Leaves& tree) {
    std::vector<int> out;
    for (Leaf* l = tree.first(); l; l = Leaves::next(*l)) out.push_back(l->number);
    return out;
}

TEST(Tree, EqualKeysStandInTheOrderInWhichTheyCame) {
    Leaves tree;
    EXPECT_TRUE(tree.empty());
    EXPECT_EQ(tree.first(), nullptr);
    Leaf leaves[6];
    for (int i = 0; i < 6; ++i) {
        leaves[i].number = i;
        tree.insert(leaves[i], {i % 2, 7});
    }
    EXPECT_EQ(numbers(tree), (std::vector<int>{0, 2, 4, 1, 3, 5}));
    tree.remove(leaves[2]);
    EXPECT_FALSE(leaves[2].node.linked());
    tree.insert(leaves[2], {0, 7});
    EXPECT_EQ(numbers(tree), (std::vector<int>{0, 4, 2, 1, 3, 5}));
    for (Leaf& l : leaves) tree.remove(l);
    EXPECT_TRUE(tree.empty());
}

TEST(Tree, TheFirstPartOfTheKeyCountsMore) {
    Leaves tree;
    Leaf a{1, {}}, b{2, {}}, c{3, {}};
    tree.insert(a, {1, INT64_MIN});
    tree.insert(b, {0, INT64_MAX});
    tree.insert(c, {INT64_MIN, 0});
    EXPECT_EQ(numbers(tree), (std::vector<int>{3, 2, 1}));
}

TEST(Tree, IsAsASortedListIs) {
    std::mt19937 random(1);
    std::vector<Leaf> leaves(500);
    std::vector<Leaf*> there;  // sorted
    Leaves tree;
    for (int step = 0; step < 20000; ++step) {
        Leaf& l = leaves[random() % leaves.size()];
        if (l.node.linked()) {
            tree.remove(l);
            there.erase(std::find(there.begin(), there.end(), &l));
        } else {
            l.number = static_cast<int>(&l - leaves.data());
            const base::TreeKey key{static_cast<int64_t>(random() % 8) - 4, static_cast<int64_t>(random() % 16)};
            tree.insert(l, key);
            there.insert(std::upper_bound(there.begin(), there.end(), key,
                                          [](const base::TreeKey& k, const Leaf* other) { return k < other->node.key; }),
                         &l);
        }
        ASSERT_EQ(tree.first(), there.empty() ? nullptr : there.front());
        if (step % 100) continue;
        std::vector<int> wanted;
        for (const Leaf* one : there) wanted.push_back(one->number);
        ASSERT_EQ(numbers(tree), wanted) << step;
    }
}

/// How far the path is from this one to the root.
unsigned depth(const base::TreeNode* n) {
    unsigned d = 0;
    for (; n->parent; n = n->parent) ++d;
    return d;
}

TEST(Tree, IsFlatWhateverTheOrderOfKeys) {
    constexpr int64_t count = 4096;
    for (const int order : {0, 1, 2}) {
        std::vector<Leaf> leaves(count);
        Leaves tree;
        for (int64_t i = 0; i < count; ++i)
            tree.insert(leaves[static_cast<size_t>(i)], {order == 0 ? i : order == 1 ? -i : 0, 0});
        unsigned most = 0;
        for (const Leaf& l : leaves) most = std::max(most, depth(&l.node));
        EXPECT_LT(most, 48u) << order;
    }
}

}  // namespace
