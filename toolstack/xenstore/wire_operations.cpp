// SPDX-License-Identifier: Apache-2.0
/// Each operation of the protocol: payload out, payload in.
#include <algorithm>

#include "toolstack/xenstore/wire_store.hpp"

namespace xenstore {

using base::Errc;
using base::fail;
using base::Outcome;

namespace {

std::string terminated(std::string_view word) { return std::string(word) + '\0'; }
std::string number(uint64_t n) { return terminated(std::to_string(n)); }
std::string about(const char* verb, std::string_view path) { return std::string("Cannot ") + verb + " " + std::string(path); }
std::string about(const char* verb, base::DomId domid) { return std::string(verb) + " domain " + std::to_string(domid.raw); }

std::string words(const Permissions& permissions) {
    std::string out;
    for (const Permission& p : permissions) out += terminated(to_string(p));
    return out;
}

std::vector<std::string> words_of(std::string_view payload) {
    std::vector<std::string> words;
    proto::XsStrings strings(payload);
    while (!strings.empty()) words.emplace_back(strings.next());
    return words;
}

/// An event that the watch (path, token) could have caused.
bool belongs(const Event& event, std::string_view path, std::string_view token) {
    if (event.token != token) return false;
    const std::string_view at = event.path;
    return at == path || path == "/" || (at.starts_with(path) && at.size() > path.size() && at[path.size()] == '/');
}

}  // namespace

Outcome<std::string> WireStore::read(std::string_view path, TransactionId tx) {
    return request(xen::XS_READ, tx, terminated(path), about("read", path));
}

namespace {

struct Wanted {
    uint32_t type;
    std::string payload;
    const char* verb;
};

Wanted wanted(const Change& change) {
    switch (change.kind) {
        case Change::Kind::mkdir: return {xen::XS_MKDIR, terminated(change.path), "make"};
        case Change::Kind::write: return {xen::XS_WRITE, terminated(change.path).append(change.value), "write"};
        case Change::Kind::permissions: break;
    }
    return {xen::XS_SET_PERMS, terminated(change.path) + words(change.permissions), "set the permissions of"};
}

}  // namespace

WireStore::Status WireStore::change_all(std::span<const Change> changes, TransactionId tx) {
    constexpr size_t together = 32;
    while (!changes.empty()) {
        const auto some = changes.first(std::min(together, changes.size()));
        OTRY(change_some(some, tx));
        changes = changes.subspan(some.size());
    }
    return base::ok;
}

WireStore::Status WireStore::change_some(std::span<const Change> changes, TransactionId tx) {
    if (!transactions_.contains(tx.raw)) return lost_transaction("Cannot change the store");
    std::string bytes;
    std::vector<std::pair<uint32_t, Wanted>> sent;
    for (const Change& change : changes) {
        Wanted one = wanted(change);
        const uint32_t number = OTRY(add_request(bytes, one.type, tx, one.payload).context(about(one.verb, change.path)));
        sent.emplace_back(number, std::move(one));
    }
    const Deadline end = answer_deadline();
    Status out = send_all(bytes, end);
    for (size_t i = 0; i < sent.size() && connection_; ++i) {
        const auto answer = answer_to(sent[i].first, sent[i].second.type, end);
        if (!answer && out) out = Status(answer.failure()).context(about(sent[i].second.verb, changes[i].path));
    }
    if (!out && !connection_ && out.failure().code == Errc::notconn) return lost_transaction("Cannot change the store");
    return out;
}

WireStore::Status WireStore::write(std::string_view path, std::string_view value, TransactionId tx) {
    return command(xen::XS_WRITE, tx, terminated(path).append(value), about("write", path));
}

WireStore::Status WireStore::mkdir(std::string_view path, TransactionId tx) {
    return command(xen::XS_MKDIR, tx, terminated(path), about("make", path));
}

WireStore::Status WireStore::remove(std::string_view path, TransactionId tx) {
    return command(xen::XS_RM, tx, terminated(path), about("remove", path));
}

Outcome<std::vector<std::string>> WireStore::directory(std::string_view path, TransactionId tx) {
    auto whole = request(xen::XS_DIRECTORY, tx, terminated(path), about("list", path));
    if (whole) return words_of(*whole);
    if (whole.failure().code != Errc::toobig) return std::move(whole).take_failure();
    return directory_in_parts(path, tx);
}

/// A listing longer than a message, put together from parts that carry the same generation.
Outcome<std::vector<std::string>> WireStore::directory_in_parts(std::string_view path, TransactionId tx) {
    std::string all, generation;
    for (;;) {
        const std::string payload = terminated(path) + number(all.size());
        const std::string part = OTRY(request(xen::XS_DIRECTORY_PART, tx, payload, about("list", path)));
        const size_t nul = part.find('\0');
        if (nul == std::string::npos) return fail(Errc::io, about("list", path) + ": a malformed answer");
        const std::string now = part.substr(0, nul);
        if (!all.empty() && now != generation) {
            all.clear();
            continue;
        }
        generation = now;
        const std::string names = part.substr(nul + 1);
        // The end is an empty name.
        if (names.empty() || names == std::string(1, '\0')) break;
        if (names.ends_with(std::string(2, '\0'))) {
            all.append(names, 0, names.size() - 1);
            break;
        }
        all += names;
    }
    return words_of(all);
}

Outcome<Permissions> WireStore::permissions(std::string_view path, TransactionId tx) {
    const std::string what = about("read the permissions of", path);
    const std::string reply = OTRY(request(xen::XS_GET_PERMS, tx, terminated(path), what));
    Permissions list;
    for (const std::string& word : words_of(reply)) {
        const auto one = parse_permission(word);
        if (!one) return fail(Errc::io, what + ": a malformed answer");
        list.push_back(*one);
    }
    return list;
}

WireStore::Status WireStore::set_permissions(std::string_view path, const Permissions& permissions, TransactionId tx) {
    return command(xen::XS_SET_PERMS, tx, terminated(path) + words(permissions), about("set the permissions of", path));
}

Outcome<TransactionId> WireStore::start_transaction() {
    const std::string what = "Cannot start a transaction";
    const std::string reply = OTRY(request(xen::XS_TRANSACTION_START, {}, std::string(1, '\0'), what));
    const auto id = proto::parse_number(std::string_view(reply).substr(0, reply.find('\0')));
    if (!id) return fail(Errc::io, what + ": a malformed answer");
    transactions_.insert(id.value());
    return TransactionId{id.value()};
}

WireStore::Status WireStore::end_transaction(TransactionId tx, Ending ending) {
    // One that went away with its connection is as good as discarded.
    if (ending == Ending::discard && !transactions_.contains(tx.raw)) return base::ok;
    auto done =
        command(xen::XS_TRANSACTION_END, tx, terminated(ending == Ending::commit ? "T" : "F"), "Cannot end a transaction");
    transactions_.erase(tx.raw);
    return done;
}

WireStore::Status WireStore::watch(std::string_view path, std::string_view token) {
    OTRY(command(xen::XS_WATCH, {}, terminated(path) + terminated(token), about("watch", path)));
    watches_.emplace(path, token);
    return base::ok;
}

WireStore::Status WireStore::unwatch(std::string_view path, std::string_view token) {
    const auto key = std::make_pair(std::string(path), std::string(token));
    OTRY(command(xen::XS_UNWATCH, {}, terminated(path) + terminated(token), about("end the watch of", path)));
    watches_.erase(key);
    std::erase_if(events_, [&](const Event& e) { return belongs(e, path, token); });
    if (events_.empty()) show_waiting();
    return base::ok;
}

WireStore::Status WireStore::introduce(base::DomId domid, base::Gfn gfn, base::Port port) {
    const std::string payload = number(domid.raw) + number(gfn.raw) + number(port.raw);
    return command(xen::XS_INTRODUCE, {}, payload, about("Cannot introduce", domid));
}

WireStore::Status WireStore::release(base::DomId domid) {
    return command(xen::XS_RELEASE, {}, number(domid.raw), about("Cannot release", domid));
}

Outcome<bool> WireStore::is_introduced(base::DomId domid) {
    const std::string reply =
        OTRY(request(xen::XS_IS_DOMAIN_INTRODUCED, {}, number(domid.raw), about("Cannot ask about", domid)));
    return reply.starts_with('T');
}

WireStore::Status WireStore::set_target(base::DomId domid, base::DomId target) {
    return command(xen::XS_SET_TARGET, {}, number(domid.raw) + number(target.raw), about("Cannot set the target of", domid));
}

WireStore::Status WireStore::resume(base::DomId domid) {
    return command(xen::XS_RESUME, {}, number(domid.raw), about("Cannot resume", domid));
}

Outcome<std::string> WireStore::domain_path(base::DomId domid) {
    std::string path = OTRY(request(xen::XS_GET_DOMAIN_PATH, {}, number(domid.raw), about("Cannot ask for the path of", domid)));
    path.resize(std::min(path.find('\0'), path.size()));
    return path;
}

WireStore::Status WireStore::reset_watches() {
    OTRY(command(xen::XS_RESET_WATCHES, {}, std::string(1, '\0'), "Cannot reset watches"));
    watches_.clear();
    transactions_.clear();
    events_.clear();
    show_waiting();
    return base::ok;
}

Outcome<std::string> WireStore::control(const std::vector<std::string>& words) {
    std::string payload;
    for (const std::string& word : words) payload += terminated(word);
    std::string reply = OTRY(request(xen::XS_CONTROL, {}, payload, "Cannot do the control command"));
    while (!reply.empty() && reply.back() == '\0') reply.pop_back();
    return reply;
}

}  // namespace xenstore
