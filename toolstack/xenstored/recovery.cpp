// SPDX-License-Identifier: Apache-2.0
/// Writing the whole state for a fresh journal, and rebuilding it from one.
#include "toolstack/xenstored/path.hpp"
#include "toolstack/xenstored/server.hpp"

namespace xenstored {

namespace {

constexpr size_t group_target = 64 * 1024;  // a group must fit in memory comfortably, whatever the store's size

}  // namespace

class Recovery final : public JournalReader {
public:
    explicit Recovery(Server& server) : s_(server) {}

    void on_node(const std::string& path, std::string value, Permissions permissions) override {
        if (is_valid_path(path)) s_.database_.restore(path, std::move(value), std::move(permissions));
    }
    void on_removed(const std::string& path) override {
        if (is_valid_path(path)) s_.database_.restore_removed(path);
    }
    void on_domain(const DomainRecord& record) override {
        Domain& domain = s_.domains_[record.domid.raw];
        domain.record = record;
        if (record.introduced && domain.ring == nullptr) {
            domain.ring = &s_.add_connection(ConnectionKind::ring, record.domid);
        } else if (!record.introduced && domain.ring != nullptr) {
            s_.remove(*domain.ring);
            domain.ring = nullptr;
        }
        if (domain.ring != nullptr) domain.ring->caller.target = record.target;
    }
    void on_domain_gone(base::DomId domid) override {
        if (Connection* c = ring(domid)) s_.remove(*c);
        s_.domains_.erase(domid.raw);
        s_.resume_.erase(domid.raw);
    }
    void on_ring_input(base::DomId domid, uint32_t consumed, std::string partial) override {
        RingResume& r = s_.resume_[domid.raw];
        r.consumed = consumed;
        r.partial = std::move(partial);
    }
    void on_ring_output_from(base::DomId domid, uint32_t index, std::string bytes) override {
        RingResume& r = s_.resume_[domid.raw];
        r.output_index = index;
        r.output = std::move(bytes);
    }
    void on_ring_output(base::DomId domid, std::string bytes) override { s_.resume_[domid.raw].output += bytes; }
    void on_watch(Item kind, base::DomId domid, std::string path, std::string token) override {
        Connection* c = ring(domid);
        if (c == nullptr) return;
        if (kind == Item::watch) {
            (void)s_.add_watch(*c, path, token);
            return;
        }
        const auto at = c->watches.find({std::move(path), std::move(token)});
        if (at == c->watches.end()) return;
        s_.watches_.remove(*at->second);
        c->watches.erase(at);
    }
    void on_transaction(Item kind, base::DomId domid, uint32_t number) override {
        Connection* c = ring(domid);
        if (c == nullptr) return;
        s_.next_transaction_ = std::max(s_.next_transaction_, number);
        if (kind == Item::transaction) {
            c->transactions.emplace(number, s_.database_.begin());
        } else {
            c->transactions.erase(number);
        }
    }
    void on_special(std::string name, Permissions permissions) override {
        if (Permissions* p = s_.special_permissions(name)) *p = std::move(permissions);
    }
    void on_reset(base::DomId domid) override {
        if (Connection* c = ring(domid)) s_.drop_watches_and_transactions(*c);
    }

private:
    Connection* ring(base::DomId domid) {
        const auto at = s_.domains_.find(domid.raw);
        return at == s_.domains_.end() ? nullptr : at->second.ring;
    }
    Server& s_;
};

size_t Server::recover(std::string_view file, std::string_view boot_id) {
    Recovery reader(*this);
    const size_t used = replay(file, boot_id, reader);
    // Snapshots of open transactions are lost. They go on over today's tree and end in EAGAIN, which clients know to repeat.
    for (auto& [number, connection] : connections_) {
        for (auto& [id, transaction] : connection->transactions) {
            transaction = database_.begin();
            transaction.doomed = true;
        }
    }
    return used;
}

base::Status Server::resume_output(DomId domid, uint32_t response_producer) {
    const auto at = domains_.find(domid.raw);
    if (at == domains_.end() || at->second.ring == nullptr) return base::Err{Errc::noent};
    RingResume& r = resume_[domid.raw];
    const uint32_t delivered = response_producer - r.output_index;
    if (delivered > r.output.size()) return base::Err{Errc::io};
    if (delivered < r.output.size()) at->second.ring->out.add_reply(r.output.substr(delivered));
    r = RingResume{};
    return base::ok;
}

std::vector<std::string> Server::snapshot(const std::function<RingResume(DomId)>& rings) {
    std::vector<std::string> groups;
    JournalWriter w;
    const auto cut = [&](size_t target) {
        if (w.size() >= target) groups.push_back(w.take_group());
    };
    for_each_below("/", database_.tree().root(), [&](const std::string& path, const NodeRef& node) {
        w.node(path, node->value, *node->permissions);
        cut(group_target);
    });
    for (const auto& [name, permissions] : special_) w.special(name, permissions);
    for (const auto& [number, domain] : domains_) {
        const DomId domid{number};
        w.domain(domain.record);
        if (domain.ring == nullptr) continue;
        const RingResume state = rings(domid);
        w.ring_input(domid, state.consumed, state.partial);
        w.ring_output_from(domid, state.output_index, domain.ring->out.all());
        for (const auto& [key, watch] : domain.ring->watches) w.watch(Item::watch, domid, key.first, key.second);
        for (const auto& entry : domain.ring->transactions) w.transaction(Item::transaction, domid, entry.first);
        cut(group_target);
    }
    cut(1);
    return groups;
}

}  // namespace xenstored
