// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/core/devices.hpp"

#include <fmt/format.h>

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

/// The domains that are back ends of somebody: dom0 and those with a backend folder.
std::vector<DomId> backend_domains(xenstore::Store& store) {
    std::vector<DomId> out;
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

Outcome<> Devices::attach(xenstore::Store& store, DomId domain, const std::vector<DeviceNodes>& devices) {
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
    if (!written)
        return std::move(written).take_failure().with("while writing the devices of domain " + std::to_string(domain.raw));
    for (const DeviceNodes& device : devices) {
        if (!device.needs_script || device.ends.back != DomId{0}) continue;
        OTRY(await_backend(store, device));
        OTRY(hotplug(store, device));
    }
    return base::ok;
}

Outcome<> Devices::await_backend(xenstore::Store& store, const DeviceNodes& device) {
    const std::string path = device.back.path + "/state";
    const bool there = OTRY(wait_for(store, path, ports_.settings.backend_timeout, [](const auto& value) {
        return value && (*value == "2" || *value == "3" || *value == "4");
    }));
    if (there) return base::ok;
    return base::fail(Errc::timedout, label(device.kind, device.devid) + " could not be connected. Backend device not found.");
}

Outcome<> Devices::hotplug(xenstore::Store& store, const DeviceNodes& device) {
    const std::string what = label(device.kind, device.devid) + " could not be connected. ";
    auto ran = run_script(store, device.kind, device.devid, device.ends.front, device.back.path, true);
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

Outcome<> Devices::run_script(xenstore::Store& store, const std::string& kind, uint32_t devid, DomId front,
                              const std::string& back_path, bool attach) {
    const DeviceDriver* driver = device_driver(kind);
    if (driver == nullptr || driver->script == nullptr) return base::ok;
    ScriptCall call;
    call.path = read_or_empty(store, back_path + "/script");
    if (call.path.empty()) return base::ok;
    call.timeout = ports_.settings.hotplug_timeout;
    call.environment = {
        {"XENBUS_PATH", back_path}, {"XENBUS_TYPE", kind}, {"XENBUS_BASE_PATH", "backend"}, {"script", call.path}};
    ScriptWords words = driver->script({front, devid, read_or_empty(store, back_path + "/vifname"), attach});
    call.arguments = std::move(words.arguments);
    call.environment.insert(call.environment.end(), words.environment.begin(), words.environment.end());
    log(LogLevel::debug, "running " + call.path + " " + call.arguments[0] + " for " + back_path);
    return ports_.scripts.run(call);
}

/// Tells both ends that the device goes; the back end lets go of the guest's memory.
void Devices::close(xenstore::Store& store, const DeviceEnds& ends, const std::string& kind, uint32_t devid) {
    const std::string back = backend_path(ends, kind, devid);
    auto done = xenstore::in_transaction(store, [&](xenstore::Transaction& tx) -> Outcome<> {
        const auto state = OTRY(tx.read_if_there(back + "/state"));
        const std::string front = frontend_path(ends, kind, devid);
        OTRY(tx.mkdir(front));  // so that removing it cannot fail
        OTRY(tx.remove(front));
        if (!state) return base::ok;
        OTRY(tx.write(back + "/online", "0"));
        if (*state != "6") OTRY(tx.write(back + "/state", "5"));
        return base::ok;
    });
    if (!done)
        log(LogLevel::warning, label(kind, devid) + " of domain " + std::to_string(ends.front.raw) + ": " + done.failure().text);
}

void Devices::finish_close(xenstore::Store& store, const DeviceEnds& ends, const std::string& kind, uint32_t devid) {
    const std::string back = backend_path(ends, kind, devid);
    const std::string what = label(kind, devid) + " of domain " + std::to_string(ends.front.raw);
    if (const DeviceDriver* driver = device_driver(kind); driver != nullptr && driver->in_kernel) {
        auto closed = wait_for(store, back + "/state", ports_.settings.close_timeout,
                               [](const auto& value) { return !value || *value == "6"; });
        if (!closed || !*closed) log(LogLevel::warning, what + " does not close; it is removed by force");
        if (ends.back == DomId{0} && !read_or_empty(store, back + "/hotplug-status").empty()) {
            auto ran = run_script(store, kind, devid, ends.front, back, false);
            if (!ran) log(LogLevel::warning, what + ": " + ran.failure().text);
        }
    }
    auto removed = xenstore::remove_if_there(store, back);
    if (!removed) log(LogLevel::warning, what + ": " + removed.failure().text);
}

void Devices::detach_all(xenstore::Store& store, DomId domain) {
    struct One {
        DeviceEnds ends;
        std::string kind;
        uint32_t devid;
    };
    std::vector<One> all;
    for (const DomId back : backend_domains(store)) {
        const DeviceEnds ends{domain, back};
        for (const DeviceDriver& driver : device_drivers()) {
            const std::string kind(driver.kind);
            for (const uint32_t devid : backend_ids(store, ends, kind)) all.push_back({ends, kind, devid});
        }
    }
    for (const One& one : all) close(store, one.ends, one.kind, one.devid);  // all at once, then wait for each
    for (const One& one : all) finish_close(store, one.ends, one.kind, one.devid);
    for (const One& one : all) {
        const std::string folder =
            "/local/domain/" + std::to_string(one.ends.back.raw) + "/backend/" + one.kind + "/" + std::to_string(domain.raw);
        auto ignored = xenstore::remove_if_there(store, folder);
    }
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
