// SPDX-License-Identifier: Apache-2.0
/// Watches: setting them, and turning what the database did into events and journal items.
#include "toolstack/xenstored/path.hpp"
#include "toolstack/xenstored/server.hpp"

namespace xenstored {

using base::Err;

namespace {

bool may_read(const Connection& c, const NodeRef& node) {
    return node && allows(rights_of(c.caller, *node->permissions), Access::read);
}

/// The node `rest` below `node`, or null.
NodeRef find_below(NodeRef node, std::string_view rest) {
    while (!rest.empty()) {
        const NodeRef* child = node->children.find(next_component(rest));
        if (child == nullptr) return nullptr;
        node = *child;
    }
    return node;
}

}  // namespace

Server::Reply Server::on_watch(Connection& connection, const proto::XsMessage& message) {
    proto::XsStrings strings(message.text());
    if (strings.empty()) return Err{Errc::inval};
    const std::string path(strings.next());
    if (!strings.terminated() || strings.empty()) return Err{Errc::inval};
    const std::string token(strings.next());
    if (!strings.terminated()) return Err{Errc::inval};
    TRY(add_watch(connection, path, token));
    if (connection.kind == ConnectionKind::ring) journal_.watch(Item::watch, connection.caller.domid, path, token);
    return std::string("OK\0", 3);
}

Status Server::add_watch(Connection& connection, const std::string& path, const std::string& token) {
    auto key = std::make_pair(path, token);
    std::string absolute = TRY(canonical(path, connection.home));
    if (connection.watches.contains(key)) return Err{Errc::exist};
    if (!connection.caller.privileged() && connection.watches.size() >= quota_.watches) return Err{Errc::toobig};
    const bool relative = !is_special(path) && !path.starts_with('/');
    auto watch = std::make_shared<Watch>(Watch{next_number_++, &connection, std::move(absolute), token, relative});
    watches_.add(watch);
    connection.watches.emplace(std::move(key), std::move(watch));
    return base::ok;
}

Server::Reply Server::on_unwatch(Connection& connection, const proto::XsMessage& message) {
    proto::XsStrings strings(message.text());
    if (strings.empty()) return Err{Errc::inval};
    std::string path(strings.next());
    if (!strings.terminated() || strings.empty()) return Err{Errc::inval};
    std::string token(strings.next());
    if (connection.kind == ConnectionKind::ring) journal_.watch(Item::unwatch, connection.caller.domid, path, token);
    const auto at = connection.watches.find({std::move(path), std::move(token)});
    if (at == connection.watches.end()) return Err{Errc::noent};
    connection.behind.erase(at->second->number);
    watches_.remove(*at->second);
    connection.watches.erase(at);
    return std::string("OK\0", 3);
}

Server::Reply Server::on_reset_watches(Connection& connection, const proto::XsMessage&) {
    drop_watches_and_transactions(connection);
    if (connection.kind == ConnectionKind::ring) journal_.reset(connection.caller.domid);
    return std::string("OK\0", 3);
}

void Server::drop_watches_and_transactions(Connection& connection) {
    for (const auto& entry : connection.watches) watches_.remove(*entry.second);
    connection.watches.clear();
    connection.behind.clear();
    connection.transactions.clear();
}

void Server::send_event(Watch& watch, const std::string& path) {
    Connection& to = *watch.owner;
    const size_t limit = to.caller.privileged() ? quota_.output_bytes * 64 : quota_.output_bytes;
    if (to.out.bytes() > limit) {
        // A client that does not read cannot make us keep its events; it will be told once per watch.
        to.behind.insert(watch.number);
        return;
    }
    std::string payload = watch.relative && path.size() > to.home.size() ? path.substr(to.home.size() + 1) : path;
    payload += '\0';
    payload += watch.token;
    payload += '\0';
    if (payload.size() > proto::xs_payload_max) return;
    std::string bytes(proto::xs_header_size + payload.size(), '\0');
    if (!proto::encode_message(std::as_writable_bytes(std::span(bytes)), xen::XS_WATCH_EVENT, 0, 0, payload)) return;
    const std::string copy = to.kind == ConnectionKind::ring ? bytes : std::string();
    if (!to.out.add_event({watch.number, path}, std::move(bytes))) return;
    if (!copy.empty()) journal_.ring_output(to.caller.domid, copy);
    touched_.insert(to.number);
}

void Server::catch_up(Connection& connection) {
    if (connection.behind.empty() || !connection.out.empty()) return;
    const std::set<uint64_t> behind = std::move(connection.behind);
    connection.behind.clear();
    for (const auto& entry : connection.watches) {
        if (behind.contains(entry.second->number)) send_event(*entry.second, entry.second->path);
    }
}

void Server::fire_special(const std::string& name) {
    const Permissions* permissions = special_permissions(name);
    watches_.for_path(name, [&](Watch& watch) {
        if (allows(rights_of(watch.owner->caller, *permissions), Access::read)) send_event(watch, name);
    });
}

/// Who may hear of it: readers of the node before or after; for a birth or death also readers of the parent.
void Server::fire(const Applied& applied) {
    const Altered& last = applied.nodes.back();
    const bool listed = !last.before || !last.after;
    const NodeRef* parent = listed ? database_.tree().find(parent_of(applied.path)) : nullptr;
    watches_.for_path(applied.path, [&](Watch& watch) {
        const Connection& c = *watch.owner;
        if (may_read(c, last.before) || may_read(c, last.after) || (parent != nullptr && may_read(c, *parent))) {
            send_event(watch, applied.path);
        }
    });
    if (applied.kind == Change::Kind::remove) fire_removed(last);
}

/// A watch below what was removed is told its own path, if there was a node.
void Server::fire_removed(const Altered& altered) {
    watches_.for_below(altered.path, [&](Watch& watch) {
        const NodeRef node = find_below(altered.before, std::string_view(watch.path).substr(altered.path.size() + 1));
        if (may_read(*watch.owner, node)) send_event(watch, watch.path);
    });
}

void Server::publish_applied() {
    const std::vector<Applied> all = std::move(database_.applied());
    database_.applied().clear();
    for (const Applied& applied : all) {
        for (const Altered& a : applied.nodes) {
            if (a.after) {
                journal_.node(a.path, a.after->value, *a.after->permissions);
            } else {
                journal_.removed(a.path);
            }
        }
        fire(applied);
    }
}

}  // namespace xenstored
