// SPDX-License-Identifier: Apache-2.0
// Saved domains: the guest suspends itself, its file is written, and it goes or goes on; and a domain of such a file.
#include <algorithm>

#include "toolstack/migration/file.hpp"
#include "toolstack/service/caught.hpp"
#include "toolstack/service/log.hpp"
#include "toolstack/xend/core/domain_nodes.hpp"
#include "toolstack/xend/core/job.hpp"
#include "toolstack/xend/core/saved_domain.hpp"

namespace xend {

using base::DomId;
using base::Errc;
using base::Outcome;
using service::log;
using service::LogLevel;
using std::chrono::milliseconds;

namespace {

std::string control_path(DomId domain, const char* node) { return domain_path(domain) + "/control/" + node; }

}  // namespace

// -- saving -----------------------------------------------------------------------------------------------------------

Outcome<> Manager::save(const std::string& who, const std::string& path, AfterSave after) {
    if (!path.starts_with('/')) return base::fail(Errc::inval, "Unable to create file " + path + ": a whole path is wanted");
    std::optional<Job> job;
    DomainView view = OTRY(operate(who, Operation::save, job));
    if (!view.record || view.record->state != RecordState::live)
        return base::fail(Errc::perm, "Domain '" + view.name + "' was not made by xend: its configuration is not known");
    auto store = OTRY(stores_.lease());
    OTRY(offers_suspend(*store, view));
    // First of all, before the guest notices anything.
    OTRY(check_target(path));
    const auto file = OTRY(migration::PartFile::create(path));
    Record& record = *view.record;
    record.saving = SaveIntent{SaveIntent::Step::asking, path, "", after == AfterSave::resume};
    OTRY(ports_.records.note(record));
    log(LogLevel::info, "saving domain '" + view.name + "' to " + path);
    auto written = service::caught([&] { return write_image(*store, view, *file); });
    if (written && after == AfterSave::destroy) {
        record.saving.reset();
        return finish(view);
    }
    auto goes_on = go_on(*store, view.ref(), record);
    if (!goes_on) log(LogLevel::error, "domain '" + view.name + "' does not go on: " + goes_on.failure().text);
    if (written) return goes_on;
    log(LogLevel::error, "domain '" + view.name + "' was not saved: " + written.failure().text);
    return written;
}

/// A guest says it when its kernel is up: one that began a moment ago is given the time; one that says what else it takes, a second.
Outcome<> Manager::offers_suspend(xenstore::Store& store, const DomainView& view) {
    constexpr int64_t young_seconds = 60;
    constexpr milliseconds to_boot{30'000}, to_say_all{1000}, pause{100};
    const auto says = [&](const char* feature) -> Outcome<bool> {
        return OTRY(xenstore::read_if_there(store, control_path(view.info.id, feature))).value_or("") == "1";
    };
    const bool young = view.record && ports_.clock.unix_seconds() - view.record->start_time < young_seconds;
    for (milliseconds left = young ? to_boot : milliseconds{0};; left -= pause) {
        if (OTRY(says("feature-suspend"))) return base::ok;
        if (OTRY(says("feature-poweroff"))) left = std::min(left, to_say_all);
        if (left <= milliseconds{0}) break;
        ports_.clock.sleep(pause);
    }
    return base::fail(Errc::opnotsupp, "Domain '" + view.name +
                                           "' does not suspend itself: its kernel does not offer it (control/feature-suspend)");
}

/// What the domain would be made with now, not what it once began with.
Outcome<config::DomainConfig> Manager::config_now(const DomainView& view) {
    config::DomainConfig config = view.record->config;
    if (const auto info = OTRY(ports_.hypervisor.domain(view.info.id))) {
        config.memory_mib = (info->pages + 255) / 256;
        note_pool(config, info->cpupool);
    }
    if (config.maxmem_mib == 0) config.maxmem_mib = view.record->config.memory_mib;
    config.maxmem_mib = std::max(config.maxmem_mib, config.memory_mib);
    // Cards of which one was taken off keep their numbers: the guest knows them by these.
    std::vector<uint32_t> cards;
    for (const DeviceIntent& device : view.record->devices) {
        if (device.kind == "vif") cards.push_back(device.devid);
    }
    for (size_t i = 0; i < cards.size() && cards.size() == config.vifs.size(); ++i) {
        if (cards[i] != i || !config.vifs[i].devid.empty()) config.vifs[i].devid = std::to_string(cards[i]);
    }
    return config;
}

/// The domain suspended, and its file, which is whole as soon as the record says so.
Outcome<> Manager::write_image(xenstore::Store& store, DomainView& view, migration::PartFile& file) {
    OTRY(suspend(store, view));
    const config::DomainConfig config = OTRY(config_now(view));
    OTRY(ports_.hypervisor.save(view.ref(), file_config(config), file));
    view.record->saving->identity = OTRY(file.seal());
    view.record->saving->step = SaveIntent::Step::whole;
    OTRY(ports_.records.note(*view.record));
    return file.keep();
}

/// Asks the guest, and waits until it has stopped. Errors: timedout: the request is withdrawn then; io: it ended in another way.
Outcome<> Manager::suspend(xenstore::Store& store, const DomainView& view, const Wanted& wanted) {
    OTRY(store.write(control_path(view.info.id, "shutdown"), "suspend"));
    const milliseconds patience = ports_.settings.suspend_timeout;
    if (OTRY(suspends_within(store, view, patience, wanted))) return base::ok;
    const bool noticed = !OTRY(withdraw_suspend(store, view.info.id));
    if (noticed && OTRY(suspends_within(store, view, patience, wanted))) return base::ok;
    return base::fail(Errc::timedout, "Domain '" + view.name + "' did not suspend itself within " +
                                          std::to_string(ports_.settings.suspend_timeout.count() * (noticed ? 2 : 1)) +
                                          " seconds");
}

/// True when it has; false when the time is over. Errors: io: it ended in another way.
Outcome<bool> Manager::suspends_within(xenstore::Store& store, const DomainView& view, milliseconds time, const Wanted& wanted) {
    const std::string deaths = "@releaseDomain", token = "suspends";
    constexpr milliseconds longest_pause{200};
    OTRY(store.watch(deaths, token));
    const auto end = std::chrono::steady_clock::now() + time;
    Outcome<bool> out = false;
    for (;;) {
        const auto now = ports_.hypervisor.domain(view.info.id);
        const bool there = now && *now && (*now)->handle == view.uuid.bytes;
        if (there && (*now)->shutdown && (*now)->reason == xenctrl::ShutdownReason::suspend) out = true;
        else if (!there || (*now)->shutdown)
            out = base::fail(Errc::io, "Domain '" + view.name + "' ended instead of suspending itself");
        if (!out || *out || std::chrono::steady_clock::now() >= end) break;
        if (const auto still = wanted(); !still) out = still.failure();
        else if (const auto event = store.next_event(longest_pause); !event) out = event.failure();
    }
    auto ignored = store.unwatch(deaths, token);
    return out;
}

/// True when the guest had not taken the request; it will not find it any more.
Outcome<bool> Manager::withdraw_suspend(xenstore::Store& store, DomId domain) {
    bool withdrawn = false;
    const auto work = [&](xenstore::Transaction& tx) -> Outcome<> {
        const std::string path = control_path(domain, "shutdown");
        withdrawn = OTRY(tx.read_if_there(path)).value_or("") == "suspend";
        return withdrawn ? tx.write(path, "") : Outcome<>(base::ok);
    };
    OTRY(xenstore::in_transaction(store, work));
    return withdrawn;
}

/// Undoes what saving did to the guest, however far that came: a request is withdrawn, and who has suspended itself goes on.
Outcome<> Manager::go_on(xenstore::Store& store, const DomainRef& domain, Record& record) {
    if (record.saving->step == SaveIntent::Step::whole) {  // no more: it goes on from here
        record.saving->step = SaveIntent::Step::asking;
        OTRY(ports_.records.note(record));
    }
    const bool taken = !OTRY(withdraw_suspend(store, domain.id));
    const auto info = OTRY(ports_.hypervisor.domain(domain.id));
    const bool there = info && info->handle == domain.uuid.bytes;
    if (there && info->shutdown && info->reason == xenctrl::ShutdownReason::suspend) {
        OTRY(ports_.hypervisor.resume(domain));
        OTRY(store.resume(domain.id));
    } else if (there && taken && !info->shutdown && may_suspend_yet(record)) {
        return base::ok;
    }
    record.saving.reset();
    return ports_.records.note(record);
}

/// Whether a guest that had taken the request may still stop; from the first time on it has as long as it would have been waited for.
bool Manager::may_suspend_yet(Record& record) {
    SaveIntent& saving = *record.saving;
    const int64_t now = ports_.clock.unix_seconds();
    if (saving.step == SaveIntent::Step::late) return now < saving.until;
    saving.step = SaveIntent::Step::late;
    saving.until = now + ports_.settings.suspend_timeout.count();
    return bool(ports_.records.note(record));
}

/// Ends what saving a domain had come to when xend was killed: there is a whole file and the domain has ended, or it goes on and there
/// is no file, or both where it was to stay.
Outcome<> Manager::settle_save(xenstore::Store& store, const DomainRef& domain, Record& record) {
    if (!record.saving->transfer.empty()) return settle_departure(store, domain, record);
    const SaveIntent saving = *record.saving;
    const std::string what = "domain '" + record.config.name + "', which was being saved to " + saving.file + ", ";
    bool kept = false;
    if (saving.step == SaveIntent::Step::whole) {
        const auto named = migration::PartFile::keep_sealed(saving.file, saving.identity);
        if (!named) log(LogLevel::error, named.failure().text);
        kept = named && *named;
    }
    if (!kept && saving.step != SaveIntent::Step::late) {
        // One that stays is no more in the middle of being saved when it is to go on.
        const bool saved = migration::PartFile::is_kept(saving.file, saving.identity);
        migration::PartFile::discard(saving.file);
        log(LogLevel::warning, what + (saved ? "is saved and goes on" : "goes on; it was not saved"));
    }
    if (kept) log(LogLevel::warning, what + (saving.stays ? "is saved and goes on" : "is saved and ends"));
    if (!kept || saving.stays) return go_on(store, domain, record);
    DomainView view = view_of(domain.id, record);
    view.record->saving.reset();
    return finish(view);
}

// -- restoring --------------------------------------------------------------------------------------------------------

Outcome<DomainView> Manager::restore(const std::string& path, Run run, std::vector<std::string>& warnings) {
    if (!path.starts_with('/')) return base::fail(Errc::inval, "Unable to read file " + path + ": a whole path is wanted");
    SavedDomain saved = OTRY(open_saved(path));
    warnings = std::move(saved.warnings);
    Record record;
    record.config = std::move(saved.config);
    fill_in(record.config);
    const Job job(*this, record.config.uuid);
    return restore_as(std::move(record), path, *saved.image, run);
}

/// Makes the domain of `record`, whose lock the caller has, of what follows in `image`.
Outcome<DomainView> Manager::restore_as(Record record, const std::string& path, proto::saved::Reader& image, Run run) {
    auto store = OTRY(stores_.lease());
    {
        const std::lock_guard claiming(claims_mutex_);
        OTRY(check_name(record.config.name, record.config.uuid));
        OTRY(check_managed_name(record.config.name, record.config.uuid));
        OTRY(claim_held(*store, record));
    }
    log(LogLevel::info, "restoring domain '" + record.config.name + "' from " + path);
    const auto id = start(*store, record, record.resuming ? Run::later : run, &image);
    if (!id) {
        log(LogLevel::error, "domain '" + record.config.name + "' was not restored: " + id.failure().text);
        return base::Failure(id.failure()).with(path);
    }
    log(LogLevel::info, "domain '" + record.config.name + "' has ID " + std::to_string(id->raw));
    if (record.resuming) OTRY(settle_resume(*store, {*id, record.config.uuid}, record));
    return view_of(*id, record);
}

}  // namespace xend
