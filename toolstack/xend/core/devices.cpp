// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/core/devices.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lib/base/number.hpp"
#include "toolstack/service/log.hpp"
#include "toolstack/xend/core/device_drivers.hpp"
#include "toolstack/xend/core/store_pool.hpp"

namespace xend {

using base::DomId;
using base::Errc;
using base::Outcome;
using service::log;
using service::LogLevel;
using std::chrono::milliseconds;

namespace {

std::string label(const std::string& kind, uint32_t devid) { return "Device " + std::to_string(devid) + " (" + kind + ")"; }

std::string read_or_empty(xenstore::Store& store, const std::string& path) {
    auto value = xenstore::read_if_there(store, path);
    return value && *value ? **value : std::string();
}

/// Every leaf directly below `path`.
std::vector<std::pair<std::string, std::string>> leaves(xenstore::Store& store, const std::string& path) {
    std::vector<std::pair<std::string, std::string>> out;
    auto names = store.directory(path);
    if (!names) return out;
    for (const std::string& name : *names) out.emplace_back(name, read_or_empty(store, fmt::format("{}/{}", path, name)));
    return out;
}

/// Device ids of the domain's devices of this kind, from the back end's side (the guest cannot touch that).
std::vector<uint32_t> backend_ids(xenstore::Store& store, const DeviceEnds& ends, const std::string& kind) {
    std::vector<uint32_t> out;
    const std::string folder =
        "/local/domain/" + std::to_string(ends.back.raw) + "/backend/" + kind + "/" + std::to_string(ends.front.raw);
    auto names = store.directory(folder);
    if (!names) return out;
    for (const std::string& name : *names) {
        if (const auto id = base::parse_number<uint32_t>(name)) out.push_back(*id);
    }
    return out;
}

/// The domains that may be back ends of this record's devices; without a record, of anybody's: dom0 and those with a backend folder.
std::vector<DomId> backend_domains(xenstore::Store& store, const Record* record) {
    std::vector<DomId> out;
    if (record != nullptr && (!record->devices.empty() || (record->config.disks.empty() && record->config.vifs.empty()))) {
        out.emplace_back(uint16_t{0});
        for (const DeviceIntent& device : record->devices) {
            const DomId back{static_cast<uint16_t>(device.back)};
            if (std::find(out.begin(), out.end(), back) == out.end()) out.push_back(back);
        }
        return out;
    }
    auto ids = store.directory("/local/domain");
    if (!ids) return out;
    for (const std::string& text : *ids) {
        const auto id = base::parse_number<uint32_t>(text);
        if (!id) continue;
        if (*id == 0 || store.directory("/local/domain/" + text + "/backend")) out.emplace_back(static_cast<uint16_t>(*id));
    }
    return out;
}

}  // namespace

Outcome<> write_nodes(xenstore::Transaction& tx, const NodeSet& set) {
    OTRY(tx.mkdir(set.path));
    OTRY(tx.set_permissions(set.path, set.permissions));  // before its children: they inherit
    for (const auto& [key, value] : set.values) OTRY(tx.write(set.path + "/" + key, value));
    return base::ok;
}

Outcome<> Devices::attach(xenstore::Store& store, Record& record, std::vector<DeviceNodes> devices) {
    std::vector<BlockDevice> held;  // until the back ends hold them
    record.devices.clear();
    for (DeviceNodes& device : devices) {
        const bool ours = device.needs_script && device.ends.back == DomId{0};
        record.devices.push_back({device.kind, device.devid, device.ends.back.raw, ours ? device.script : "", ""});
        if (!ours) continue;
        if (device.script.empty()) {
            held.push_back(OTRY(take_disk(device)));
        } else {
            record.devices.back().running = config::Uuid::random().text();
        }
    }
    OTRY(ports_.records.save(record).context("while writing the journal"));
    auto written = xenstore::in_transaction(store, [&](xenstore::Transaction& tx) -> Outcome<> {
        for (const DeviceNodes& device : devices) {
            // Left-overs of an earlier domain with this id must not be mixed in.
            OTRY(tx.mkdir(device.front.path));
            OTRY(tx.remove(device.front.path));
            OTRY(tx.mkdir(device.back.path));
            OTRY(tx.remove(device.back.path));
            OTRY(write_nodes(tx, device.front));
            OTRY(write_nodes(tx, device.back));
        }
        return base::ok;
    });
    if (!written) {
        return std::move(written).take_failure().with("while writing the devices of domain " +
                                                      std::to_string(record.domid.value_or(0)));
    }
    for (size_t i = 0; i < devices.size(); ++i) {
        const DeviceNodes& device = devices[i];
        if (!device.needs_script || device.ends.back != DomId{0}) continue;
        OTRY(await_backend(store, device));
        OTRY(device.script.empty() ? await_served(store, device) : hotplug(store, device, record.devices[i]));
    }
    return base::ok;
}

/// What a script would find and tell the back end, which finds it there from the start.
Outcome<BlockDevice> Devices::take_disk(DeviceNodes& device) {
    const config::Disk& disk = device.disk;
    auto taken = disk.type == "file" ? ports_.blocks.loop(disk.target, disk.mode) : ports_.blocks.device(disk.target);
    if (!taken) {
        return base::fail(taken.failure().code,
                          label(device.kind, device.devid) + " could not be connected. " + taken.failure().text);
    }
    std::erase_if(device.back.values, [](const auto& value) { return value.first == "hotplug-status"; });
    for (const auto& [key, value] :
         {std::pair{"node", taken->path}, std::pair{"physical-device-path", taken->path},
          std::pair{"physical-device", taken->numbers}, std::pair{"hotplug-status", std::string("connected")}})
        device.back.values.emplace_back(key, value);
    return taken;
}

/// Waits until the back end has opened the disk. Linux' driver tells nobody, and needs a moment.
Outcome<> Devices::await_served(xenstore::Store& store, const DeviceNodes& device) {
    milliseconds waited{0};
    for (milliseconds pause{1};; pause = std::min(2 * pause, milliseconds{50})) {
        if (ports_.blocks.served(device.ends.front, device.devid)) return base::ok;
        const std::string state = read_or_empty(store, device.back.path + "/state");
        const bool refused = state.empty() || state == "5" || state == "6";
        if (refused || waited >= ports_.settings.backend_timeout) {
            return base::fail(refused ? Errc::io : Errc::timedout, label(device.kind, device.devid) +
                                                                       " could not be connected. The back end does not open " +
                                                                       device.disk.target + ".");
        }
        ports_.clock.sleep(pause);
        waited += pause;
    }
}

Outcome<> Devices::await_backend(xenstore::Store& store, const DeviceNodes& device) {
    const std::string path = device.back.path + "/state";
    const bool there = OTRY(wait_for(store, path, ports_.settings.backend_timeout, [](const auto& value) {
        return value && (*value == "2" || *value == "3" || *value == "4");
    }));
    if (there) return base::ok;
    return base::fail(Errc::timedout, label(device.kind, device.devid) + " could not be connected. Backend device not found.");
}

Outcome<> Devices::hotplug(xenstore::Store& store, const DeviceNodes& device, DeviceIntent& intent) {
    const std::string what = label(device.kind, device.devid) + " could not be connected. ";
    auto ran = run_script(store, intent, device.ends.front, true);
    intent.running.clear();
    const std::string status = read_or_empty(store, device.back.path + "/hotplug-status");
    const std::string error = read_or_empty(store, device.back.path + "/hotplug-error");
    if (status == "error" || status == "busy") {
        return base::fail(status == "busy" ? Errc::busy : Errc::io,
                          what + (error.empty() ? "The hotplug script gave no reason." : error));
    }
    if (!ran) return base::fail(ran.failure().code, what + (error.empty() ? ran.failure().text : error));
    if (status == "connected") return base::ok;
    const bool done = OTRY(wait_for(store, device.back.path + "/hotplug-status", ports_.settings.hotplug_timeout,
                                    [](const auto& value) { return value && *value == "connected"; }));
    if (done) return base::ok;
    return base::fail(Errc::timedout, what + "Hotplug scripts not working.");
}

Outcome<> Devices::run_script(xenstore::Store& store, const DeviceIntent& intent, DomId front, bool attach) {
    const DeviceDriver* driver = device_driver(intent.kind);
    if (driver == nullptr || driver->script == nullptr || intent.script.empty()) return base::ok;
    const std::string back_path = backend_path({front, DomId{static_cast<uint16_t>(intent.back)}}, intent.kind, intent.devid);
    ScriptWords words = driver->script({front, intent.devid, read_or_empty(store, back_path + "/vifname"), attach});
    ScriptCall call;
    call.take_script(intent.script, words.command);
    call.timeout = ports_.settings.hotplug_timeout;
    call.tag = intent.running;
    call.arguments.insert(call.arguments.end(), words.arguments.begin(), words.arguments.end());
    call.environment = {
        {"XENBUS_PATH", back_path}, {"XENBUS_TYPE", intent.kind}, {"XENBUS_BASE_PATH", "backend"}, {"script", call.path}};
    call.environment.insert(call.environment.end(), words.environment.begin(), words.environment.end());
    log(LogLevel::debug, "running " + call.path + " " + call.arguments[0] + " for " + back_path);
    return ports_.scripts.run(call);
}

/// A device that is to go.
struct Devices::Leaving {
    DeviceEnds ends;
    DeviceIntent intent;

