// SPDX-License-Identifier: Apache-2.0
// Devices of domains that run: one more, one less, another medium. The record says what is under way, so that a xend that is
// killed leaves nothing half connected.
#include <algorithm>

#include "toolstack/config/device_kinds.hpp"
#include "toolstack/service/log.hpp"
#include "toolstack/xend/core/boot_loader.hpp"
#include "toolstack/xend/core/device_drivers.hpp"
#include "toolstack/xend/core/job.hpp"

namespace xend {

using base::DomId;
using base::Errc;
using base::Outcome;
using service::log;
using service::LogLevel;

/// One that is to be connected.
struct Manager::NewDevice {
    const config::DeviceKind* kind = nullptr;
    const DeviceDriver* driver = nullptr;
    config::DomainConfig alone;  // a configuration with this device and nothing else
    DeviceIntent intent;
};

namespace {

/// Which device of its kind the intent is, in the configuration's order.
size_t position_of(const Record& record, size_t intent) {
    const auto end = record.devices.begin() + static_cast<std::ptrdiff_t>(intent);
    return static_cast<size_t>(
        std::count_if(record.devices.begin(), end, [&](const DeviceIntent& one) { return one.kind == end->kind; }));
}

/// Whether `word` is what the configuration calls the device.
bool is_called(const Record& record, const config::DeviceKind& kind, size_t position, const std::string& word) {
    if (position >= kind.count(record.config)) return false;
    for (const auto& [key, value] : kind.show(record.config, position)) {
        if ((key == "dev" || key == "mac") && value == word) return true;
    }
    return false;
}

/// The intent for the device of this kind that `word` names.
Outcome<size_t> find_device(const Record& record, const std::string& kind, const std::string& word) {
    const config::DeviceKind* listed = config::device_kind(kind);
    const DeviceDriver* driver = listed == nullptr ? nullptr : device_driver(listed->name);
    if (driver == nullptr) return base::fail(Errc::inval, "unknown device type: " + kind.substr(0, 40));
    const auto devid = driver->named(word);
    for (size_t i = 0; i < record.devices.size(); ++i) {
        const DeviceIntent& one = record.devices[i];
        if (one.kind != driver->kind) continue;
        if (one.devid == devid || is_called(record, *listed, position_of(record, i), word)) return i;
    }
    return base::fail(Errc::noent, "Device " + word.substr(0, 64) + " (" + kind + ") is not connected.");
}

Outcome<Record> record_of(const DomainView& view) {
    if (view.record) return *view.record;
    return base::fail(Errc::perm, "Domain '" + view.name + "' was not made by xend, which leaves its devices alone");
}

}  // namespace

Outcome<Manager::NewDevice> Manager::new_device(const Record& record, const std::string& kind, const std::string& specifier) {
    NewDevice out;
    out.kind = config::device_kind(kind);
    out.driver = out.kind == nullptr ? nullptr : device_driver(out.kind->name);
    if (out.driver == nullptr) return base::fail(Errc::inval, "unknown device type: " + kind.substr(0, 40));
    OTRY(out.kind->add(out.alone, specifier));
    OTRY(out.kind->check(out.alone));
    out.intent.kind = out.driver->kind;
    out.intent.devid = out.driver->devid(out.alone, 0, record.devices);
    out.intent.back = OTRY(backend_domain(out.driver->backend(out.alone, 0))).raw;
    out.intent.step = DeviceStep::attaching;
    for (config::Vif& vif : out.alone.vifs) {
        if (vif.mac.empty()) vif.mac = config::derived_mac(record.config.uuid, out.intent.devid);
    }
    return out;
}

/// With the record the device is the domain's, whoever else wants it.
Outcome<> Manager::claim_device(xenstore::Store& store, Record& record, const NewDevice& device) {
    for (const DeviceIntent& one : record.devices) {
        if (one.kind == device.intent.kind && one.devid == device.intent.devid)
            return base::fail(Errc::exist, device_label(one.kind, one.devid) + " is already connected.");
    }
    const std::lock_guard claiming(claims_mutex_);
    Record with = record;
    const std::string specifier = OTRY(device.kind->specifier(device.kind->show(device.alone, 0)));
    OTRY(device.kind->add(with.config, specifier));
    OTRY(device.kind->check(with.config));
    const auto records = OTRY(holders());
    if (device.driver->check != nullptr) OTRY(device.driver->check(store, device.alone, records));
    OTRY(check_vnets(device.alone));
    with.devices.push_back(device.intent);
    OTRY(ports_.records.note(with));
    record = std::move(with);
    return base::ok;
}

/// Takes a device out of the record and its configuration.
Outcome<> Manager::forget_device(Record& record, size_t intent) {
    const config::DeviceKind* kind = config::device_kind(record.devices[intent].kind);
    const size_t position = position_of(record, intent);
    if (kind != nullptr && position < kind->count(record.config)) kind->erase(record.config, position);
    record.devices.erase(record.devices.begin() + static_cast<std::ptrdiff_t>(intent));
    return ports_.records.note(record);
}

Outcome<> Manager::connect(xenstore::Store& store, Record& record, const NewDevice& device) {
    OTRY(claim_device(store, record, device));
    const DomId domain = record.id();
    const DeviceEnds ends{domain, device.intent.backend()};
    const auto attach = [&]() -> Outcome<> {
        const config::DomainConfig alone = OTRY(on_bridges(device.alone));
        return devices_.attach(store, record, {device.driver->nodes(ends, alone, 0, device.intent.devid, ports_.settings)});
    };
    auto done = attach();
    const size_t intent = record.devices.size() - 1;
    if (done) {
        record.devices[intent].step = DeviceStep::none;
        if (!device.alone.vifs.empty()) announce_cards(record);
        return ports_.records.note(record);
    }
    OTRY(devices_.detach(store, domain, record.devices[intent]));  // else it is left to who finishes changes
    OTRY(forget_device(record, intent));
    return done;
}

/// True when the guest let go of it. Until then it is the guest's, whoever has to find that out in the end.
Outcome<bool> Manager::ask_for_device(xenstore::Store& store, Record& record, size_t intent) {
    DeviceIntent& device = record.devices[intent];
    device.step = DeviceStep::asking;
    OTRY(ports_.records.note(record));
    const DomId domain = record.id();
    const bool closed = OTRY(devices_.ask_to_close(store, domain, device));
    if (closed) return true;
    device.step = DeviceStep::none;
    OTRY(ports_.records.note(record));
    return false;
}

Outcome<> Manager::disconnect(xenstore::Store& store, Record& record, size_t intent, Force force) {
    const DomId domain = record.id();
    DeviceIntent& device = record.devices[intent];
    if (force == Force::no && !OTRY(ask_for_device(store, record, intent))) {
        return base::fail(Errc::busy,
                          device_label(device.kind, device.devid) +
                              " is busy: the guest does not let go of it, and keeps it. Option -f takes it by force.");
    }
    device.step = DeviceStep::detaching;
    if (!device.script.empty()) device.running = config::Uuid::random().text();
    OTRY(ports_.records.note(record));
    OTRY(devices_.detach(store, domain, device));
    return forget_device(record, intent);
}

Outcome<uint32_t> Manager::attach_device(const std::string& who, const std::string& kind, const std::string& specifier) {
    std::optional<Job> job;
    const DomainView view = OTRY(operate(who, Operation::change_devices, job));
    Record record = OTRY(record_of(view));
    const NewDevice device = OTRY(new_device(record, kind, specifier));
    auto store = OTRY(stores_.lease());
    OTRY(connect(*store, record, device));
    log(LogLevel::info, device_label(device.intent.kind, device.intent.devid) + " is connected to domain '" + view.name + "'");
    return device.intent.devid;
}

Outcome<> Manager::detach_device(const std::string& who, const std::string& kind, const std::string& device, Force force) {
    std::optional<Job> job;
    const DomainView view = OTRY(operate(who, Operation::change_devices, job));
    Record record = OTRY(record_of(view));
    const size_t intent = OTRY(find_device(record, kind, device));
    const std::string label = device_label(record.devices[intent].kind, record.devices[intent].devid);
    auto store = OTRY(stores_.lease());
    OTRY(disconnect(*store, record, intent, force));
    log(LogLevel::info, label + " of domain '" + view.name + "' is taken off");
    return base::ok;
}

Outcome<> Manager::change_medium(const std::string& who, const std::string& specifier) {
    std::optional<Job> job;
    const DomainView view = OTRY(operate(who, Operation::change_devices, job));
    Record record = OTRY(record_of(view));
    const config::Disk fresh = OTRY(config::parse_disk(specifier));
    const size_t intent = OTRY(find_device(record, "vbd", std::to_string(fresh.devid)));
    const config::Disk old = record.config.disks.at(position_of(record, intent));
    if (!old.cdrom || !fresh.cdrom) {
        return base::fail(Errc::inval, "Refusing to reconfigure device " + old.vdev +
                                           ": it is no CD drive (xvdX:cdrom); block-detach and block-attach change a disk");
    }
    const config::DeviceKind& kind = *config::device_kind("vbd");
    config::DomainConfig before;
    before.disks.push_back(old);
    const NewDevice device = OTRY(new_device(record, "vbd", specifier));
    const std::string old_specifier = OTRY(kind.specifier(kind.show(before, 0)));
    OTRY(new_device(record, "vbd", old_specifier));
    auto store = OTRY(stores_.lease());
    record.medium = old_specifier;
    auto done = disconnect(*store, record, intent, Force::no);
    if (done) done = connect(*store, record, device);
    if (!done) OTRY(put_medium_back(*store, record).context(done.failure().text));
    if (!done) return done;
    record.medium.clear();
    return ports_.records.note(record);
}

/// The drive has what it had, unless it still, or again, has something.
Outcome<> Manager::put_medium_back(xenstore::Store& store, Record& record) {
    const NewDevice back = OTRY(new_device(record, "vbd", record.medium));
    const auto at = std::ranges::find_if(
        record.devices, [&](const DeviceIntent& one) { return one.kind == back.intent.kind && one.devid == back.intent.devid; });
    const bool there = at != record.devices.end();
    if (there && at->step != DeviceStep::none)
        return base::fail(Errc::again, device_label(at->kind, at->devid) + " is still on its way; this is tried again");
    auto done = there ? Outcome<>(base::ok) : connect(store, record, back);
    // What is gone for good is not tried for ever.
    const bool hopeless = !done && (done.failure().code == Errc::noent || done.failure().code == Errc::inval);
    if (!done && !hopeless) return done;
    if (hopeless)
        log(LogLevel::error, "domain '" + record.config.name + "' lost its drive " + record.medium + ": " + done.failure().text);
    record.medium.clear();
    OTRY(ports_.records.note(record));
    return done;
}

/// Ends those who would go on writing behind our back.
void Manager::end_scripts(const Record& record) {
    std::vector<std::string> running;
    for (const DeviceIntent& device : record.devices) {
        if (!device.running.empty()) running.push_back(device.running);
    }
    const bool boots = !record.config.bootloader.empty();
    if (boots) running.push_back(boot_tag(record.config.uuid));
    if (!running.empty()) ports_.scripts.end(running);
    if (boots) forget_boot_files(ports_.settings, record.config.uuid);
}

/// What a killed xend was about with devices of a domain that runs: none of them stays, but one that the guest does not give.
Outcome<> Manager::finish_device_changes(xenstore::Store& store, Record& record) {
    for (size_t i = record.devices.size(); i-- > 0;) {
        if (record.devices[i].step == DeviceStep::none) continue;
        if (record.devices[i].step == DeviceStep::asking) {
            auto done = disconnect(store, record, i, Force::no);
            if (!done && done.failure().code != Errc::busy) return done;
            continue;
        }
        OTRY(devices_.detach(store, record.id(), record.devices[i]));
        OTRY(forget_device(record, i));
    }
    return record.medium.empty() ? Outcome<>(base::ok) : put_medium_back(store, record);
}

}  // namespace xend
