// SPDX-License-Identifier: Apache-2.0
/// Dispatch, replies and the operations on nodes.
#include "toolstack/xenstored/server.hpp"

#include <algorithm>
#include <array>

#include "toolstack/xenstored/path.hpp"

namespace xenstored {

using base::Err;

namespace {

const std::string ok_reply("OK\0", 3);

std::string listing_of(const Node& node) {
    std::string all;
    all.reserve(node.children.name_bytes());
    for (const Branch* child : node.children.in_order()) {
        all += child->name;
        all += '\0';
    }
    return all;
}

std::string permissions_text(const Permissions& permissions) {
    std::string text;
    for (const Permission& p : permissions) {
        text += to_string(p);
        text += '\0';
    }
    return text;
}

Result<Permissions> parse_permissions(proto::XsStrings strings) {
    Permissions list;
    while (!strings.empty()) {
        const auto one = xenstore::parse_permission(strings.next());
        if (!one || !strings.terminated()) return Err{Errc::inval};
        list.push_back(*one);
    }
    if (list.empty()) return Err{Errc::inval};
    return list;
}

}  // namespace

Server::Server(const Quota& quota, Effects& effects, Generation first)
    : quota_(quota), effects_(effects), database_(quota_, first) {
    const Permissions closed{{DomId{0}, Access::none}};
    special_ = {{"@introduceDomain", closed}, {"@releaseDomain", closed}};
}

void Server::create_initial_nodes() {
    const Scope root{Caller{DomId{0}, std::nullopt}, nullptr};
    (void)database_.mkdir(root, "/tool/xenstored");
    publish_applied();
}

Connection& Server::add_connection(ConnectionKind kind, DomId domid) {
    auto fresh = std::make_unique<Connection>();
    fresh->number = next_number_++;
    fresh->kind = kind;
    fresh->caller.domid = domid;
    fresh->home = home_of(domid);
    Connection& c = *fresh;
    connections_.emplace(c.number, std::move(fresh));
    return c;
}

Connection& Server::add_socket() { return add_connection(ConnectionKind::socket, DomId{0}); }

Connection* Server::find(uint64_t number) {
    const auto at = connections_.find(number);
    return at == connections_.end() ? nullptr : at->second.get();
}

void Server::remove(Connection& connection) {
    drop_watches_and_transactions(connection);
    connections_.erase(connection.number);
}

Server::Operation Server::operation(uint32_t type) {
    static const std::array<Operation, xen::XS_TYPE_COUNT> table = [] {
        std::array<Operation, xen::XS_TYPE_COUNT> t{};
        t[xen::XS_CONTROL] = {&Server::on_control, true};
        t[xen::XS_DIRECTORY] = {&Server::on_directory};
        t[xen::XS_READ] = {&Server::on_read};
        t[xen::XS_GET_PERMS] = {&Server::on_get_permissions};
        t[xen::XS_WATCH] = {&Server::on_watch};
        t[xen::XS_UNWATCH] = {&Server::on_unwatch};
        t[xen::XS_TRANSACTION_START] = {&Server::on_transaction_start};
        t[xen::XS_TRANSACTION_END] = {&Server::on_transaction_end};
        t[xen::XS_INTRODUCE] = {&Server::on_introduce, true};
        t[xen::XS_RELEASE] = {&Server::on_release, true};
        t[xen::XS_GET_DOMAIN_PATH] = {&Server::on_domain_path};
        t[xen::XS_WRITE] = {&Server::on_write};
        t[xen::XS_MKDIR] = {&Server::on_mkdir};
        t[xen::XS_RM] = {&Server::on_remove};
        t[xen::XS_SET_PERMS] = {&Server::on_set_permissions};
        t[xen::XS_IS_DOMAIN_INTRODUCED] = {&Server::on_is_introduced};
        t[xen::XS_RESUME] = {&Server::on_resume, true};
        t[xen::XS_SET_TARGET] = {&Server::on_set_target, true};
        t[xen::XS_RESET_WATCHES] = {&Server::on_reset_watches};
        t[xen::XS_DIRECTORY_PART] = {&Server::on_directory_part};
        return t;
    }();
    return type < table.size() ? table[type] : Operation{};
}

void Server::handle(Connection& connection, const proto::XsMessage& message) {
    const Operation op = operation(message.header.type);
    Reply reply = [&]() -> Reply {
        if (op.handler == nullptr) return Err{Errc::nosys};
        if (op.privileged && !connection.caller.privileged()) return Err{Errc::access};
        return (this->*op.handler)(connection, message);
    }();
    if (tracing_) trace(connection, message, reply);
    // The reply goes out before the events the request caused.
    if (reply && reply.value().size() <= proto::xs_payload_max) {
        send_reply(connection, message.header.type, message.header, reply.value());
    } else {
        std::string name(proto::xs_error_name(reply ? Errc::toobig : reply.error()));
        name += '\0';
        send_reply(connection, xen::XS_ERROR, message.header, name);
    }
    // A watch just set is told once straight away.
    if (reply && message.header.type == xen::XS_WATCH) {
        proto::XsStrings s(message.text());
        std::string path(s.next());
        const auto at = connection.watches.find({path, std::string(s.next())});
        if (at != connection.watches.end()) send_event(*at->second, at->second->path);
    }
    publish_applied();
}

void Server::trace(const Connection& connection, const proto::XsMessage& message, const Reply& reply) {
    std::string payload(message.text().substr(0, 256));
    for (char& c : payload) {
        if (c < ' ' || c > '~') c = '|';
    }
    effects_.log("client " + std::to_string(connection.number) + " domain " + std::to_string(connection.caller.domid.raw) +
                 " type " + std::to_string(message.header.type) + " tx " + std::to_string(message.header.tx_id) + " " + payload +
                 " -> " + (reply ? "OK" : std::string(proto::xs_error_name(reply.error()))));
}

void Server::send_reply(Connection& to, uint32_t type, const xen::XsdSockMsg& request, std::string_view payload) {
    std::string bytes(proto::xs_header_size + payload.size(), '\0');
    const auto made =
        proto::encode_message(std::as_writable_bytes(std::span(bytes)), type, request.req_id, request.tx_id, payload);
    if (!made) return;
    if (to.kind == ConnectionKind::ring) journal_.ring_output(to.caller.domid, bytes);
    to.out.add_reply(std::move(bytes));
    touched_.insert(to.number);
}

Result<Scope> Server::scope_of(Connection& connection, const proto::XsMessage& message) {
    Scope scope{connection.caller, nullptr};
    if (message.header.tx_id == 0) return scope;
    const auto at = connection.transactions.find(message.header.tx_id);
    if (at == connection.transactions.end()) return Err{Errc::noent};
    scope.transaction = &at->second;
    return scope;
}

/// The first string of the payload as a node's path.
Result<std::string> Server::path_of(const Connection& connection, const proto::XsMessage& message) {
    proto::XsStrings strings(message.text());
    if (strings.empty()) return Err{Errc::inval};
    const std::string_view sent = strings.next();
    if (!strings.terminated()) return Err{Errc::inval};
    return canonical(sent, connection.home);
}

Server::Reply Server::on_directory(Connection& connection, const proto::XsMessage& message) {
    const Scope scope = TRY(scope_of(connection, message));
    const std::string path = TRY(path_of(connection, message));
    if (is_special(path)) return Err{Errc::inval};
    const NodeRef node = TRY(database_.list(scope, path));
    if (node->children.name_bytes() > proto::xs_payload_max) return Err{Errc::toobig};
    return listing_of(*node);
}

Server::Reply Server::on_directory_part(Connection& connection, const proto::XsMessage& message) {
    // Source: xenstore.txt DIRECTORY_PART: <path>|<offset>|  ->  <gencnt>|<child>|*, with an empty name at the end.
    std::array<std::string_view, 2> words;
    TRY(proto::split_exactly(message.text(), words));
    const Scope scope = TRY(scope_of(connection, message));
    const std::string path = TRY(canonical(words[0], connection.home));
    if (is_special(path)) return Err{Errc::inval};
    const uint32_t offset = TRY(proto::parse_number(words[1]));
    const NodeRef node = TRY(database_.list(scope, path));

    std::string reply = std::to_string(std::max(node->own, node->listing));
    reply += '\0';
    const std::string all = listing_of(*node);
    if (offset >= all.size()) return reply + '\0';
    const std::string_view rest = std::string_view(all).substr(offset);
    const size_t room = proto::xs_payload_max - reply.size() - 1;
    if (rest.size() <= room) return reply.append(rest) + '\0';
    // Whole names only.
    return reply.append(rest.substr(0, rest.rfind('\0', room - 1) + 1));
}

Server::Reply Server::on_read(Connection& connection, const proto::XsMessage& message) {
    const Scope scope = TRY(scope_of(connection, message));
    const std::string path = TRY(path_of(connection, message));
    if (is_special(path)) return Err{Errc::inval};
    return TRY(database_.read(scope, path))->value;
}

Server::Reply Server::on_write(Connection& connection, const proto::XsMessage& message) {
    const Scope scope = TRY(scope_of(connection, message));
    const std::string path = TRY(path_of(connection, message));
    if (is_special(path)) return Err{Errc::inval};
    proto::XsStrings strings(message.text());
    (void)strings.next();
    TRY(database_.write(scope, path, std::string(strings.rest())));
    return ok_reply;
}

Server::Reply Server::on_mkdir(Connection& connection, const proto::XsMessage& message) {
    const Scope scope = TRY(scope_of(connection, message));
    const std::string path = TRY(path_of(connection, message));
    if (is_special(path)) return Err{Errc::inval};
    TRY(database_.mkdir(scope, path));
    return ok_reply;
}

Server::Reply Server::on_remove(Connection& connection, const proto::XsMessage& message) {
    const Scope scope = TRY(scope_of(connection, message));
    const std::string path = TRY(path_of(connection, message));
    if (is_special(path)) return Err{Errc::inval};
    TRY(database_.remove(scope, path));
    return ok_reply;
}

Permissions* Server::special_permissions(std::string_view name) {
    const auto at = special_.find(name);
    return at == special_.end() ? nullptr : &at->second;
}

Server::Reply Server::on_get_permissions(Connection& connection, const proto::XsMessage& message) {
    const Scope scope = TRY(scope_of(connection, message));
    const std::string path = TRY(path_of(connection, message));
    if (is_special(path)) {
        const Permissions* special = special_permissions(path);
        if (special == nullptr) return Err{Errc::inval};
        if (!allows(rights_of(connection.caller, *special), Access::read)) return Err{Errc::access};
        return permissions_text(*special);
    }
    return permissions_text(*TRY(database_.read(scope, path))->permissions);
}

Server::Reply Server::on_set_permissions(Connection& connection, const proto::XsMessage& message) {
    const Scope scope = TRY(scope_of(connection, message));
    const std::string path = TRY(path_of(connection, message));
    proto::XsStrings strings(message.text());
    (void)strings.next();
    Permissions list = TRY(parse_permissions(strings));
    if (!is_special(path)) {
        TRY(database_.set_permissions(scope, path, std::move(list)));
        return ok_reply;
    }
    Permissions* special = special_permissions(path);
    if (special == nullptr) return Err{Errc::inval};
    if (!connection.caller.privileged()) return Err{Errc::access};
    *special = std::move(list);
    journal_.special(path, *special);
    return ok_reply;
}

Server::Reply Server::on_transaction_start(Connection& connection, const proto::XsMessage& message) {
    if (message.header.tx_id != 0) return Err{Errc::busy};
    if (!connection.caller.privileged() && connection.transactions.size() >= quota_.transactions) return Err{Errc::nospc};
    do {
        if (++next_transaction_ == 0) ++next_transaction_;
    } while (connection.transactions.contains(next_transaction_));
    connection.transactions.emplace(next_transaction_, database_.begin());
    if (connection.kind == ConnectionKind::ring) {
        journal_.transaction(Item::transaction, connection.caller.domid, next_transaction_);
    }
    return std::to_string(next_transaction_) + '\0';
}

Server::Reply Server::on_transaction_end(Connection& connection, const proto::XsMessage& message) {
    std::array<std::string_view, 1> words;
    TRY(proto::split_exactly(message.text(), words));
    if (words[0] != "T" && words[0] != "F") return Err{Errc::inval};
    const auto at = connection.transactions.find(message.header.tx_id);
    if (message.header.tx_id == 0 || at == connection.transactions.end()) return Err{Errc::noent};
    const Transaction transaction = std::move(at->second);
    connection.transactions.erase(at);
    if (connection.kind == ConnectionKind::ring) {
        journal_.transaction(Item::transaction_end, connection.caller.domid, message.header.tx_id);
    }
    if (words[0] == "T") TRY(database_.commit(transaction));
    return ok_reply;
}

}  // namespace xenstored
