// SPDX-License-Identifier: Apache-2.0
// link: xenstored_core
#include "toolstack/xenstored/tree.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "toolstack/xenstored/path.hpp"

namespace xenstored {
namespace {

NodeRef node_of(const std::string& value) {
    auto n = std::make_shared<Node>();
    n->value = value;
    n->permissions = std::make_shared<const Permissions>(Permissions{{base::DomId{0}, xenstore::Access::none}});
    return n;
}

std::string dump(const Tree& tree) {
    std::string all;
    for_each_below("/", tree.root(), [&](const std::string& path, const NodeRef& n) { all += path + "=" + n->value + ";"; });
    return all;
}

TEST(Path, AcceptsWhatTheProtocolAllows) {
    for (const char* good : {"/", "/a", "/a/b", "/A-b_c@d/0"}) EXPECT_TRUE(is_valid_path(good)) << good;
    for (const char* bad : {"", "a", "//", "/a/", "/a//b", "/a b", "/a.b", "/\xc3\xa9"}) EXPECT_FALSE(is_valid_path(bad)) << bad;
}

TEST(Path, BoundsLengths) {
    EXPECT_TRUE(is_valid_path("/" + std::string(2047, 'x')));
    EXPECT_FALSE(is_valid_path("/" + std::string(2048, 'x')));
    EXPECT_TRUE(is_valid_path("/local/domain/7/" + std::string(2048, 'x')));
    EXPECT_FALSE(is_valid_path("/local/domain/7/" + std::string(2049, 'x')));
}

TEST(Path, RelativeIsBelowHome) {
    EXPECT_EQ(canonical("x/y", "/local/domain/3").value(), "/local/domain/3/x/y");
    EXPECT_EQ(canonical("/x", "/local/domain/3").value(), "/x");
    EXPECT_EQ(canonical("@releaseDomain", "/local/domain/3").value(), "@releaseDomain");
    EXPECT_FALSE(static_cast<bool>(canonical("", "/local/domain/3")));
    EXPECT_FALSE(static_cast<bool>(canonical("x/", "/local/domain/3")));
}

TEST(Tree, ListsInOrderOfCreation) {
    Tree tree;
    for (const char* name : {"/zebra", "/apple", "/mango"}) ASSERT_TRUE(tree.put(name, node_of("v"), 1));
    std::string names;
    for (const Branch* b : tree.root()->children.in_order()) names += b->name + " ";
    EXPECT_EQ(names, "zebra apple mango ");
}

TEST(Tree, NeedsTheParent) {
    Tree tree;
    EXPECT_FALSE(tree.put("/a/b", node_of("v"), 1));
    EXPECT_EQ(tree.deepest("/a/b").path, "/");
    ASSERT_TRUE(tree.put("/a", node_of("v"), 1));
    EXPECT_TRUE(tree.put("/a/b", node_of("v"), 1));
    EXPECT_EQ(tree.deepest("/a/b/c/d").path, "/a/b");
}

/// Random puts and erases against a map; every tenth version is kept and must not change afterwards.
TEST(Tree, AgreesWithAMapAndKeepsOldVersions) {
    std::mt19937 random(42);
    Tree tree;
    std::map<std::string, std::string> model;
    std::vector<std::pair<Tree, std::string>> versions;
    for (int step = 0; step < 4000; ++step) {
        std::string path;
        for (auto depth = 1 + random() % 3; depth > 0; --depth) path += "/" + std::to_string(random() % 12);
        const std::string parent(parent_of(path));
        if (random() % 4 == 0) {
            const bool was = model.contains(path);
            EXPECT_EQ(tree.erase(path, Generation(step)) != nullptr, was);
            for (auto at = model.begin(); at != model.end();) {
                at = at->first == path || at->first.starts_with(path + "/") ? model.erase(at) : std::next(at);
            }
        } else {
            const bool fits = parent == "/" || model.contains(parent);
            const NodeRef* old = tree.find(path);
            auto fresh = std::make_shared<Node>(old != nullptr ? **old : *node_of(""));
            fresh->value = std::to_string(step);
            EXPECT_EQ(tree.put(path, fresh, Generation(step)), fits);
            if (fits) model[path] = std::to_string(step);
        }
        if (step % 10 == 0) versions.emplace_back(tree, dump(tree));
    }
    size_t nodes = 0;
    for_each_below("/", tree.root(), [&](const std::string& path, const NodeRef& n) {
        if (path == "/") return;
        ++nodes;
        ASSERT_TRUE(model.contains(path)) << path;
        EXPECT_EQ(n->value, model[path]);
    });
    EXPECT_EQ(nodes, model.size());
    for (const auto& [version, then] : versions) EXPECT_EQ(dump(version), then);
}

TEST(Tree, ManyChildrenStayFast) {
    Tree tree;
    for (int i = 0; i < 20000; ++i) ASSERT_TRUE(tree.put("/" + std::to_string(i), node_of("v"), Generation(i)));
    EXPECT_EQ(tree.root()->children.size(), 20000u);
    EXPECT_NE(tree.find("/19999"), nullptr);
    EXPECT_EQ(tree.find("/20000"), nullptr);
}

}  // namespace
}  // namespace xenstored