    std::string back_path() const { return backend_path(ends, intent.kind, intent.devid); }
    std::string label() const { return xend::label(intent.kind, intent.devid) + " of domain " + std::to_string(ends.front.raw); }
};

/// Everything that the record or the store knows of. What only the store knows has a script if one was run for it.
std::vector<Devices::Leaving> Devices::leaving(xenstore::Store& store, DomId domain, Record* record) {
    std::vector<Leaving> out;
    const std::vector<DeviceIntent> none;
    for (const DeviceIntent& intent : record != nullptr ? record->devices : none)
        out.push_back({{domain, DomId{static_cast<uint16_t>(intent.back)}}, intent});
    const auto known = [&](const DeviceEnds& ends, const std::string& kind, uint32_t devid) {
        return std::any_of(out.begin(), out.end(), [&](const Leaving& one) {
            return one.ends.back == ends.back && one.intent.kind == kind && one.intent.devid == devid;
        });
    };
    for (const DomId back : backend_domains(store, record)) {
        const DeviceEnds ends{domain, back};
        for (const DeviceDriver& driver : device_drivers()) {
            const std::string kind(driver.kind);
            for (const uint32_t devid : backend_ids(store, ends, kind)) {
                if (known(ends, kind, devid)) continue;
                const std::string path = backend_path(ends, kind, devid);
                const bool ran = back == DomId{0} && !read_or_empty(store, path + "/hotplug-status").empty();
                out.push_back({ends, {kind, devid, back.raw, ran ? read_or_empty(store, path + "/script") : "", ""}});
            }
        }
    }
    return out;
}

/// Tells both ends that the device goes; the back end lets go of the guest's memory.
void Devices::close(xenstore::Store& store, const Leaving& device) {
    const std::string back = device.back_path();
    auto done = xenstore::in_transaction(store, [&](xenstore::Transaction& tx) -> Outcome<> {
        const auto state = OTRY(tx.read_if_there(back + "/state"));
        const std::string front = frontend_path(device.ends, device.intent.kind, device.intent.devid);
        OTRY(tx.mkdir(front));  // so that removing it cannot fail
        OTRY(tx.remove(front));
        if (!state) return base::ok;
        OTRY(tx.write(back + "/online", "0"));
        if (*state != "6") OTRY(tx.write(back + "/state", "5"));
        return base::ok;
    });
    if (!done) log(LogLevel::warning, device.label() + ": " + done.failure().text);
}

void Devices::finish_close(xenstore::Store& store, Leaving& device) {
    const std::string back = device.back_path();
    if (const DeviceDriver* driver = device_driver(device.intent.kind); driver != nullptr && driver->in_kernel) {
        auto closed = wait_for(store, back + "/state", ports_.settings.close_timeout,
                               [](const auto& value) { return !value || *value == "6"; });
        if (!closed || !*closed) log(LogLevel::warning, device.label() + " does not close; it is removed by force");
        auto ran = run_script(store, device.intent, device.ends.front, false);
        if (!ran) log(LogLevel::warning, device.label() + ": " + ran.failure().text);
    }
    auto removed = xenstore::remove_if_there(store, back);
    if (!removed) log(LogLevel::warning, device.label() + ": " + removed.failure().text);
}

void Devices::detach_all(xenstore::Store& store, DomId domain, Record* record) {
    std::vector<Leaving> all = leaving(store, domain, record);
    if (record != nullptr) {
        record->devices.clear();
        for (Leaving& one : all) {
            if (!one.intent.script.empty()) one.intent.running = config::Uuid::random().text();
            record->devices.push_back(one.intent);
        }
        auto saved = ports_.records.save(*record);
        if (!saved) log(LogLevel::warning, "journal: " + saved.failure().text);
    }
    for (const Leaving& one : all) close(store, one);  // all at once, then wait for each
    for (Leaving& one : all) finish_close(store, one);
    for (const Leaving& one : all) {
        const std::string folder = "/local/domain/" + std::to_string(one.ends.back.raw) + "/backend/" + one.intent.kind + "/" +
                                   std::to_string(domain.raw);
        auto ignored = xenstore::remove_if_there(store, folder);
    }
    if (record != nullptr) record->devices.clear();
}

Outcome<std::vector<DeviceView>> Devices::list(xenstore::Store& store, DomId domain, const std::string& kind) {
    std::vector<DeviceView> out;
    const std::string folder = "/local/domain/" + std::to_string(domain.raw) + "/device/" + kind;
    auto names = store.directory(folder);
    if (!names) {
        if (names.failure().code == Errc::noent) return out;
        return std::move(names).take_failure();
    }
    for (const std::string& name : *names) {
        const auto id = base::parse_number<uint32_t>(name);
        if (!id) continue;
        DeviceView view;
        view.kind = kind;
        view.devid = *id;
        view.front = leaves(store, fmt::format("{}/{}", folder, name));
        for (const auto& [key, value] : view.front) {
            if (key == "backend-id") view.backend = base::parse_number<uint32_t>(value).value_or(0);
        }
        // The front end's folder belongs to the guest: where its back end is follows from numbers alone.
        view.backend_path = backend_path({domain, DomId{static_cast<uint16_t>(view.backend)}}, kind, *id);
        view.back = leaves(store, view.backend_path);
        out.push_back(std::move(view));
    }
    return out;
}

}  // namespace xend
