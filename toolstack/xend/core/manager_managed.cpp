// SPDX-License-Identifier: Apache-2.0
// Domains whose configuration xend keeps, whether they run or not.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "toolstack/service/log.hpp"
#include "toolstack/service/process.hpp"
#include "toolstack/xend/core/disk_check.hpp"
#include "toolstack/xend/core/job.hpp"
#include "toolstack/xend/core/saved_domain.hpp"

namespace xend {

namespace {

/// With its folder.
base::Outcome<> remove_checkpoint(const std::string& file) {
    OTRY(migration::PartFile::remove(file));
    ::rmdir(file.substr(0, file.rfind('/')).c_str());
    return base::ok;
}

}  // namespace

using base::Errc;
using base::Outcome;
using config::DomainConfig;
using service::log;
using service::LogLevel;

Outcome<std::vector<DomainConfig>> Manager::managed() {
    if (ports_.managed == nullptr) return std::vector<DomainConfig>{};
    return ports_.managed->load();
}

Outcome<DomainConfig> Manager::find_managed(const std::string& who) {
    for (DomainConfig& config : OTRY(managed())) {
        if (config.name == who || config.uuid.text() == who) return std::move(config);
    }
    return base::fail(Errc::noent, "Domain '" + who.substr(0, 128) + "' is not managed by xend.");
}

Outcome<std::vector<DomainConfig>> Manager::halted() {
    std::vector<DomainConfig> out = OTRY(managed());
    if (out.empty()) return out;
    const auto running = OTRY(domains());
    std::erase_if(out, [&](const DomainConfig& config) {
        return std::any_of(running.begin(), running.end(), [&](const DomainGlance& view) { return view.uuid == config.uuid; });
    });
    return out;
}

/// Errors: exist, when a managed domain that is not `uuid` has the name. A database that cannot be read stops no other domain.
Outcome<> Manager::check_managed_name(const std::string& name, const config::Uuid& uuid) {
    const auto kept = managed();
    if (!kept) log(LogLevel::warning, kept.failure().text);
    if (!kept) return base::ok;
    for (const DomainConfig& config : *kept) {
        if (config.name == name && config.uuid != uuid)
            return base::fail(Errc::exist, "Domain '" + name + "' already exists; xend keeps it ('xm start', 'xm delete')");
        if (config.uuid == uuid && config.name != name)
            return base::fail(Errc::exist,
                              "The uuid " + uuid.text() + " belongs to domain '" + config.name + "', which xend keeps");
    }
    return base::ok;
}

/// The records, and one for each domain that is suspended: its disks are its own still.
Outcome<std::vector<RecordPtr>> Manager::holders() {
    std::vector<RecordPtr> out = OTRY(ports_.records.load());
    const auto kept = managed();
    if (!kept) log(LogLevel::warning, kept.failure().text);
    if (!kept) return out;  // as above
    for (const DomainConfig& config : *kept) {
        if (!is_suspended(config.uuid)) continue;
        Record record;
        record.resuming = ResumeIntent{checkpoint_of(config.uuid), false};
        // With the devices that it had in the end.
        auto saved = saved_config(record.resuming->file);
        const bool known = saved && saved->uuid == config.uuid;
        if (known) record.config = std::move(*saved);
        if (!known) record.config = config;
        record.config.name = config.name;
        out.push_back(std::make_shared<const Record>(std::move(record)));
    }
    return out;
}

/// Errors: busy, when to write a file there would take something from a domain that is there, suspended or kept.
Outcome<> Manager::check_target(const std::string& path) {
    std::vector<RecordPtr> all = OTRY(holders());
    if (auto kept = managed()) {
        for (DomainConfig& config : *kept) {
            auto record = std::make_shared<Record>();
            record->config = std::move(config);
            all.push_back(std::move(record));
        }
    }
    for (const RecordPtr& one : all) {
        const Record& record = *one;
        std::vector<std::string> files = {record.config.kernel, record.config.ramdisk,
                                          record.resuming ? record.resuming->file : ""};
        for (const config::Disk& disk : record.config.disks) files.push_back(disk.target);
        for (const std::string& file : files) {
            // Under the second name it is written.
            if (!is_same_file(path, file) && !is_same_file(path + ".part", file)) continue;
            return base::fail(Errc::busy,
                              fmt::format("Unable to create file {}: domain '{}' needs {}", path, record.config.name, file));
        }
    }
    return base::ok;
}

Outcome<> Manager::define(DomainConfig config) {
    if (ports_.managed == nullptr) return base::fail(Errc::opnotsupp, "This xend keeps no domains");
    fill_in(config);
    const Job job(*this, config.uuid);
    const std::lock_guard claiming(claims_mutex_);
    OTRY(check_name(config.name, config.uuid));
    if (find_managed(config.name)) return base::fail(Errc::exist, "Domain '" + config.name + "' already exists");
    OTRY(check_managed_name(config.name, config.uuid));
    OTRY(ports_.managed->save(config, "new"));
    log(LogLevel::info, "domain '" + config.name + "' " + config.uuid.text() + " is kept");
    return base::ok;
}

Outcome<DomainView> Manager::start_managed(const std::string& who, Run run) {
    if (const auto there = find(who)) {
        return base::fail(Errc::exist,
                          "Domain '" + there->name + "' already exists with ID '" + std::to_string(there->info.id.raw) + "'");
    }
    return create(OTRY(find_managed(who)), run);
}

Outcome<> Manager::forget(const std::string& who) {
    const DomainConfig config = OTRY(find_managed(who));
    const auto check = [&]() -> Outcome<> {
        if (!find(config.uuid.text())) return base::ok;
        return base::fail(Errc::busy, "Domain '" + config.name + "' is not halted; it cannot be deleted");
    };
    OTRY(check());  // one that is being suspended is not what was meant
    const Job job(*this, config.uuid);
    OTRY(check());
    log(LogLevel::info, "domain '" + config.name + "' is no longer kept");
    OTRY(remove_checkpoint(checkpoint_of(config.uuid)));
    return ports_.managed->remove(config.uuid);
}

// -- suspended ----------------------------------------------------------------------------------------------------------

std::string Manager::checkpoint_of(const config::Uuid& uuid) const {
    return ports_.settings.domains_folder + "/" + uuid.text() + "/checkpoint.chk";
}

bool Manager::is_suspended(const config::Uuid& uuid) const { return ::access(checkpoint_of(uuid).c_str(), F_OK) == 0; }

Outcome<> Manager::suspend_managed(const std::string& who) {
    const DomainView view = OTRY(find(who));
    OTRY(find_managed(view.uuid.text()).context("Domain '" + view.name + "' cannot be suspended"));
    const std::string file = checkpoint_of(view.uuid);
    OTRY(service::make_parent(file));
    return save(view.uuid.text(), file, AfterSave::destroy);
}

Outcome<DomainView> Manager::resume_managed(const std::string& who, Run run) {
    const config::Uuid uuid = OTRY(find_managed(who)).uuid;
    // From before its file is open: another one that resumes it, and suspends it again, leaves one of this name that is newer.
    const Job job(*this, uuid);
    const DomainConfig kept = OTRY(find_managed(uuid.text()));
    if (const auto there = find(uuid.text())) {
        return base::fail(Errc::exist,
                          "Domain '" + there->name + "' already exists with ID '" + std::to_string(there->info.id.raw) + "'");
    }
    const std::string file = checkpoint_of(kept.uuid);
    if (!is_suspended(kept.uuid)) return base::fail(Errc::noent, "Domain '" + kept.name + "' is not suspended.");
    SavedDomain saved = OTRY(open_saved(file));
    Record record;
    record.config = std::move(saved.config);
    if (record.config.uuid != kept.uuid)
        return base::fail(Errc::badmsg, file + " holds another domain: '" + record.config.name + "'");
    record.config.name = kept.name;
    record.resuming = ResumeIntent{file, run == Run::now};
    return restore_as(std::move(record), file, *saved.image, run);
}

/// The domain is there, paused; its file goes before it runs. Errors: of the file, and then the domain goes, which is suspended still.
Outcome<> Manager::settle_resume(xenstore::Store& store, const DomainRef& domain, Record& record) {
    if (auto gone = remove_checkpoint(record.resuming->file); !gone) {
        DomainView view = view_of(domain.id, record);
        view.record->resuming.reset();
        OTRY(finish(view));
        return gone;
    }
    const auto info = OTRY(ports_.hypervisor.domain(domain.id));
    if (record.resuming->runs && info && info->paused) OTRY(let_run(store, domain, record));
    record.resuming.reset();
    return ports_.records.note(record);
}

/// A managed domain that is renamed while it runs has that name when it is started again.
Outcome<> Manager::rename_managed(const config::Uuid& uuid, const std::string& name) {
    auto kept = managed();
    if (!kept) return base::ok;  // as above
    for (DomainConfig& config : *kept) {
        if (config.uuid != uuid || config.name == name) continue;
        config.name = name;
        return ports_.managed->save(config, "rename");
    }
    return base::ok;
}

}  // namespace xend
