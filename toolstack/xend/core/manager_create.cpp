// SPDX-License-Identifier: Apache-2.0
// How a domain comes into being: checks, build, store nodes, devices; and all of it undone on failure.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "lib/base/number.hpp"
#include "toolstack/service/caught.hpp"
#include "toolstack/service/log.hpp"
#include "toolstack/xend/core/boot_loader.hpp"
#include "toolstack/xend/core/device_drivers.hpp"
#include "toolstack/xend/core/domain_nodes.hpp"
#include "toolstack/xend/core/job.hpp"

namespace xend {

using base::DomId;
using base::Errc;
using base::Outcome;
using service::log;
using service::LogLevel;

namespace {

Outcome<> check_file(const std::string& path, const char* what) {
    struct stat s {};
    if (::stat(path.c_str(), &s) != 0) return base::fail(Errc::noent, std::string(what) + " does not exist: " + path);
    if (!S_ISREG(s.st_mode)) return base::fail(Errc::inval, std::string(what) + " is not a file: " + path);
    return base::ok;
}

Outcome<> write_all(xenstore::Store& store, const std::vector<NodeSet>& sets) {
    std::vector<xenstore::Change> changes;
    for (const NodeSet& set : sets) add_changes(set, changes);
    return xenstore::in_transaction(store, [&](xenstore::Transaction& tx) { return tx.change_all(changes); });
}

}  // namespace

/// The builder's view of us while it works.
class Manager::Observer final : public builder::BuildObserver, public builder::StoreIntroduce {
    Ports& ports_;
    xenstore::Store& store_;
    Record& record_;
    std::unique_lock<std::mutex> counting_;  // of free memory, until it is promised

public:
    Observer(Ports& ports, xenstore::Store& store, Record& record, std::unique_lock<std::mutex> counting)
        : ports_(ports), store_(store), record_(record), counting_(std::move(counting)) {}

