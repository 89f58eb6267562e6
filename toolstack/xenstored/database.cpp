// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xenstored/database.hpp"

#include <algorithm>

#include "toolstack/xenstored/path.hpp"

namespace xenstored {

using base::Err;

namespace {

constexpr size_t permission_bytes = 8;  // what one entry counts towards a node's size

bool is_me(const Caller& caller, DomId domid) { return caller.domid == domid || caller.target == domid; }

Caller as_creator(DomId domid) { return Caller{domid, std::nullopt}; }

/// What was seen of one path is still so.
bool unchanged(const Tree& then, const Tree& now, const std::string& path, uint8_t what) {
    const NodeRef* before = then.find(path);
    const NodeRef* after = now.find(path);
    if (before == nullptr || after == nullptr) return before == after;
    if ((what & seen_subtree) != 0 && *before != *after) return false;
    if ((what & seen_listing) != 0 && (*before)->listing != (*after)->listing) return false;
    return (*before)->own == (*after)->own;
}

void count_subtree(Accounts& accounts, const NodeRef& node, int64_t sign) {
    for_each_below("/", node, [&](const std::string&, const NodeRef& n) { accounts.add(n->owner(), sign); });
}

}  // namespace

bool owns(const Caller& caller, const Permissions& permissions) {
    return caller.privileged() || is_me(caller, permissions.front().domid);
}

Access rights_of(const Caller& caller, const Permissions& permissions) {
    if (owns(caller, permissions)) return Access::both;
    for (size_t i = 1; i < permissions.size(); ++i) {
        if (is_me(caller, permissions[i].domid)) return permissions[i].access;
    }
    return permissions.front().access;
}

Status Database::note(const Scope& scope, std::string_view path, uint8_t what) const {
    if (scope.transaction == nullptr) return base::ok;
    auto& seen = scope.transaction->seen;
    const auto at = seen.find(path);
    if (at != seen.end()) {
        at->second = static_cast<uint8_t>(at->second | what);
        return base::ok;
    }
    if (!scope.caller.privileged() && seen.size() >= quota_.transaction_nodes) return Err{Errc::nospc};
    TRY(charge(scope, path.size()));
    seen.emplace(std::string(path), what);
    return base::ok;
}

Status Database::charge(const Scope& scope, size_t bytes) const {
    Transaction& t = *scope.transaction;
    if (!scope.caller.privileged() && t.bytes + bytes > quota_.transaction_bytes) return Err{Errc::nospc};
    t.bytes += bytes;
    return base::ok;
}

/// A missing node is reported as missing only to those who could see that much: the deepest ancestor decides.
Result<NodeRef> Database::node_for(const Scope& scope, std::string_view path, Access wanted, uint8_t what) const {
    const Tree::Deepest deepest = tree_of(scope).deepest(path);
    TRY(note(scope, deepest.path, deepest.path == path ? what : uint8_t{seen_node}));
    const Node& node = **deepest.node;
    const bool allowed = allows(rights_of(scope.caller, *node.permissions), wanted);
    if (deepest.path == path) return allowed ? Result<NodeRef>(*deepest.node) : Result<NodeRef>(Err{Errc::access});
    // Its first missing component stands for the whole rest: should it appear, the answer is another one.
    const size_t from = deepest.path == "/" ? 1 : deepest.path.size() + 1;
    TRY(note(scope, path.substr(0, path.find('/', from)), seen_node));
    return Err{allowed ? Errc::noent : Errc::access};
}

Result<NodeRef> Database::read(const Scope& scope, std::string_view path) const {
    return node_for(scope, path, Access::read, seen_node);
}

Result<NodeRef> Database::list(const Scope& scope, std::string_view path) const {
    return node_for(scope, path, Access::read, seen_node | seen_listing);
}

Status Database::write(const Scope& scope, const std::string& path, std::string value) {
    auto node = node_for(scope, path, Access::write, seen_node);
    if (!node && node.error() != Errc::noent) return Err{node.error()};
    return submit(scope, Change{Change::Kind::write, path, std::move(value), {}, scope.caller.domid});
}

Status Database::mkdir(const Scope& scope, const std::string& path) {
    auto node = node_for(scope, path, Access::write, seen_node);
    if (node) return base::ok;
    if (node.error() != Errc::noent) return Err{node.error()};
    return submit(scope, Change{Change::Kind::mkdir, path, {}, {}, scope.caller.domid});
}

Status Database::remove(const Scope& scope, const std::string& path) {
    if (path == "/") return Err{Errc::inval};
    auto node = node_for(scope, path, Access::write, seen_node | seen_subtree);
    if (!node) {
        if (node.error() != Errc::noent) return Err{node.error()};
        // Nothing to remove is fine where the parent is there.
        if (tree_of(scope).find(parent_of(path)) == nullptr) return Err{Errc::noent};
        return base::ok;
    }
    return submit(scope, Change{Change::Kind::remove, path, {}, {}, scope.caller.domid});
}

Status Database::set_permissions(const Scope& scope, const std::string& path, Permissions permissions) {
    if (permissions.empty()) return Err{Errc::inval};
    const NodeRef node = TRY(node_for(scope, path, Access::write, seen_node));
    if (!owns(scope.caller, *node->permissions)) return Err{Errc::access};
    if (!scope.caller.privileged()) {
        if (permissions.size() > quota_.permissions) return Err{Errc::nospc};
        if (permissions.front().domid != node->owner()) return Err{Errc::perm};
    }
    return submit(scope, Change{Change::Kind::set_permissions, path, {}, std::move(permissions), scope.caller.domid});
}

Status Database::submit(const Scope& scope, Change change) {
    Applied done{change.kind, change.path, {}};
    if (scope.transaction != nullptr) {
        Transaction& t = *scope.transaction;
        TRY(charge(scope, change.path.size() + change.value.size()));
        Tree next = t.tree;
        Accounts accounts = t.accounts;
        TRY(apply(next, accounts, change, done));
        t.tree = std::move(next);
        t.accounts = std::move(accounts);
        if (!done.nodes.empty()) t.changes.push_back(std::move(change));
        return base::ok;
    }
    Tree next = tree_;
    Accounts difference(&accounts_);
    TRY(apply(next, difference, change, done));
    std::vector<Applied> all;
    all.push_back(std::move(done));
    install(std::move(next), difference, std::move(all));
    return base::ok;
}

Status Database::commit(const Transaction& transaction) {
    if (transaction.doomed) return Err{Errc::again};
    if (transaction.base.root() != tree_.root()) {
        for (const auto& [path, what] : transaction.seen) {
            if (!unchanged(transaction.base, tree_, path, what)) return Err{Errc::again};
        }
    }
    Tree next = tree_;
    Accounts difference(&accounts_);
    std::vector<Applied> all;
    for (const Change& change : transaction.changes) {
        Applied done{change.kind, change.path, {}};
        TRY(apply(next, difference, change, done));
        all.push_back(std::move(done));
    }
    install(std::move(next), difference, std::move(all));
    return base::ok;
}

void Database::install(Tree tree, const Accounts& difference, std::vector<Applied> done) {
    tree_ = std::move(tree);
    accounts_.merge(difference);
    for (Applied& one : done) {
        if (!one.nodes.empty()) applied_.push_back(std::move(one));
    }
}

Status Database::apply(Tree& tree, Accounts& accounts, const Change& change, Applied& done) {
    switch (change.kind) {
        case Change::Kind::write: return apply_write(tree, accounts, change, done);
        case Change::Kind::mkdir:
            return tree.find(change.path) != nullptr ? Status(base::ok) : create(tree, accounts, change, done);
        case Change::Kind::set_permissions: return apply_permissions(tree, accounts, change, done);
        case Change::Kind::remove: apply_remove(tree, accounts, change, done); return base::ok;
    }
    return Err{Errc::inval};
}

Status Database::apply_write(Tree& tree, Accounts& accounts, const Change& change, Applied& done) {
    const NodeRef* found = tree.find(change.path);
    if (found == nullptr) return create(tree, accounts, change, done);
    const NodeRef before = *found;
    auto after = std::make_shared<Node>(*before);
    after->value = change.value;
    after->own = ++generation_;
    TRY(check_size(change.creator, *after));
    done.nodes.push_back({change.path, before, after});
    tree.put(change.path, std::move(after), generation_);
    return base::ok;
}

/// Makes the node and its missing parents. A new node has its parent's permissions; an unprivileged creator owns it.
Status Database::create(Tree& tree, Accounts& accounts, const Change& change, Applied& done) {
    const Tree::Deepest top = tree.deepest(change.path);
    auto permissions = (*top.node)->permissions;
    const bool privileged = as_creator(change.creator).privileged();
    if (!privileged && permissions->front().domid != change.creator) {
        auto own = std::make_shared<Permissions>(*permissions);
        own->front().domid = change.creator;
        permissions = std::move(own);
    }
    size_t end = top.path == "/" ? 0 : top.path.size();
    while (end < change.path.size()) {
        end = std::min(change.path.find('/', end + 1), change.path.size());
        std::string path = change.path.substr(0, end);
        auto node = std::make_shared<Node>();
        if (end == change.path.size()) node->value = change.value;
        node->permissions = permissions;
        node->own = node->listing = ++generation_;
        TRY(check_size(change.creator, *node));
        accounts.add(node->owner(), 1);
        if (!privileged && accounts.count(change.creator) > static_cast<int64_t>(quota_.nodes)) return Err{Errc::nospc};
        done.nodes.push_back({path, nullptr, node});
        tree.put(path, std::move(node), generation_);
    }
    // The node that got a new child has grown by its name.
    return check_size(change.creator, **tree.find(top.path));
}

Status Database::apply_permissions(Tree& tree, Accounts& accounts, const Change& change, Applied& done) {
    const NodeRef* found = tree.find(change.path);
    if (found == nullptr) return Err{Errc::noent};
    const NodeRef before = *found;
    auto after = std::make_shared<Node>(*before);
    after->permissions = std::make_shared<const Permissions>(change.permissions);
    after->own = ++generation_;
    TRY(check_size(change.creator, *after));
    accounts.add(before->owner(), -1);
    accounts.add(after->owner(), 1);
    done.nodes.push_back({change.path, before, after});
    tree.put(change.path, std::move(after), generation_);
    return base::ok;
}

void Database::apply_remove(Tree& tree, Accounts& accounts, const Change& change, Applied& done) {
    NodeRef removed = tree.erase(change.path, ++generation_);
    if (!removed) return;
    count_subtree(accounts, removed, -1);
    done.nodes.push_back({change.path, std::move(removed), nullptr});
}

Status Database::check_size(DomId creator, const Node& node) const {
    if (as_creator(creator).privileged()) return base::ok;
    const size_t size = node.value.size() + node.children.name_bytes() + node.permissions->size() * permission_bytes;
    return size > quota_.node_size ? Status(Err{Errc::nospc}) : Status(base::ok);
}

void Database::forget_domain(DomId domid) {
    std::vector<Change> changes;
    const auto names_it = [&](const Permission& p) { return p.domid == domid; };
    const auto withdraw = [&](const std::string& path, const NodeRef& node) {
        if (std::none_of(node->permissions->begin() + 1, node->permissions->end(), names_it)) return;
        Permissions rest = *node->permissions;
        rest.erase(std::remove_if(rest.begin() + 1, rest.end(), names_it), rest.end());
        changes.push_back({Change::Kind::set_permissions, path, {}, std::move(rest), DomId{0}});
    };
    withdraw("/", tree_.root());
    look_below({nullptr, ""}, tree_.root(), [&](const Step& at, const NodeRef& node) {
        if (std::ranges::none_of(*node->permissions, names_it)) return true;
        if (node->owner() == domid) changes.push_back({Change::Kind::remove, at.path(), {}, {}, DomId{0}});
        else withdraw(at.path(), node);
        return node->owner() != domid;
    });
    // Domain 0's wishes cannot fail on quota, and the nodes were just seen.
    for (Change& change : changes) (void)submit(Scope{Caller{DomId{0}, {}}, nullptr}, std::move(change));
}

void Database::restore(const std::string& path, std::string value, Permissions permissions) {
    const NodeRef* found = tree_.find(path);
    auto node = found != nullptr ? std::make_shared<Node>(**found) : std::make_shared<Node>();
    if (found != nullptr) accounts_.add((*found)->owner(), -1);
    node->value = std::move(value);
    node->permissions = std::make_shared<const Permissions>(std::move(permissions));
    node->own = node->listing = ++generation_;
    const DomId owner = node->owner();
    if (tree_.put(path, std::move(node), generation_)) accounts_.add(owner, 1);
}

void Database::restore_removed(const std::string& path) {
    const NodeRef removed = tree_.erase(path, ++generation_);
    if (removed) count_subtree(accounts_, removed, -1);
}

std::vector<std::string> Database::check() const {
    std::vector<std::string> wrong;
    std::map<uint16_t, int64_t> counted;
    for_each_below("/", tree_.root(), [&](const std::string& path, const NodeRef& node) {
        ++counted[node->owner().raw];
        if (!is_valid_path(path)) wrong.push_back("illegal path " + path);
        size_t bytes = 0;
        for (const Branch* b : node->children.in_order()) bytes += b->name.size() + 1;
        if (bytes != node->children.name_bytes()) wrong.push_back("name bytes of " + path);
    });
    for (const auto& [owner, n] : counted) {
        if (accounts_.count(DomId{owner}) != n) wrong.push_back("node count of domain " + std::to_string(owner));
    }
    return wrong;
}

}  // namespace xenstored
