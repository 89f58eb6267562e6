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

void warn(const std::string& what, const Outcome<>& done) {
    if (!done) log(LogLevel::warning, what + ": " + done.failure().text);
}

}  // namespace

/// Takes away everything of a domain: devices, the domain, its nodes. A domain that has the number by now is left alone with all
/// that goes by it. `record`: what there is of it, with the devices to take off. Errors: of the hypervisor and the store; something
/// of the domain is still there then, and `record` says what.
Outcome<> Manager::remove_domain(xenstore::Store& store, const DomainRef& domain, Record* record) {
    const std::string what = "while removing domain " + std::to_string(domain.id.raw);
    const auto now = OTRY(ports_.hypervisor.domain(domain.id).context(what));
    const bool there = now && now->handle == domain.uuid.bytes;
    const bool reused = now && !there;
    if (domain.id != DomId{0} && !reused) {
        if (there) auto paused = ports_.hypervisor.pause(domain);  // the guest must not race with its devices
        OTRY(devices_.detach_all(store, domain.id, record).context(what));
        auto destroyed = there ? ports_.hypervisor.destroy(domain) : Outcome<>(base::ok);
        if (!destroyed && destroyed.failure().code != base::Errc::srch) return std::move(destroyed).context(what);
        auto introduced = store.is_introduced(domain.id);
        if (introduced && *introduced) {
            auto ignored = store.release(domain.id);  // the daemon may have seen the death first
        }
        OTRY(xenstore::remove_if_there(store, domain_path(domain.id)).context(what));
    }
    if (reused) log(LogLevel::warning, what + ": the number is another domain's by now, which is left alone");
    if (!domain.uuid.is_nil()) OTRY(xenstore::remove_if_there(store, vm_path(domain.uuid)).context(what));
    if (there) await_gone(domain.id);
    return base::ok;
}

/// Waits a little for the last references to go, so that the memory is free when we say so.
void Manager::await_gone(DomId domain) {
    milliseconds waited{0};
    for (milliseconds pause{1}; waited < milliseconds{4000}; pause = std::min(2 * pause, milliseconds{50})) {
        const auto now = ports_.hypervisor.domain(domain);
        if (!now || !*now) return;
        ports_.clock.sleep(pause);
        waited += pause;
    }
    log(LogLevel::warning, "domain " + std::to_string(domain.raw) + " is still dying: something holds its memory");
}

/// Whoever looks sees why the domain is not gone yet; the reaper tries again.
void Manager::keep_trying(Record& record, const base::Failure& why) {
    log(LogLevel::error, "domain '" + record.config.name + "': " + why.text + "; this is tried again");
    record.reason = why.text;
    warn("journal", ports_.records.save(record));
}

/// Removes the domain and, with it, what we remember. The caller holds its lock. Errors: it is not gone; of one that has a record
/// that says so, and it is tried again.
Outcome<> Manager::finish(const DomainView& view) {
    std::optional<Record> record = view.record;
    if (record) {
        warn("journal", advance(*record, RecordEvent::take_away));
        warn("journal", ports_.records.save(*record));
    }
    auto store = stores_.lease();
    auto removed = store ? remove_domain(**store, view.ref(), record ? &*record : nullptr) : Outcome<>(store.failure());
    if (!record) return removed;
    if (!removed) {
        keep_trying(*record, removed.failure());
        return removed;
    }
    return ports_.records.remove(view.uuid);
}

Outcome<> Manager::destroy(const std::string& who) {
    auto found = operate(who, Operation::destroy);
    if (!found && found.failure().code == base::Errc::noent) return forget_failed(who, found.failure());
    if (!found) return std::move(found).take_failure();
    const DomainView view = std::move(found).take();
    // Its way to another host may take hours, and what is to end need not arrive.
    const auto move = moves_.find(view.uuid);
    const bool handed = move && !move->cancel();
    const Job job(*this, view.uuid);
    auto again = find(view.uuid.is_nil() ? who : std::to_string(view.info.id.raw));  // it may have ended while we waited
    const bool gone = !again || again->uuid != view.uuid;
    if (gone && handed)
        return base::fail(base::Errc::busy,
                          "Domain '" + view.name + "' was handed over to another host, and is not destroyed there");
    if (gone) return base::ok;
    log(LogLevel::info, "destroying domain '" + view.name + "'");
    return finish(*again);
}