    Outcome<> created(DomId domain) override {
        record_.domid = domain.raw;
        OTRY(ports_.records.save(record_));
        OTRY(xenstore::remove_if_there(store_, domain_path(domain)));
        OTRY(xenstore::remove_if_there(store_, vm_path(record_.config.uuid)));
        return write_all(store_, domain_nodes(domain, record_)).context("while writing the store");
    }
    void claimed() override {
        if (counting_.owns_lock()) counting_.unlock();
    }
    Outcome<> introduce(DomId domain, base::Mfn frame, base::Port port) override {
        return store_.introduce(domain, base::Gfn{frame.raw}, port);
    }
    void release(DomId domain) noexcept override { auto ignored = store_.release(domain); }
};

void Manager::fill_in(config::DomainConfig& config) const {
    if (config.uuid.is_nil()) config.uuid = config::Uuid::random();
    for (size_t i = 0; i < config.vifs.size(); ++i) {
        if (config.vifs[i].mac.empty()) config.vifs[i].mac = config::derived_mac(config.uuid, static_cast<uint32_t>(i));
    }
}

/// Errors: exist, when another domain than `except`, or a record without one, has the name or the uuid, or will have.
Outcome<> Manager::check_name(const std::string& name, const config::Uuid& uuid, const config::Uuid& except) {
    for (const DomainGlance& view : OTRY(domains())) {
        if ((view.info.dying && !view.record) || (!except.is_nil() && view.uuid == except)) continue;
        if (view.name == name) {
            return base::fail(Errc::exist,
                              "Domain '" + name + "' already exists with ID '" + std::to_string(view.info.id.raw) + "'");
        }
        if (view.uuid == uuid)
            return base::fail(Errc::exist, "The uuid " + uuid.text() + " belongs to domain '" + view.name + "'");
    }
    for (const RecordPtr& other : OTRY(ports_.records.load())) {
        const Record& record = *other;
        if (record.state == RecordState::failed || (!except.is_nil() && record.config.uuid == except)) continue;
        if (record.arriving && (record.arriving->name == name || record.arriving->uuid == uuid))
            return base::fail(Errc::exist, "Domain '" + record.arriving->name + "' is arriving from another host");
        const auto doing = record_state_names[static_cast<size_t>(record.state)];
        if (record.config.name == name || record.renaming == name)
            return base::fail(Errc::exist, fmt::format("Domain '{}' already exists; it is {} now{}{}", name, doing,
                                                       record.reason.empty() ? "" : ": ", record.reason));
        if (record.config.uuid == uuid) {
            return base::fail(Errc::exist, fmt::format("The uuid {} belongs to domain '{}'; it is {} now", uuid.text(),
                                                       record.config.name, doing));
        }
    }
    return base::ok;
}

Outcome<> Manager::check_drivers(xenstore::Store& store, const config::DomainConfig& config) {
    const auto records = OTRY(holders());
    for (const DeviceDriver& driver : device_drivers()) {
        if (driver.check != nullptr) OTRY(driver.check(store, config, records));
    }
    return base::ok;
}

/// With the record its name, uuid and disks are the domain's, whoever else is being created.
Outcome<> Manager::claim(xenstore::Store& store, const Record& record) {
    const std::lock_guard claiming(claims_mutex_);
    const config::DomainConfig& c = record.config;
    OTRY(check_name(c.name, c.uuid));
    OTRY(check_managed_name(c.name, c.uuid));
    OTRY(config::check_boot_disk(c));
    if (c.bootloader.empty()) {  // else they are files of the guest's
        OTRY(check_file(c.kernel, "Kernel image"));
        if (!c.ramdisk.empty()) OTRY(check_file(c.ramdisk, "Kernel ramdisk"));
    }
    return claim_held(store, record);
}

/// The caller holds claims_mutex_, and has checked name and uuid.
Outcome<> Manager::claim_held(xenstore::Store& store, const Record& record) {
    const std::string name = "Domain '" + record.config.name + "' is ";
    const bool suspended = is_suspended(record.config.uuid);
    if (suspended && !record.resuming)
        return base::fail(Errc::exist, name + "suspended: 'xm resume' lets it go on, 'xm delete' forgets it");
    if (!suspended && record.resuming) return base::fail(Errc::noent, name + "not suspended.");
    OTRY(check_drivers(store, record.config));
    OTRY(check_vnets(record.config));
    for (const Record& old : OTRY(failed())) {
        if (old.config.name == record.config.name) OTRY(ports_.records.remove(old.config.uuid));
    }
    return ports_.records.note(record);
}

/// What nobody has and nobody was promised.
Outcome<uint64_t> Manager::free_memory_kib() {
    const HostState host = OTRY(ports_.hypervisor.host());
    const uint64_t free_pages = host.phys.free_pages + host.phys.scrub_pages;
    return (free_pages - std::min(free_pages, host.phys.outstanding_pages)) * 4;
}

/// Makes sure that there is memory for the domain, at dom0's cost as far as the settings allow. Errors: nomem.
Outcome<> Manager::find_memory(xenstore::Store& store, uint64_t pages) {
    constexpr uint64_t overhead_pages = 512;  // page tables of shadows, vCPUs, grant frames: a margin
    const uint64_t need = (pages + overhead_pages) * 4;
    const uint64_t have = OTRY(free_memory_kib());
    if (have >= need) return base::ok;
    if (ports_.settings.dom0_min_mem_mib != 0) return shrink_dom0(store, need);
    return base::fail(Errc::nomem,
                      fmt::format("Not enough free memory and dom0_min_mem is 0, so I cannot release any more. I need "
                                  "{} KiB but only have {}.",
                                  need, have));
}

Outcome<> Manager::find_memory_now(xenstore::Store& store, uint64_t pages) {
    const std::lock_guard building(build_mutex_);
    return find_memory(store, pages);
}

/// Asks dom0's balloon driver for what is missing. Errors: nomem: dom0 would get too small; timedout: it does not give it.
Outcome<> Manager::shrink_dom0(xenstore::Store& store, uint64_t need_kib) {
    const uint64_t have = OTRY(free_memory_kib());
    const auto dom0 = OTRY(ports_.hypervisor.domain(DomId{0}));
    const uint64_t floor = uint64_t{ports_.settings.dom0_min_mem_mib} * 1024;
    const uint64_t size = dom0 ? dom0->memory_kib() : 0;
    const uint64_t missing = need_kib - std::min(need_kib, have);
    if (size < missing || size - missing < floor) {
        return base::fail(
            Errc::nomem,
            fmt::format("I need {} KiB, but dom0_min_mem is {} and shrinking to {} KiB would leave only {} KiB free.", need_kib,
                        floor, floor, have + (size - std::min(size, floor))));
    }
    log(LogLevel::info, fmt::format("dom0 gives {} KiB back for a new domain", missing));
    const std::string target = domain_path(DomId{0}) + "/memory/target";
    OTRY(store.write(target, std::to_string(size - missing)));
    constexpr std::chrono::milliseconds pause{100};
    for (std::chrono::milliseconds waited{0}; waited < ports_.settings.balloon_timeout; waited += pause) {
        if (OTRY(free_memory_kib()) >= need_kib) return base::ok;
        ports_.clock.sleep(pause);
    }
    OTRY(store.write(target, std::to_string(size)));
    return base::fail(Errc::timedout, fmt::format("The privileged domain did not balloon: {} KiB are free, {} are needed.",
                                                  OTRY(free_memory_kib()), need_kib));
}

Outcome<DomId> Manager::backend_domain(const std::string& who) {
    if (who.empty() || who == "0" || who == "Domain-0") return DomId{0};
    for (const DomainGlance& view : OTRY(domains())) {
        if (view.name == who || std::to_string(view.info.id.raw) == who) return view.info.id;
    }
    return base::fail(Errc::noent, "invalid backend domain: " + who);
}

Outcome<std::vector<DeviceNodes>> Manager::device_nodes(DomId domain, const Record& record) {
    std::vector<DeviceNodes> out;
    std::vector<DeviceIntent> taken;
    const config::DomainConfig config = OTRY(on_bridges(record.config));
    for (const DeviceDriver& driver : device_drivers()) {
        for (size_t i = 0; i < driver.count(config); ++i) {
            const DeviceEnds ends{domain, OTRY(backend_domain(driver.backend(config, i)))};
            const uint32_t devid = driver.devid(config, i, taken);
            taken.push_back({std::string(driver.kind), devid, 0, "", "", {}});
            out.push_back(driver.nodes(ends, config, i, devid, ports_.settings));
        }
    }
    return out;
}

Outcome<builder::BuiltDomain> Manager::build(xenstore::Store& store, Record& record, const builder::Plan& plan) {
    std::unique_lock building(build_mutex_);  // the memory that one was promised is not another one's
    OTRY(find_memory(store, plan.pages));
    Observer observer(ports_, store, record, std::move(building));
    return ports_.hypervisor.build(plan, observer, observer);
}

Outcome<builder::BuiltDomain> Manager::restore_image(xenstore::Store& store, Record& record, const builder::BuildInput& input,
                                                     proto::saved::Reader& image) {
    std::unique_lock building(build_mutex_);  // until its memory is promised: reading the image takes as long as the disk does
    OTRY(find_memory(store, input.memory_kib / 4));
    Observer observer(ports_, store, record, std::move(building));
    const auto built = OTRY(ports_.hypervisor.restore(input, image, observer, observer));
    // It said so to the store that it came from, and says it only once.
    OTRY(store.write(domain_path(built.id) + "/control/feature-suspend", "1"));
    return built;
}

Outcome<builder::BuildInput> Manager::build_input(const config::DomainConfig& c) {
    builder::BuildInput input;
    input.name = c.name;
    input.guest = c.guest;
    input.uuid = c.uuid.bytes;
    input.memory_kib = c.memory_mib * 1024;
    input.max_memory_kib = c.max_memory_mib() * 1024;
    input.vcpus = c.vcpus;
    input.tsc_mode = c.tsc_mode;
    input.time_offset = c.rtc_timeoffset + (c.localtime ? ports_.clock.local_offset() : 0);
    if (c.max_event_channels) input.max_event_channels = *c.max_event_channels;
    if (c.max_grant_frames) input.max_grant_frames = static_cast<int32_t>(*c.max_grant_frames);
    if (c.max_maptrack_frames) input.max_maptrack_frames = static_cast<int32_t>(*c.max_maptrack_frames);
    if (c.max_grant_version) input.max_grant_version = static_cast<uint8_t>(*c.max_grant_version);
    if (c.cpu_weight) input.sched_weight = static_cast<uint16_t>(*c.cpu_weight);
    if (c.cpu_cap) input.sched_cap = static_cast<uint16_t>(*c.cpu_cap);
    if (!c.pool.empty()) {
        const PoolView in = OTRY(find_pool(c.pool));
        if (std::ranges::all_of(in.pool.cpus, [](uint8_t cpus) { return cpus == 0; }))
            return base::fail(Errc::nodev, "Pool '" + in.name + "' has no CPU; 'xm cpupool-cpu-add' gives it one");
        input.cpupool = in.pool.id;
    }
    if (!c.cpus.empty()) {
        const HostState host = OTRY(ports_.hypervisor.host());
        for (uint32_t vcpu = 0; vcpu < c.vcpus; ++vcpu) {
            const std::string_view cpus = config::cpus_of_vcpu(c.cpus, vcpu);
            input.vcpu_affinity.push_back(cpus.empty() ? xenctrl::BitMap{} : OTRY(config::parse_cpu_list(cpus, host.phys.cpus)));
        }
    }
    return input;
}

/// The domain, with its rings, which nobody sees yet, but no devices. `image`: what to make it of; null: of its kernel.
Outcome<> Manager::build_domain(xenstore::Store& store, Record& record, proto::saved::Reader* image) {
    builder::BuildInput input = OTRY(build_input(record.config));
    const auto from_kernel = [&]() -> Outcome<builder::BuiltDomain> {
        const Booted booted = OTRY(find_boot_files(ports_, record.config));
        input.kernel = booted.files.kernel;
        input.ramdisk = booted.files.ramdisk;
        input.command_line = booted.files.command_line;
        input.from_guest = !record.config.bootloader.empty();
        const builder::Plan plan = OTRY(ports_.hypervisor.prepare(input));
        return build(store, record, plan);
    };
    const builder::BuiltDomain built = OTRY(image != nullptr ? restore_image(store, record, input, *image) : from_kernel());
    record.rings = RingIntent{built.store_frame.raw, built.store_port.raw, built.console_frame.raw, built.console_port.raw};
    return base::ok;
}

/// From here on the console's daemon reads it. What stands there already stays: the daemon has written beside it.
Outcome<> Manager::show_rings(xenstore::Store& store, Record& record) {
    if (!record.rings) return base::ok;
    const auto shown = store.read(domain_path(record.id()) + "/console/port");
    if (!shown && shown.failure().code != Errc::noent) return shown.failure();
    if (!shown) {
        const auto nodes = ring_nodes(record.id(), *record.rings, ports_.settings.console_limit_kib);
        OTRY(write_all(store, nodes).context("while writing the console's nodes"));
    }
    record.rings.reset();
    return base::ok;
}

Outcome<> Manager::connect_devices(xenstore::Store& store, Record& record) {
    const auto nodes = OTRY(device_nodes(record.id(), record));
    return devices_.attach(store, record, nodes);
}

Outcome<> Manager::let_run(xenstore::Store& store, const DomainRef& domain, Record& record) {
    record.start_time = ports_.clock.unix_seconds();
    // How soon it ends again is measured from here, however long a boot loader took.
    if (record.previous_restart != 0) record.previous_restart = record.start_time;
    OTRY(store.write(vm_path(domain.uuid) + "/start_time", std::to_string(record.start_time)));
    OTRY(ports_.hypervisor.unpause(domain).context("Failed to unpause domain " + record.config.name));
    announce_cards(record);
    return base::ok;
}

/// Makes the domain of `record`, which the journal has. On failure nothing is left of it but, of one that was to be restarted, the
/// record with the reason.
Outcome<DomId> Manager::start(xenstore::Store& store, Record& record, Run run, proto::saved::Reader* image) {
    record.domid.reset();
    record.devices.clear();
    record.start_time = 0;  // set when it first runs
    auto made = ports_.records.note(record);
    if (made) made = service::caught([&] { return build_domain(store, record, image); });
    if (made) made = service::caught([&] { return show_rings(store, record); });
    if (made) made = service::caught([&] { return connect_devices(store, record); });
    const DomainRef domain{record.id(), record.config.uuid};
    if (made && run == Run::now) made = service::caught([&] { return let_run(store, domain, record); });
    if (made) {
        Record live = record;
        made = advance(live, RecordEvent::built);
        if (made) made = ports_.records.save(live);
        if (made) record = live;
    }
    if (made) return domain.id;
    const auto removed = record.domid ? remove_domain(store, domain, &record) : Outcome<>(base::ok);
    if (!removed) {
        auto leaving = advance(record, RecordEvent::take_away);
        keep_trying(record, removed.failure());
        return std::move(made).take_failure();
    }
    auto ignored = record.state == RecordState::restarting ? keep_failed(record, made.failure().text)
                                                           : ports_.records.remove(record.config.uuid);
    return std::move(made).take_failure();
}

/// Who looks shall see what became of it, and what to do.
Outcome<> Manager::keep_failed(Record& record, const std::string& reason) {
    OTRY(advance(record, RecordEvent::fail));
    record.domid.reset();
    record.devices.clear();
    record.reason = reason;
    log(LogLevel::error, "domain '" + record.config.name + "' could not be restarted: " + reason + " " + failed_remedy(record));
    return ports_.records.save(record);
}

std::string failed_remedy(const Record& record) {
    return "'xm create' makes it again, 'xm destroy " + record.config.name + "' forgets it.";
}

DomainView Manager::view_of(DomId domain, const Record& record) {
    const auto info = ports_.hypervisor.domain(domain);
    DomainView view;
    view.info.id = domain;
    if (info && *info) view.info = **info;
    view.name = record.config.name;
    view.uuid = record.config.uuid;
    view.record = record;
    return view;
}

Outcome<DomainView> Manager::create(config::DomainConfig config, Run run) {
    auto store = OTRY(stores_.lease());
    fill_in(config);
    Record record;
    record.config = std::move(config);
    const Job job(*this, record.config.uuid);
    OTRY(claim(*store, record));
    log(LogLevel::info, "creating domain '" + record.config.name + "' " + record.config.uuid.text());
    const auto id = start(*store, record, run);
    if (!id) {
        log(LogLevel::error, "domain '" + record.config.name + "' was not created: " + id.failure().text);
        return id.failure();
    }
    log(LogLevel::info, "domain '" + record.config.name + "' has ID " + std::to_string(id->raw));
    const DomainView view = view_of(*id, record);
    if (run == Run::now) OTRY(watch_first_moments(*store, view));
    return view;
}

}  // namespace xend
