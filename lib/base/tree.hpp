// SPDX-License-Identifier: Apache-2.0
/// Intrusive ordered tree: insertion cannot fail and allocates nothing; insertion, removal and the first one take the logarithm of how
/// many there are (a treap: its shape is random, whatever the keys are).
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

namespace base {

/// What a tree is ordered by.
struct TreeKey {
    int64_t first = 0;
    int64_t second = 0;
    constexpr auto operator<=>(const TreeKey&) const = default;
};

/// A member of an object that can be in one tree.
struct TreeNode {
    TreeNode* parent = nullptr;
    TreeNode* left = nullptr;
    TreeNode* right = nullptr;
    TreeKey key;
    uint32_t height = 0;  ///< random; a parent's is not less. 0: in no tree
    constexpr TreeNode() = default;
    TreeNode(const TreeNode&) = delete;
    TreeNode& operator=(const TreeNode&) = delete;
    bool linked() const { return height != 0; }
};

/// A tree of T by a member given by pointer. Those with equal keys stand in the order in which they came.
/// Locks: the caller's. Objects must be removed before they die.
template <class T, TreeNode T::*Member>
class Tree {
    TreeNode* root_ = nullptr;
    uint32_t random_ = 0;

    static T* owner(TreeNode* n) {
        alignas(T) static constexpr char probe[sizeof(T)] = {};
        const auto* base = reinterpret_cast<const T*>(probe);
        const auto off = reinterpret_cast<const char*>(&(base->*Member)) - probe;
        return n ? reinterpret_cast<T*>(reinterpret_cast<char*>(n) - off) : nullptr;
    }
    uint32_t random_height() {
        if (!random_) random_ = 0x9e3779b9;
        random_ ^= random_ << 13;
        random_ ^= random_ >> 17;
        random_ ^= random_ << 5;
        return random_;  // never 0
    }
    TreeNode*& link_to(TreeNode& n) {
        if (!n.parent) return root_;
        return n.parent->left == &n ? n.parent->left : n.parent->right;
    }
    /// n takes the place of its parent, which becomes its child; the order stays.
    void rotate_up(TreeNode& n) {
        TreeNode& p = *n.parent;
        TreeNode*& from_above = link_to(p);
        TreeNode*& moved = p.left == &n ? n.right : n.left;
        (p.left == &n ? p.left : p.right) = moved;
        if (moved) moved->parent = &p;
        moved = &p;
        n.parent = p.parent;
        p.parent = &n;
        from_above = &n;
    }

public:
    constexpr Tree() = default;
    Tree(const Tree&) = delete;
    Tree& operator=(const Tree&) = delete;

    bool empty() const { return !root_; }
    void insert(T& t, TreeKey key) {
        TreeNode& n = t.*Member;
        n.key = key;
        n.height = random_height();
        n.left = n.right = n.parent = nullptr;
        TreeNode** at = &root_;
        while (*at) {
            n.parent = *at;
            at = key < n.parent->key ? &n.parent->left : &n.parent->right;
        }
        *at = &n;
        while (n.parent && n.parent->height < n.height) rotate_up(n);
    }
    void remove(T& t) {
        TreeNode& n = t.*Member;
        while (n.left || n.right) {
            const bool from_left = !n.right || (n.left && n.left->height > n.right->height);
            rotate_up(from_left ? *n.left : *n.right);
        }
        link_to(n) = nullptr;
        n.parent = nullptr;
        n.height = 0;
    }
    T* first() const {
        TreeNode* n = root_;
        while (n && n->left) n = n->left;
        return owner(n);
    }
    /// The one after `t`; null: it is the last.
    static T* next(T& t) {
        TreeNode* n = &(t.*Member);
        if (n->right) {
            n = n->right;
            while (n->left) n = n->left;
            return owner(n);
        }
        while (n->parent && n->parent->right == n) n = n->parent;
        return owner(n->parent);
    }
};

}  // namespace base
