// SPDX-License-Identifier: Apache-2.0
/// The live tree with its rules: permissions, ownership, quota, transactions with snapshot isolation. No I/O.
///
/// Everything that alters the live tree goes through one function (`install`), which lists what it altered: that list
/// feeds both the journal and the watches, so neither can miss a change.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.hpp"
#include "toolstack/xenstored/quota.hpp"
#include "toolstack/xenstored/tree.hpp"

namespace xenstored {

using base::DomId;
using base::Errc;
using base::Result;
using base::Status;
using xenstore::Access;

/// On whose behalf a request runs.
struct Caller {
    DomId domid;
    std::optional<DomId> target;  ///< a device model has its guest's rights too
    bool privileged() const { return domid == DomId{0}; }
};

/// What `caller` may do with something that has these permissions; owners and domain 0: both.
Access rights_of(const Caller& caller, const Permissions& permissions);
bool owns(const Caller& caller, const Permissions& permissions);
inline bool allows(Access has, Access wanted) {
    return (static_cast<unsigned>(has) & static_cast<unsigned>(wanted)) == static_cast<unsigned>(wanted);
}

/// One wish to alter the tree.
struct Change {
    enum class Kind : uint8_t { write, mkdir, remove, set_permissions };
    Kind kind;
    std::string path;
    std::string value;        ///< write
    Permissions permissions;  ///< set_permissions
    DomId creator;            ///< unprivileged creators own what they create
};

/// One node altered: `after` null = removed with all below; `before` null = created.
struct Altered {
    std::string path;
    NodeRef before, after;
};

/// What one Change did.
struct Applied {
    Change::Kind kind;
    std::string path;
    std::vector<Altered> nodes;  ///< parents first; empty when nothing changed
};

/// What a transaction looked at on a path, as flags.
enum Seen : uint8_t { seen_node = 1, seen_listing = 2, seen_subtree = 4 };

struct Transaction {
    Tree base;  ///< as it was at the start
    Tree tree;  ///< with this transaction's own changes
    Accounts accounts;
    std::map<std::string, uint8_t, std::less<>> seen;
    std::vector<Change> changes;
    size_t bytes = 0;     ///< what `seen` and `changes` hold
    bool doomed = false;  ///< lost its snapshot in a restart: can only end with EAGAIN
};

/// Where a request reads and writes: the live tree (no transaction) or a transaction's.
struct Scope {
    Caller caller;
    Transaction* transaction = nullptr;
};

class Database {
public:
    Database(const Quota& quota, Generation first) : quota_(quota), generation_(first) { accounts_.add(DomId{0}, 1); }

    Result<NodeRef> read(const Scope& scope, std::string_view path) const;
    /// Like read(), for listing children.
    Result<NodeRef> list(const Scope& scope, std::string_view path) const;
    Status write(const Scope& scope, const std::string& path, std::string value);
    Status mkdir(const Scope& scope, const std::string& path);
    Status remove(const Scope& scope, const std::string& path);
    Status set_permissions(const Scope& scope, const std::string& path, Permissions permissions);

    Transaction begin() const { return Transaction{tree_, tree_, Accounts(&accounts_), {}, {}, 0, false}; }
    /// Puts a transaction's changes into the live tree, all or none.
    /// Errors: again (something it looked at has changed), nospc (quota).
    Status commit(const Transaction& transaction);

    /// What the last successful calls did to the live tree; the caller takes and clears it.
    std::vector<Applied>& applied() { return applied_; }

    /// A domain is gone: its nodes are removed, and what others allowed it is struck out, so that a later domain of the same
    /// number inherits nothing.
    void forget_domain(DomId domid);

    const Tree& tree() const { return tree_; }
    int64_t nodes_of(DomId domid) const { return accounts_.count(domid); }
    Generation generation() const { return generation_; }

    /// Recovery: puts back a node as the journal has it / removes it.
    void restore(const std::string& path, std::string value, Permissions permissions);
    void restore_removed(const std::string& path);
    /// "check": recounts everything; a text for each contradiction.
    std::vector<std::string> check() const;

private:
    Result<NodeRef> node_for(const Scope& scope, std::string_view path, Access wanted, uint8_t what) const;
    Status note(const Scope& scope, std::string_view path, uint8_t what) const;
    const Tree& tree_of(const Scope& scope) const { return scope.transaction != nullptr ? scope.transaction->tree : tree_; }
    Status submit(const Scope& scope, Change change);
    /// Adds to what a transaction holds. Errors: nospc (quota).
    Status charge(const Scope& scope, size_t bytes) const;
    Status apply(Tree& tree, Accounts& accounts, const Change& change, Applied& done);
    Status apply_write(Tree& tree, Accounts& accounts, const Change& change, Applied& done);
    Status create(Tree& tree, Accounts& accounts, const Change& change, Applied& done);
    Status apply_permissions(Tree& tree, Accounts& accounts, const Change& change, Applied& done);
    void apply_remove(Tree& tree, Accounts& accounts, const Change& change, Applied& done);
    void install(Tree tree, const Accounts& difference, std::vector<Applied> done);
    Status check_size(DomId creator, const Node& node) const;

    const Quota& quota_;
    Generation generation_;
    Tree tree_;
    Accounts accounts_;
    std::vector<Applied> applied_;
};

}  // namespace xenstored