/// Errors: `otherwise`, when there is none of this name or uuid.
Outcome<> Manager::forget_failed(const std::string& who, const base::Failure& otherwise) {
    for (const Record& record : OTRY(failed())) {
        if (record.config.name != who && record.config.uuid.text() != who) continue;
        log(LogLevel::info, "forgetting domain '" + record.config.name + "', which could not be restarted");
        return ports_.records.remove(record.config.uuid);
    }
    return otherwise;
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
    if (wants_dump(facts, ports_.settings.dump_crashes)) {
        const auto dumped = dump(view, "", Dump::still);
        if (!dumped) log(LogLevel::error, "domain '" + view.name + "' was not dumped: " + dumped.failure().text);
    }
    switch (follow) {
        case Follow::too_fast:
            log(LogLevel::error, too_fast_text(view.name, facts));
            warn("destroy", finish(view));
            break;
        case Follow::destroy: warn("destroy", finish(view)); break;
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
/// `record`: the restart's, which the journal has; it must not say again that the domain lives.
Outcome<> Manager::set_aside(xenstore::Store& store, const DomainView& view, const Record& record) {
    Record kept = *view.record;
    kept.config.uuid = config::Uuid::random();
    kept.config.name = "Domain-" + kept.config.uuid.text();
    OTRY(advance(kept, RecordEvent::keep));
    Record with_devices = record;
    OTRY(devices_.detach_all(store, view.info.id, &with_devices));
    kept.devices.clear();
    kept.config.disks.clear();  // they are free for its successor
    kept.config.vifs.clear();
    OTRY(ports_.records.save(kept));
    OTRY(ports_.hypervisor.set_handle(view.ref(), kept.config.uuid));
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
    note_pool(record.config, view.info.cpupool);
    warn("journal", ports_.records.save(record));
    if (how == Follow::rename_restart) {
        auto aside = set_aside(**store, view, record);
        if (aside) return start_again(**store, record);
        log(LogLevel::error, "domain '" + view.name + "' cannot be set aside: " + aside.failure().text);
    }
    const auto removed = remove_domain(**store, view.ref(), &record);
    if (!removed) return keep_trying(record, removed.failure());
    start_again(**store, record);
}

/// Makes the domain of `record` anew and lets it run.
void Manager::start_again(xenstore::Store& store, Record& record) {
    record.reason.clear();
    Outcome<> allowed = base::ok;
    {
        const std::lock_guard claiming(claims_mutex_);
        allowed = check_drivers(store, record.config);  // somebody else may have taken its disks meanwhile
    }
    if (!allowed) return warn("journal", keep_failed(record, allowed.failure().text));
    const auto made = start(store, record, Run::now);  // a failure is in the log
    if (made) { log(LogLevel::info, "domain '" + record.config.name + "' was restarted with ID " + std::to_string(made->raw)); }
}

namespace {

const xenctrl::DomainInfo* info_of(const std::vector<xenctrl::DomainInfo>& infos, const Record& record) {
    const auto at = std::find_if(infos.begin(), infos.end(), [&](const xenctrl::DomainInfo& info) {
        return info.handle == record.config.uuid.bytes && info.id.raw == record.domid;
    });
    return at == infos.end() ? nullptr : &*at;
}

/// Whether something of it failed, or was cut short, and is to be done again; unless a job is at it, which has its lock.
bool wants_another_try(const Record& record) {
    if (record.state == RecordState::live) return record.changes();
    if (record.state == RecordState::preserved) return !record.renaming.empty();
    return record.state != RecordState::failed;
}

/// Whether `record`'s domain, of which the hypervisor says `info` (null: gone), ended by itself and nobody has seen to it.
bool has_ended(const Record& record, const xenctrl::DomainInfo* info) {
    if (wants_another_try(record)) return true;
    if (info != nullptr) return info->shutdown && !info->dying && record.state == RecordState::live;
    return record.state == RecordState::live || record.state == RecordState::preserved;  // else a job has it
}

}  // namespace

Outcome<std::vector<Record>> Manager::ended() {
    const auto records = OTRY(ports_.records.load());
    std::vector<Record> out;
    if (records.empty()) return out;
    const auto infos = OTRY(ports_.hypervisor.list());
    for (const RecordPtr& record : records)
        if (has_ended(*record, info_of(infos, *record))) out.push_back(*record);
    return out;
}

Outcome<bool> Manager::follow_up(const Record& record) {
    const Job job(*this, record.config.uuid, Job::Wait::not_at_all);
    if (!job.held()) return true;
    const auto now = OTRY(ports_.records.find(record.config.uuid));  // what was true before the lock may not be now
    if (!now || now->state != record.state || now->domid != record.domid) return false;
    const auto infos = OTRY(ports_.hypervisor.list());
    const xenctrl::DomainInfo* info = info_of(infos, record);
    if (!has_ended(*now, info)) return false;
    if (wants_another_try(*now) && (info != nullptr || now->state != RecordState::live)) {
        OTRY(finish_held(*now));
        return false;
    }
    DomainView view;
    if (info != nullptr) view.info = *info;
    view.info.id = record.id();
    view.name = record.config.name;
    view.uuid = record.config.uuid;
    view.record = now;
    if (info != nullptr) {
        follow_stop(view);
    } else {
        log(LogLevel::info, "domain '" + record.config.name + "' is gone; somebody else destroyed it");
        warn("destroy", finish(view));
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

Outcome<> Manager::announce_dom0() {
    auto store = OTRY(stores_.lease());
    const std::string dom0 = domain_path(DomId{0});
    const std::pair<std::string, const char*> nodes[] = {
        {dom0 + "/name", "Domain-0"}, {dom0 + "/domid", "0"}, {"/local/pool/0/name", "Pool-0"}};
    for (const auto& [path, value] : nodes) {
        if (!OTRY(xenstore::read_if_there(*store, path))) OTRY(store->write(path, value));
    }
    return limit_dom0_cpus(*store);
}

/// dom0's kernel takes its vCPUs away, and brings them back, as these nodes say.
Outcome<> Manager::limit_dom0_cpus(xenstore::Store& store) {
    const uint32_t wanted = ports_.settings.dom0_cpus;
    if (wanted == 0) return base::ok;
    const auto info = OTRY(ports_.hypervisor.domain(DomId{0}));
    for (uint32_t i = 0; info && i < info->vcpus; ++i) {
        OTRY(store.write(domain_path(DomId{0}) + "/cpu/" + std::to_string(i) + "/availability",
                         i < wanted ? "online" : "offline"));
    }
    return base::ok;
}

Outcome<std::vector<Record>> Manager::interrupted() {
    std::vector<Record> out;
    for (const RecordPtr& record : OTRY(ports_.records.load()))
        if (wants_another_try(*record)) out.push_back(*record);  // reap() looks at the others
    return out;
}

Outcome<> Manager::finish_interrupted(const Record& seen) {
    const Job job(*this, seen.config.uuid);
    const auto now = OTRY(ports_.records.find(seen.config.uuid));
    if (!now || now->state != seen.state || now->domid != seen.domid) return base::ok;  // somebody has seen to it
    log(LogLevel::warning, "finishing what was interrupted for domain '" + now->config.name + "'");
    return finish_held(*now);
}

/// The caller holds the domain's lock. Errors: it could not be finished; the record says why, and it is tried again.
Outcome<> Manager::finish_held(Record record) {
    end_scripts(record);  // first of all those who would go on writing behind our back
    // A domain whose number never reached the journal is found by its handle.
    DomainRef domain{record.id(), record.config.uuid};
    for (const auto& info : OTRY(ports_.hypervisor.list())) {
        if (info.handle == record.config.uuid.bytes) domain.id = info.id;
    }
    auto store = OTRY(stores_.lease());
    if (record.state == RecordState::live && record.dumping) OTRY(end_dump(domain, record));
    const bool stays = record.state == RecordState::live || record.state == RecordState::preserved;
    const bool leaves = record.saving && !record.saving->transfer.empty();  // until that is settled it shows it in its name
    if (stays && !leaves && !record.renaming.empty()) OTRY(settle_name(*store, domain, record));
    if (record.state == RecordState::preserved) return base::ok;
    if (record.state == RecordState::live && record.resuming) return settle_resume(*store, domain, record);
    if (record.state == RecordState::live && record.arriving) return settle_arrived(*store, record);
    if (record.state == RecordState::live && record.saving) return settle_save(*store, domain, record);
    if (record.state == RecordState::live) return finish_device_changes(*store, record);
    if (record.state == RecordState::creating && record.arriving && OTRY(settle_arriving(*store, record))) return base::ok;
    auto removed = remove_domain(*store, domain, &record);
    if (!removed) {
        keep_trying(record, removed.failure());
        return removed;
    }
    if (record.state != RecordState::restarting) return ports_.records.remove(record.config.uuid);
    start_again(*store, record);
    return base::ok;
}

Outcome<> Manager::recover() {
    OTRY(announce_dom0());
    OTRY(sweep_transfers());
    for (const Record& record : OTRY(interrupted())) OTRY(finish_interrupted(record));
    OTRY(reap());
    return base::ok;
}

}  // namespace xend
