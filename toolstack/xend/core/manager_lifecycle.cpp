// SPDX-License-Identifier: Apache-2.0
// How a domain ends, and what follows; and how a new xend takes over from one that was killed.
#include <algorithm>

#include "toolstack/service/log.hpp"
#include "toolstack/xend/core/domain_nodes.hpp"
#include "toolstack/xend/core/job.hpp"

namespace xend {

using base::DomId;
using base::Outcome;
using service::log;
using service::LogLevel;
using std::chrono::milliseconds;

namespace {

DomId id_of(const Record& record) { return DomId{static_cast<uint16_t>(record.domid.value_or(0))}; }

void warn(const std::string& what, const Outcome<>& done) {
    if (!done) log(LogLevel::warning, what + ": " + done.failure().text);
}

}  // namespace

/// Takes away everything of a domain: devices, the domain, its nodes. Goes on past failures, which are logged.
void Manager::remove_domain(xenstore::Store& store, DomId domain, const config::Uuid& uuid) {
    if (domain == DomId{0}) return;
    const std::string what = "while removing domain " + std::to_string(domain.raw);
    auto paused = ports_.hypervisor.pause(domain);  // the guest must not race with its devices; it may be gone already
    devices_.detach_all(store, domain);
    auto destroyed = ports_.hypervisor.destroy(domain);
    if (!destroyed && destroyed.failure().code != base::Errc::srch) warn(what, destroyed);
    auto introduced = store.is_introduced(domain);
    if (introduced && *introduced) {
        auto ignored = store.release(domain);  // the daemon may have seen the death first
    }
    remove_nodes(store, domain, uuid);
    await_gone(domain);
}

void Manager::remove_nodes(xenstore::Store& store, DomId domain, const config::Uuid& uuid) {
    // An id can be in use again, by xl or by us: only what is still this domain's goes.
    auto vm = xenstore::read_if_there(store, domain_path(domain) + "/vm");
    const bool ours = vm && (!*vm || **vm == vm_path(uuid));
    if (ours) warn("while removing the store's nodes", xenstore::remove_if_there(store, domain_path(domain)));
    if (!uuid.is_nil()) warn("while removing the store's nodes", xenstore::remove_if_there(store, vm_path(uuid)));
}

/// Waits a little for the last references to go, so that the memory is free when we say so.
void Manager::await_gone(DomId domain) {
    for (int i = 0; i < 100; ++i) {
        auto infos = ports_.hypervisor.list();
        if (!infos) return;
        const bool there = std::any_of(infos->begin(), infos->end(), [&](const auto& info) { return info.id == domain; });
        if (!there) return;
        ports_.clock.sleep(milliseconds{i < 20 ? 10 : 50});
    }
    log(LogLevel::warning, "domain " + std::to_string(domain.raw) + " is still dying: something holds its memory");
}

/// Removes the domain and, with it, what we remember. The caller holds its lock.
void Manager::finish(const DomainView& view) {
    auto store = stores_.lease();
    if (!store) {
        log(LogLevel::error, store.failure().text);
        return;
    }
    if (view.record) {
        Record record = *view.record;
        warn("journal", advance(record, RecordEvent::take_away));
        warn("journal", ports_.records.save(record));
    }
    remove_domain(**store, view.info.id, view.uuid);
    if (view.record) warn("journal", ports_.records.remove(view.uuid));
}

Outcome<> Manager::destroy(const std::string& who) {
    DomainView view = OTRY(operate(who, Operation::destroy));
    const Job job(*this, view.uuid);
    auto again = find(view.uuid.is_nil() ? who : std::to_string(view.info.id.raw));  // it may have ended while we waited
    if (!again || again->uuid != view.uuid) return base::ok;
    log(LogLevel::info, "destroying domain '" + view.name + "'");
    finish(*again);
    return base::ok;
}

/// Whether somebody asked for this end with xm: such an end is no sign of a loop.
bool Manager::asked_for(const DomainView& view) {
    auto since = store_value(vm_path(view.uuid) + "/xend/shutdown_start_time");
    return since && !since->empty();
}

void Manager::follow_stop(const DomainView& view) {
    StopFacts facts;
    facts.reason = view.info.reason;
    facts.on_poweroff = view.record->config.on_poweroff;
    facts.on_reboot = view.record->config.on_reboot;
    facts.on_crash = view.record->config.on_crash;
    facts.on_watchdog = view.record->config.on_watchdog;
    facts.preserved = view.record->state == RecordState::preserved;
    facts.now = ports_.clock.unix_seconds();
    facts.previous_restart = asked_for(view) ? 0 : view.record->previous_restart;
    facts.min_restart_seconds = ports_.settings.min_restart_seconds;
    const Follow follow = after_stop(facts);
    if (follow == Follow::nothing) return;
    log(LogLevel::info, "domain '" + view.name + "' has shutdown, reason " + xenctrl::shutdown_reason_name(view.info.reason));
    switch (follow) {
        case Follow::too_fast:
            log(LogLevel::error, too_fast_text(view.name, facts));
            finish(view);
            break;
        case Follow::destroy: finish(view); break;
        case Follow::preserve: preserve(view); break;
        case Follow::restart:
        case Follow::rename_restart: restart(view, follow); break;
        case Follow::nothing: break;
    }
}

void Manager::preserve(const DomainView& view) {
    Record record = *view.record;
    if (const auto kept = advance(record, RecordEvent::keep); !kept) return warn("preserve", kept);
    warn("journal", ports_.records.save(record));
    auto store = stores_.lease();
    if (store) warn("preserve", (*store)->write(vm_path(view.uuid) + "/xend/shutdown_completed", "True"));
}

/// Renames a stopped domain out of the way and takes its devices; it stays for whoever wants to look at it.
Outcome<> Manager::set_aside(xenstore::Store& store, const DomainView& view) {
    Record kept = *view.record;
    kept.config.uuid = config::Uuid::random();
    kept.config.name = "Domain-" + kept.config.uuid.text();
    OTRY(advance(kept, RecordEvent::keep));
    devices_.detach_all(store, view.info.id);
    OTRY(ports_.records.save(kept));
    OTRY(ports_.hypervisor.set_handle(view.info.id, kept.config.uuid));
    return xenstore::in_transaction(store, [&](xenstore::Transaction& tx) -> Outcome<> {
        OTRY(tx.write(domain_path(view.info.id) + "/name", kept.config.name));
        OTRY(tx.write(domain_path(view.info.id) + "/vm", vm_path(kept.config.uuid)));
        return tx.write(vm_path(kept.config.uuid) + "/name", kept.config.name);
    });
}

void Manager::restart(const DomainView& view, Follow how) {
    auto store = stores_.lease();
    if (!store) {
        log(LogLevel::error, store.failure().text);
        return;
    }
    Record record = *view.record;
    if (const auto begun = advance(record, RecordEvent::restart); !begun) return warn("restart", begun);
    record.previous_restart = asked_for(view) ? 0 : ports_.clock.unix_seconds();
    ++record.restarts;
    warn("journal", ports_.records.save(record));
    if (how == Follow::rename_restart) {
        auto aside = set_aside(**store, view);
        if (!aside) log(LogLevel::error, "domain '" + view.name + "' cannot be set aside: " + aside.failure().text);
        if (!aside) remove_domain(**store, view.info.id, view.uuid);
    } else {
        remove_domain(**store, view.info.id, view.uuid);
    }
    record.domid.reset();
    auto made = start(**store, record);
    if (!made) {
        log(LogLevel::error, "domain '" + view.name + "' could not be restarted: " + made.failure().text);
        return;
    }
    record.start_time = ports_.clock.unix_seconds();
    warn("journal", ports_.records.save(record));
    warn("while starting domain '" + view.name + "' again", ports_.hypervisor.unpause(*made));
    log(LogLevel::info, "domain '" + view.name + "' was restarted with ID " + std::to_string(made->raw));
}

namespace {

const xenctrl::DomainInfo* info_of(const std::vector<xenctrl::DomainInfo>& infos, const Record& record) {
    const auto at = std::find_if(infos.begin(), infos.end(), [&](const xenctrl::DomainInfo& info) {
        return info.handle == record.config.uuid.bytes && info.id.raw == record.domid;
    });
    return at == infos.end() ? nullptr : &*at;
}

/// Whether `record`'s domain, of which the hypervisor says `info` (null: gone), ended by itself and nobody has seen to it.
bool has_ended(const Record& record, const xenctrl::DomainInfo* info) {
    if (info != nullptr) return info->shutdown && !info->dying && record.state == RecordState::live;
    return record.state == RecordState::live || record.state == RecordState::preserved;  // else a job has it
}

}  // namespace

Outcome<std::vector<Record>> Manager::ended() {
    std::vector<Record> out = OTRY(ports_.records.load());
    if (out.empty()) return out;
    const auto infos = OTRY(ports_.hypervisor.list());
    std::erase_if(out, [&](const Record& record) { return !has_ended(record, info_of(infos, record)); });
    return out;
}

Outcome<bool> Manager::follow_up(const Record& record) {
    const std::unique_lock creating(create_mutex_, std::try_to_lock);  // a restart is a creation
    if (!creating.owns_lock()) return true;
    const Job job(*this, record.config.uuid, Job::Wait::not_at_all);
    if (!job.held()) return true;
    const auto now = OTRY(ports_.records.find(record.config.uuid));  // what was true before the lock may not be now
    if (!now || now->state != record.state || now->domid != record.domid) return false;
    const auto infos = OTRY(ports_.hypervisor.list());
    const xenctrl::DomainInfo* info = info_of(infos, record);
    if (!has_ended(record, info)) return false;
    DomainView view;
    if (info != nullptr) view.info = *info;
    view.info.id = id_of(record);
    view.name = record.config.name;
    view.uuid = record.config.uuid;
    view.record = record;
    if (info != nullptr) {
        follow_stop(view);
    } else {
        log(LogLevel::info, "domain '" + record.config.name + "' is gone; somebody else destroyed it");
        finish(view);
    }
    return false;
}

Outcome<bool> Manager::reap() {
    bool again = false;
    for (const Record& record : OTRY(ended())) {
        const bool busy = OTRY(follow_up(record));
        again = again || busy;
    }
    return again;
}

void Manager::recover_one(xenstore::Store& store, Record record, const std::vector<xenctrl::DomainInfo>& domains) {
    const auto at = std::find_if(domains.begin(), domains.end(),
                                 [&](const xenctrl::DomainInfo& info) { return info.handle == record.config.uuid.bytes; });
    if (record.state == RecordState::live || record.state == RecordState::preserved) return;  // reap() looks at these
    // A domain whose id never reached the journal is found by its uuid.
    const DomId id = at != domains.end() ? at->id : id_of(record);
    log(LogLevel::warning, "finishing what was interrupted for domain '" + record.config.name + "'");
    if (id != DomId{0}) remove_domain(store, id, record.config.uuid);
    if (record.state != RecordState::restarting) {
        warn("journal", ports_.records.remove(record.config.uuid));
        return;
    }
    auto made = start(store, record);
    if (!made) {
        log(LogLevel::error, "domain '" + record.config.name + "' could not be restarted: " + made.failure().text);
        return;
    }
    record.start_time = ports_.clock.unix_seconds();
    warn("journal", ports_.records.save(record));
    warn("while starting domain '" + record.config.name + "' again", ports_.hypervisor.unpause(*made));
}

Outcome<> Manager::recover() {
    auto store = OTRY(stores_.lease());
    const std::string dom0 = domain_path(DomId{0});
    for (const auto& [key, value] : {std::pair{"/name", "Domain-0"}, std::pair{"/domid", "0"}}) {
        if (!OTRY(xenstore::read_if_there(*store, dom0 + key))) OTRY(store->write(dom0 + key, value));
    }
    const auto infos = OTRY(ports_.hypervisor.list());
    for (const Record& record : OTRY(ports_.records.load())) recover_one(*store, record, infos);
    OTRY(reap());
    return base::ok;
}

}  // namespace xend
