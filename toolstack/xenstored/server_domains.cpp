// SPDX-License-Identifier: Apache-2.0
/// Domains: taking up and dropping their rings, and noticing their end.
#include <array>

#include "abi/xen/basic.hpp"
#include "lib/base/number.hpp"
#include "toolstack/xenstored/path.hpp"
#include "toolstack/xenstored/server.hpp"

namespace xenstored {

using base::Err;

namespace {

const std::string ok_reply("OK\0", 3);

Result<uint64_t> parse_frame(std::string_view text) {
    const auto frame = base::parse_number<uint64_t>(text);
    if (!frame) return Err{Errc::inval};
    return *frame;
}

Result<DomId> parse_domid(std::string_view text) {
    const uint32_t n = TRY(proto::parse_number(text));
    if (n >= xen::DOMID_FIRST_RESERVED) return Err{Errc::inval};
    return DomId{static_cast<uint16_t>(n)};
}

Result<DomId> only_domid(const proto::XsMessage& message) {
    std::array<std::string_view, 1> words;
    TRY(proto::split_exactly(message.text(), words));
    return parse_domid(words[0]);
}

}  // namespace

Server::Reply Server::on_introduce(Connection&, const proto::XsMessage& message) {
    proto::XsStrings strings(message.text());
    std::array<std::string_view, 3> words;
    for (auto& word : words) {
        if (strings.empty()) return Err{Errc::inval};
        word = strings.next();
    }
    const DomId domid = TRY(parse_domid(words[0]));
    const base::Gfn gfn{TRY(parse_frame(words[1]))};
    const base::Port port{TRY(proto::parse_number(words[2]))};
    if (domid == DomId{0}) return Err{Errc::inval};

    const auto known = domains_.find(domid.raw);
    const bool again = known != domains_.end() && known->second.ring != nullptr;
    if (again) {
        effects_.detach_ring(domid);
        drop_watches_and_transactions(*known->second.ring);
        known->second.ring->out.clear();
        journal_.reset(domid);
    }
    auto start = effects_.attach_ring(domid, gfn, port, Attach::fresh);
    if (!start) {
        effects_.log("Domain " + std::to_string(domid.raw) + " cannot be introduced: " + start.failure().text);
        if (again) drop_domain(domid);
        return Err{start.failure().code};
    }
    Domain& domain = domains_[domid.raw];
    if (domain.ring == nullptr) domain.ring = &add_connection(ConnectionKind::ring, domid);
    const std::optional<DomId> target = again ? domain.record.target : std::nullopt;
    domain.record = DomainRecord{domid, gfn, port, target, false, true};
    journal_.domain(domain.record);
    journal_.ring_input(domid, start->request_consumer, {});
    journal_.ring_output_from(domid, start->response_producer, {});
    if (!again) fire_special("@introduceDomain");
    return ok_reply;
}

base::Outcome<base::Unit> Server::introduce_local(base::Gfn gfn, base::Port port, Attach how) {
    const DomId self{0};
    const RingStart start = OTRY(effects_.attach_ring(self, gfn, port, how));
    Domain& domain = domains_[self.raw];
    if (domain.ring == nullptr) domain.ring = &add_connection(ConnectionKind::ring, self);
    domain.record = DomainRecord{self, gfn, port, std::nullopt, false, true};
    journal_.domain(domain.record);
    journal_.ring_input(self, start.request_consumer, {});
    journal_.ring_output_from(self, start.response_producer, {});
    return base::ok;
}

/// Ends our side of a domain. Its nodes go only when the domain itself has gone.
void Server::drop_domain(DomId domid) {
    const auto at = domains_.find(domid.raw);
    if (at == domains_.end()) return;
    if (at->second.ring != nullptr) {
        effects_.detach_ring(domid);
        remove(*at->second.ring);
        at->second.ring = nullptr;
    }
    const DomainState state = effects_.domain_state(domid);
    if (state.exists && !state.dying) {
        at->second.record.introduced = false;
        journal_.domain(at->second.record);
        return;
    }
    domains_.erase(at);
    for (auto& [number, other] : domains_) {
        if (other.record.target != domid) continue;
        other.record.target.reset();
        if (other.ring != nullptr) other.ring->caller.target.reset();
        journal_.domain(other.record);
    }
    journal_.domain_gone(domid);
    database_.forget_domain(domid);
    publish_applied();
}

Server::Reply Server::on_release(Connection&, const proto::XsMessage& message) {
    const DomId domid = TRY(only_domid(message));
    if (domid == DomId{0}) return Err{Errc::inval};
    const auto at = domains_.find(domid.raw);
    if (at == domains_.end()) return Err{Errc::noent};
    if (at->second.ring == nullptr) return Err{Errc::inval};
    drop_domain(domid);
    fire_special("@releaseDomain");
    return ok_reply;
}

Server::Reply Server::on_domain_path(Connection&, const proto::XsMessage& message) {
    std::array<std::string_view, 1> words;
    TRY(proto::split_exactly(message.text(), words));
    return home_of(DomId{static_cast<uint16_t>(TRY(proto::parse_number(words[0])))}) + '\0';
}

Server::Reply Server::on_is_introduced(Connection&, const proto::XsMessage& message) {
    const DomId domid = TRY(only_domid(message));
    const auto at = domains_.find(domid.raw);
    const bool introduced = at != domains_.end() && at->second.ring != nullptr;
    return std::string(introduced ? "T\0" : "F\0", 2);
}

Server::Reply Server::on_resume(Connection&, const proto::XsMessage& message) {
    const DomId domid = TRY(only_domid(message));
    const auto at = domains_.find(domid.raw);
    if (at == domains_.end() || at->second.ring == nullptr) return Err{Errc::noent};
    at->second.record.shutdown = false;
    journal_.domain(at->second.record);
    return ok_reply;
}

Server::Reply Server::on_set_target(Connection&, const proto::XsMessage& message) {
    std::array<std::string_view, 2> words;
    TRY(proto::split_exactly(message.text(), words));
    const DomId domid = TRY(parse_domid(words[0]));
    const DomId target = TRY(parse_domid(words[1]));
    const auto at = domains_.find(domid.raw);
    const auto of = domains_.find(target.raw);
    if (at == domains_.end() || of == domains_.end() || at->second.ring == nullptr) return Err{Errc::noent};
    at->second.record.target = target;
    at->second.ring->caller.target = target;
    journal_.domain(at->second.record);
    return ok_reply;
}

void Server::ring_failed(DomId domid) {
    const auto at = domains_.find(domid.raw);
    if (at == domains_.end() || at->second.ring == nullptr) return;
    drop_watches_and_transactions(*at->second.ring);
    at->second.ring->out.clear();
    journal_.reset(domid);
}

void Server::ring_reconnected(DomId domid) {
    ring_failed(domid);
    journal_.ring_input(domid, 0, {});
    journal_.ring_output_from(domid, 0, {});
}

void Server::check_domains() {
    std::vector<DomId> gone;
    bool announce = false;
    for (auto& [number, domain] : domains_) {
        const DomId domid{number};
        if (domid == DomId{0}) continue;
        const DomainState state = effects_.domain_state(domid);
        if (!state.exists || state.dying) {
            gone.push_back(domid);
        } else if (state.shutdown && !domain.record.shutdown) {
            domain.record.shutdown = true;
            journal_.domain(domain.record);
            announce = true;
        }
    }
    for (const DomId domid : gone) drop_domain(domid);
    if (announce || !gone.empty()) fire_special("@releaseDomain");
}

}  // namespace xenstored
