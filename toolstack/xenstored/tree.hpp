// SPDX-License-Identifier: Apache-2.0
/// The tree of nodes, as a persistent (copy-on-write) structure: a copy of a Tree is one pointer, so a transaction's
/// snapshot is free, and a change copies only the path to it.
///
///   Tree ── root Node ─┬─ value, permissions, generations
///                      └─ Children: a treap of (name, Node), shared with older versions where unchanged
///
/// Costs: find, put, erase O(depth x log width). Order of creation is kept for listing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "toolstack/xenstore/client.hpp"

namespace xenstored {

using xenstore::Permission;
using xenstore::Permissions;

/// Numbers changes: later is greater, no two changes share one.
using Generation = uint64_t;

struct Node;
using NodeRef = std::shared_ptr<const Node>;

/// One child in its parent's treap (ordered by name, heap by priority). Immutable once shared.
struct Branch {
    std::string name;
    NodeRef node;
    uint64_t order;     ///< position in order of creation
    uint64_t priority;  ///< a keyed hash of the name: guests choose names and must not choose the shape
    std::shared_ptr<const Branch> left, right;
};
using BranchRef = std::shared_ptr<const Branch>;

/// The children of one node.
class Children {
public:
    const NodeRef* find(std::string_view name) const;
    /// Adds or replaces.
    void put(std::string_view name, NodeRef node);
    /// True if it was there.
    bool erase(std::string_view name);
    size_t size() const { return count_; }
    /// Bytes of all names, each with its terminating nul: the length of the DIRECTORY reply.
    size_t name_bytes() const { return name_bytes_; }
    /// In order of creation.
    std::vector<const Branch*> in_order() const;
    /// The root of the treap; null when there are none.
    const Branch* any_order() const { return root_.get(); }

private:
    BranchRef root_;
    size_t count_ = 0;
    size_t name_bytes_ = 0;
    uint64_t next_order_ = 0;
};

struct Node {
    std::string value;
    std::shared_ptr<const Permissions> permissions;  ///< never null, never empty
    Generation own = 0;                              ///< last change of value or permissions; creation
    Generation listing = 0;                          ///< last change of the set of children
    Children children;

    base::DomId owner() const { return permissions->front().domid; }
};

class Tree {
public:
    /// A root owned by domain 0, closed to others.
    Tree();

    /// The node, or null. `path` must be valid and absolute.
    const NodeRef* find(std::string_view path) const;
    /// The deepest node on the way to `path` that exists, and its path. Never null: the root always exists.
    struct Deepest {
        const NodeRef* node;
        std::string_view path;  ///< points into the argument; "/" for the root
    };
    Deepest deepest(std::string_view path) const;
    /// Replaces or adds the node; its parent must exist, else false. `stamp` marks the parent's listing when it is added.
    bool put(std::string_view path, NodeRef node, Generation stamp);
    /// Takes out a node with all below; null if it was not there. The root cannot be removed.
    NodeRef erase(std::string_view path, Generation stamp);
    const NodeRef& root() const { return root_; }

private:
    NodeRef root_;
};

/// A node on the way down, while a walk lasts.
struct Step {
    const Step* above;  ///< null for where the walk began
    std::string_view name;
    std::string path() const { return above == nullptr ? std::string() : above->path() + "/" + std::string(name); }
};

/// Calls `visit(step, node)` for every node below `node`, parents first, children in no order that means something; goes no deeper
/// where it returns false. Paths are made only by who asks for them: a walk of a large tree that looks for few nodes.
void look_below(const Step& at, const NodeRef& node, const std::function<bool(const Step&, const NodeRef&)>& visit);

/// Calls `visit(path, node)` for `node` and all below, parents first, children in order of creation.
void for_each_below(const std::string& path, const NodeRef& node,
                    const std::function<void(const std::string&, const NodeRef&)>& visit);

}  // namespace xenstored
