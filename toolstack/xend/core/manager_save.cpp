// SPDX-License-Identifier: Apache-2.0
// Saved domains: the guest suspends itself, its file is written, and it goes or goes on; and a domain of such a file.
#include "lib/base/number.hpp"
#include "toolstack/config/domain_file.hpp"
#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/config/libxl_json.hpp"
#include "toolstack/migration/file.hpp"
#include "toolstack/service/log.hpp"
#include "toolstack/xend/core/domain_nodes.hpp"
#include "toolstack/xend/core/job.hpp"

namespace xend {

using base::DomId;
using base::Errc;
using base::Outcome;
using proto::saved::FileConfig;
using service::log;
using service::LogLevel;
using std::chrono::milliseconds;

namespace {

constexpr const char* our_tail = "xenolith";

/// For xl the configuration in its words; behind it, where xl does not look, all of it in ours.
FileConfig file_config(const config::DomainConfig& config) {
    const proto::Sxp ours = proto::Sxp::named(our_tail).add(config::to_sxp(config));
    return {false, config::to_file(config), proto::to_string(ours)};
}

Outcome<config::DomainConfig> config_of(const FileConfig& file, const std::string& path, std::vector<std::string>& warnings) {
    const std::string where = "the configuration in " + path;
    if (const auto ours = proto::parse_sxp(file.tail); ours && ours->name() == our_tail) {
        if (const proto::Sxp* vm = ours->child("vm")) return config::from_sxp(*vm).context(where);
    }
    auto loaded = OTRY(file.json ? config::from_libxl_json(file.text, where) : config::parse_config(file.text, where));
    OTRY(config::validate(loaded.config).context(where));
    warnings = std::move(loaded.warnings);
    return std::move(loaded.config);
}

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
    const auto offered = OTRY(xenstore::read_if_there(*store, control_path(view.info.id, "feature-suspend")));
    if (offered.value_or("") != "1")
        return base::fail(
            Errc::opnotsupp,
            "Domain '" + view.name + "' does not suspend itself: its kernel does not offer it (control/feature-suspend)");
    // First of all, before the guest notices anything.
    const auto file = OTRY(migration::PartFile::create(path));
    Record& record = *view.record;
    record.saving = true;
    OTRY(ports_.records.note(record));
    log(LogLevel::info, "saving domain '" + view.name + "' to " + path);
    auto written = write_image(*store, view, *file);
    if (!written || after == AfterSave::resume) {
        auto goes_on = go_on(*store, view.ref(), record);
        if (!goes_on) log(LogLevel::error, "domain '" + view.name + "' does not go on: " + goes_on.failure().text);
        if (written) return goes_on;
        log(LogLevel::error, "domain '" + view.name + "' was not saved: " + written.failure().text);
        return written;
    }
    record.saving = false;
    return finish(view);
}

/// The domain suspended, and its file. Nothing else is changed.
Outcome<> Manager::write_image(xenstore::Store& store, const DomainView& view, migration::PartFile& file) {
    OTRY(suspend(store, view));
    config::DomainConfig config = view.record->config;
    // What it has now, not what it once began with.
    if (const auto info = OTRY(ports_.hypervisor.domain(view.info.id))) config.memory_mib = (info->pages + 255) / 256;
    if (config.maxmem_mib == 0) config.maxmem_mib = view.record->config.memory_mib;
    config.maxmem_mib = std::max(config.maxmem_mib, config.memory_mib);
    OTRY(ports_.hypervisor.save(view.ref(), file_config(config), file));
    return file.keep();
}

/// Asks the guest, and waits until it has stopped. Errors: timedout: the request is withdrawn then; io: it ended in another way.
Outcome<> Manager::suspend(xenstore::Store& store, const DomainView& view) {
    OTRY(store.write(control_path(view.info.id, "shutdown"), "suspend"));
    const milliseconds patience = ports_.settings.suspend_timeout;
    if (OTRY(suspends_within(store, view, patience))) return base::ok;
    const bool noticed = !OTRY(withdraw_suspend(store, view.info.id));
    if (noticed && OTRY(suspends_within(store, view, patience))) return base::ok;
    return base::fail(Errc::timedout, "Domain '" + view.name + "' did not suspend itself within " +
                                          std::to_string(ports_.settings.suspend_timeout.count() * (noticed ? 2 : 1)) +
                                          " seconds");
}

/// True when it has; false when the time is over. Errors: io: it ended in another way.
Outcome<bool> Manager::suspends_within(xenstore::Store& store, const DomainView& view, milliseconds time) {
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
        if (const auto event = store.next_event(longest_pause); !event) out = event.failure();
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
    const bool asked = !OTRY(withdraw_suspend(store, domain.id));
    auto info = OTRY(ports_.hypervisor.domain(domain.id));
    const auto suspended = [&] {
        return info && info->handle == domain.uuid.bytes && info->shutdown && info->reason == xenctrl::ShutdownReason::suspend;
    };
    // One that has read the request stops a little later.
    for (int i = 0; asked && !suspended() && i < 10; ++i) {
        ports_.clock.sleep(milliseconds{100});
        info = OTRY(ports_.hypervisor.domain(domain.id));
    }
    if (suspended()) {
        OTRY(ports_.hypervisor.resume(domain));
        OTRY(store.resume(domain.id));
    }
    record.saving = false;
    return ports_.records.save(record);
}

// -- restoring --------------------------------------------------------------------------------------------------------

Outcome<DomainView> Manager::restore(const std::string& path, Run run, std::vector<std::string>& warnings) {
    const auto source = OTRY(migration::FileSource::open(path));
    proto::saved::Reader image(*source);
    const FileConfig file = OTRY(image.file().context(path));
    Record record;
    record.config = OTRY(config_of(file, path, warnings));
    for (const std::string& warning : warnings) log(LogLevel::warning, warning);
    fill_in(record.config);
    auto store = OTRY(stores_.lease());
    const Job job(*this, record.config.uuid);
    {
        const std::lock_guard claiming(claims_mutex_);
        OTRY(check_name(record.config.name, record.config.uuid));
        OTRY(check_managed_name(record.config.name, record.config.uuid));
        OTRY(claim_held(*store, record));
    }
    log(LogLevel::info, "restoring domain '" + record.config.name + "' from " + path);
    const auto id = start(*store, record, run, &image);
    if (!id) {
        log(LogLevel::error, "domain '" + record.config.name + "' was not restored: " + id.failure().text);
        return base::Failure(id.failure()).with(path);
    }
    log(LogLevel::info, "domain '" + record.config.name + "' has ID " + std::to_string(id->raw));
    return view_of(*id, record);
}

}  // namespace xend
