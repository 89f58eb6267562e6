// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/core/domain_names.hpp"

#include <algorithm>

#include "lib/base/number.hpp"
#include "toolstack/xend/core/domain_nodes.hpp"

namespace xend {

using base::DomId;
using base::Outcome;
using xenctrl::DomainInfo;

namespace {

std::string path_of(DomId domain) { return domain_path(domain) + "/name"; }
std::string token_of(DomId domain) { return std::to_string(domain.raw); }

/// `domains` stand in the order of their numbers, as the hypervisor lists them.
bool has(const std::vector<DomainInfo>& domains, DomId id) {
    return std::ranges::binary_search(domains, id.raw, {}, [](const DomainInfo& info) { return info.id.raw; });
}

}  // namespace

/// What changed must be read again. Never blocks: whoever has the connection now takes them too.
void DomainNames::take_events() {
    const std::unique_lock using_store(store_mutex_, std::try_to_lock);
    while (using_store.owns_lock() && store_) {
        auto event = store_->poll_event();
        if (!event || !*event) return;
        const auto id = base::parse_number<uint16_t>((*event)->token);
        const std::lock_guard guard(mutex_);
        const auto at = id ? known_.find(DomId{*id}) : known_.end();
        if (at != known_.end()) at->second.valid = false;
    }
}

/// Those whose name must be asked for; what is known of others that are gone is forgotten.
std::vector<DomainInfo> DomainNames::unknown(const std::vector<DomainInfo>& domains) {
    const std::lock_guard guard(mutex_);
    std::erase_if(known_, [&](const auto& one) { return !has(domains, one.first); });
    std::vector<DomainInfo> out;
    for (const DomainInfo& info : domains) {
        const auto at = known_.find(info.id);
        if (at == known_.end() || !at->second.valid || at->second.handle != info.handle) out.push_back(info);
    }
    return out;
}

void DomainNames::unwatch_all_but(const std::vector<DomainInfo>& domains) {
    std::erase_if(watched_, [&](DomId id) {
        if (has(domains, id)) return false;
        auto ignored = store_->unwatch(path_of(id), token_of(id));
        return true;
    });
}

/// A change while this reads is an event, which somebody takes when this is over.
Outcome<> DomainNames::read(const std::vector<DomainInfo>& domains) {
    for (const DomainInfo& info : domains) {
        if (!watched_.contains(info.id)) OTRY(store_->watch(path_of(info.id), token_of(info.id)));
        watched_.insert(info.id);
        const auto name = OTRY(xenstore::read_if_there(*store_, path_of(info.id)));
        const std::lock_guard guard(mutex_);
        known_[info.id] = {info.handle, name.value_or(""), true};
    }
    return base::ok;
}

Outcome<std::vector<std::string>> DomainNames::of(const std::vector<DomainInfo>& domains) {
    take_events();
    if (!unknown(domains).empty()) {
        const std::lock_guard using_store(store_mutex_);
        if (!store_) store_ = OTRY(stores_.open().context("Unable to connect to the store"));
        unwatch_all_but(domains);
        OTRY(read(unknown(domains)));
    }
    std::vector<std::string> out;
    const std::lock_guard guard(mutex_);
    for (const DomainInfo& info : domains) {
        const auto at = known_.find(info.id);
        out.push_back(at == known_.end() ? "" : at->second.name);
    }
    return out;
}

}  // namespace xend
