// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/core/devices.hpp"

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

/// The record's intent for the device, which may be new.
DeviceIntent& intent_for(Record& record, const DeviceNodes& device) {
    for (DeviceIntent& intent : record.devices) {
        if (intent.kind == device.kind && intent.devid == device.devid) return intent;
    }
    DeviceIntent intent;
    intent.kind = device.kind;
    intent.devid = device.devid;
    return record.devices.emplace_back(std::move(intent));
}

}  // namespace

std::string device_label(const std::string& kind, uint32_t devid) {
    return "Device " + std::to_string(devid) + " (" + kind + ")";
}

void add_changes(const NodeSet& set, std::vector<xenstore::Change>& changes) {
    using xenstore::Change;
    changes.push_back({Change::Kind::mkdir, set.path});
    changes.push_back({Change::Kind::permissions, set.path, {}, set.permissions});  // before its children: they inherit
    for (const auto& [key, value] : set.values) changes.push_back({Change::Kind::write, set.path + "/" + key, value});
}

Outcome<> write_nodes(xenstore::Transaction& tx, const NodeSet& set) {
    std::vector<xenstore::Change> changes;
    add_changes(set, changes);
    return tx.change_all(changes);
}

Outcome<> Devices::attach(xenstore::Store& store, Record& record, std::vector<DeviceNodes> devices) {
    std::vector<BlockDevice> held;  // until the back ends hold them
    for (DeviceNodes& device : devices) {
        const bool ours = device.needs_script && device.ends.back == DomId{0};
        DeviceIntent& intent = intent_for(record, device);
        intent.back = device.ends.back.raw;
        if (!ours) continue;
        intent.script = device.script;
        if (!device.script.empty()) intent.running = config::Uuid::random().text();
        else if (config::is_image_format(device.disk.type)) intent.server = config::Uuid::random().text();
    }
    OTRY(ports_.records.note(record));
    for (DeviceNodes& device : devices) {
        const bool ours = device.needs_script && device.ends.back == DomId{0} && device.script.empty();
        if (ours) held.push_back(OTRY(take_disk(device, intent_for(record, device).server)));
    }
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
    for (const DeviceNodes& device : devices) {
        if (!device.needs_script || device.ends.back != DomId{0}) continue;
        OTRY(await_backend(store, device));
        OTRY(device.script.empty() ? await_served(store, device) : hotplug(store, device, intent_for(record, device)));
    }
    return base::ok;
}

/// What a script would find and tell the back end, which finds it there from the start.
Outcome<BlockDevice> Devices::take_disk(DeviceNodes& device, const std::string& server) {
    const config::Disk& disk = device.disk;
    auto taken = !server.empty()       ? ports_.blocks.image({disk.target, disk.type, disk.mode, disk.discard}, server)
                 : disk.type == "file" ? ports_.blocks.loop(disk.target, disk.mode)
                                       : ports_.blocks.device(disk.target);
    if (!taken) {
        return base::fail(taken.failure().code,
                          device_label(device.kind, device.devid) + " could not be connected. " + taken.failure().text);
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
        const std::string state = OTRY(text_at(store, device.back.path + "/state"));
        const bool refused = state.empty() || state == "5" || state == "6";
        if (refused || waited >= ports_.settings.backend_timeout) {
            return base::fail(refused ? Errc::io : Errc::timedout, device_label(device.kind, device.devid) +
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
    return base::fail(Errc::timedout,
                      device_label(device.kind, device.devid) + " could not be connected. Backend device not found.");
}

Outcome<> Devices::hotplug(xenstore::Store& store, const DeviceNodes& device, DeviceIntent& intent) {
    const std::string what = device_label(device.kind, device.devid) + " could not be connected. ";
    auto ran = run_script(store, intent, device.ends.front, true);
    intent.running.clear();
    const std::string status = OTRY(text_at(store, device.back.path + "/hotplug-status"));
    const std::string error = OTRY(text_at(store, device.back.path + "/hotplug-error"));
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
    const std::string back_path = backend_path({front, intent.backend()}, intent.kind, intent.devid);
    ScriptWords words = driver->script({front, intent.devid, OTRY(text_at(store, back_path + "/vifname")), attach});
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

}  // namespace xend
