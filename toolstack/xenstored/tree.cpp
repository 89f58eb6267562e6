// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xenstored/tree.hpp"

#include <algorithm>
#include <random>

#include "toolstack/xenstored/path.hpp"

namespace xenstored {

namespace {

/// FNV-1a from a secret start, finished by a multiply-and-shift mix.
uint64_t priority_of(std::string_view name) {
    static const uint64_t secret = [] {
        std::random_device source;
        return (uint64_t{source()} << 32) | source();
    }();
    uint64_t h = secret;
    for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9ULL;
    return h ^ (h >> 32);
}

std::shared_ptr<Branch> copy_with(const Branch& b, BranchRef left, BranchRef right) {
    auto copy = std::make_shared<Branch>(b);
    copy->left = std::move(left);
    copy->right = std::move(right);
    return copy;
}

bool above(const Branch& a, const Branch& b) { return a.priority > b.priority; }

BranchRef insert(const BranchRef& at, const std::shared_ptr<Branch>& fresh) {
    if (!at) return fresh;
    if (fresh->name < at->name) {
        BranchRef left = insert(at->left, fresh);
        if (!above(*left, *at)) return copy_with(*at, std::move(left), at->right);
        // Rotate right: the new left child becomes the top.
        return copy_with(*left, left->left, copy_with(*at, left->right, at->right));
    }
    BranchRef right = insert(at->right, fresh);
    if (!above(*right, *at)) return copy_with(*at, at->left, std::move(right));
    return copy_with(*right, copy_with(*at, at->left, right->left), right->right);
}

BranchRef replace(const BranchRef& at, std::string_view name, NodeRef node) {
    if (name < at->name) return copy_with(*at, replace(at->left, name, std::move(node)), at->right);
    if (at->name < name) return copy_with(*at, at->left, replace(at->right, name, std::move(node)));
    auto copy = std::make_shared<Branch>(*at);
    copy->node = std::move(node);
    return copy;
}

/// Joins two treaps, all names of `a` before those of `b`.
BranchRef join(const BranchRef& a, const BranchRef& b) {
    if (!a) return b;
    if (!b) return a;
    if (above(*a, *b)) return copy_with(*a, a->left, join(a->right, b));
    return copy_with(*b, join(a, b->left), b->right);
}

BranchRef without(const BranchRef& at, std::string_view name) {
    if (name < at->name) return copy_with(*at, without(at->left, name), at->right);
    if (at->name < name) return copy_with(*at, at->left, without(at->right, name));
    return join(at->left, at->right);
}

void collect(const Branch* at, std::vector<const Branch*>& out) {
    if (at == nullptr) return;
    collect(at->left.get(), out);
    out.push_back(at);
    collect(at->right.get(), out);
}

/// Rebuilds the path to `rest` below `at`; null when an ancestor is missing.
NodeRef put_below(const NodeRef& at, std::string_view rest, NodeRef&& node, Generation stamp) {
    if (rest.empty()) return std::move(node);
    const std::string_view name = next_component(rest);
    const NodeRef* child = at->children.find(name);
    if (child == nullptr && !rest.empty()) return nullptr;
    NodeRef fresh = child == nullptr ? std::move(node) : put_below(*child, rest, std::move(node), stamp);
    if (!fresh) return nullptr;
    auto copy = std::make_shared<Node>(*at);
    if (child == nullptr) copy->listing = stamp;
    copy->children.put(name, std::move(fresh));
    return copy;
}

NodeRef erase_below(const NodeRef& at, std::string_view rest, Generation stamp, NodeRef& removed) {
    const std::string_view name = next_component(rest);
    const NodeRef* child = at->children.find(name);
    if (child == nullptr) return nullptr;
    auto copy = std::make_shared<Node>(*at);
    if (rest.empty()) {
        removed = *child;
        copy->listing = stamp;
        copy->children.erase(name);
        return copy;
    }
    NodeRef fresh = erase_below(*child, rest, stamp, removed);
    if (!fresh) return nullptr;
    copy->children.put(name, std::move(fresh));
    return copy;
}

}  // namespace

const NodeRef* Children::find(std::string_view name) const {
    const Branch* at = root_.get();
    while (at != nullptr) {
        const auto order = name <=> std::string_view(at->name);
        if (order == 0) return &at->node;
        at = order < 0 ? at->left.get() : at->right.get();
    }
    return nullptr;
}

void Children::put(std::string_view name, NodeRef node) {
    if (find(name) != nullptr) {
        root_ = replace(root_, name, std::move(node));
        return;
    }
    auto fresh = std::make_shared<Branch>();
    fresh->name = name;
    fresh->node = std::move(node);
    fresh->order = next_order_++;
    fresh->priority = priority_of(name);
    root_ = insert(root_, fresh);
    ++count_;
    name_bytes_ += name.size() + 1;
}

bool Children::erase(std::string_view name) {
    if (find(name) == nullptr) return false;
    root_ = without(root_, name);
    --count_;
    name_bytes_ -= name.size() + 1;
    return true;
}

std::vector<const Branch*> Children::in_order() const {
    std::vector<const Branch*> all;
    all.reserve(count_);
    collect(root_.get(), all);
    std::sort(all.begin(), all.end(), [](const Branch* a, const Branch* b) { return a->order < b->order; });
    return all;
}

Tree::Tree() {
    auto root = std::make_shared<Node>();
    root->permissions = std::make_shared<const Permissions>(Permissions{{base::DomId{0}, xenstore::Access::none}});
    root_ = std::move(root);
}

const NodeRef* Tree::find(std::string_view path) const {
    std::string_view rest = path.substr(1);
    const NodeRef* at = &root_;
    while (!rest.empty() && at != nullptr) at = (*at)->children.find(next_component(rest));
    return at;
}

Tree::Deepest Tree::deepest(std::string_view path) const {
    std::string_view rest = path.substr(1);
    Deepest best{&root_, "/"};
    while (!rest.empty()) {
        const std::string_view name = next_component(rest);
        const NodeRef* child = (*best.node)->children.find(name);
        if (child == nullptr) break;
        best = {child, path.substr(0, static_cast<size_t>(name.data() + name.size() - path.data()))};
    }
    return best;
}

bool Tree::put(std::string_view path, NodeRef node, Generation stamp) {
    NodeRef fresh = put_below(root_, path.substr(1), std::move(node), stamp);
    if (!fresh) return false;
    root_ = std::move(fresh);
    return true;
}

NodeRef Tree::erase(std::string_view path, Generation stamp) {
    if (path == "/") return nullptr;
    NodeRef removed;
    NodeRef fresh = erase_below(root_, path.substr(1), stamp, removed);
    if (fresh) root_ = std::move(fresh);
    return removed;
}

namespace {

void look_at(const Branch* branch, const Step& parent, const std::function<bool(const Step&, const NodeRef&)>& visit) {
    for (; branch != nullptr; branch = branch->right.get()) {
        look_at(branch->left.get(), parent, visit);
        const Step at{&parent, branch->name};
        if (visit(at, branch->node)) look_at(branch->node->children.any_order(), at, visit);
    }
}

}  // namespace

void look_below(const Step& at, const NodeRef& node, const std::function<bool(const Step&, const NodeRef&)>& visit) {
    look_at(node->children.any_order(), at, visit);
}

void for_each_below(const std::string& path, const NodeRef& node,
                    const std::function<void(const std::string&, const NodeRef&)>& visit) {
    visit(path, node);
    for (const Branch* child : node->children.in_order()) for_each_below(joined(path, child->name), child->node, visit);
}

}  // namespace xenstored
