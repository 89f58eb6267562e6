// SPDX-License-Identifier: Apache-2.0
// Taking devices off their back ends, by force and politely.
#include <algorithm>

#include "lib/base/number.hpp"
#include "toolstack/service/log.hpp"
#include "toolstack/xend/core/device_drivers.hpp"
#include "toolstack/xend/core/devices.hpp"
#include "toolstack/xend/core/store_pool.hpp"

namespace xend {

using base::DomId;
using base::Errc;
using base::Outcome;
using service::log;
using service::LogLevel;

namespace {

/// The names below `path`; none when there is no such folder.
Outcome<std::vector<std::string>> names_in(xenstore::Store& store, const std::string& path) {
    auto names = store.directory(path);
    if (names || names.failure().code != Errc::noent) return names;
    return std::vector<std::string>{};
}

std::string backend_folder(const DeviceEnds& ends, const std::string& kind) {
    return "/local/domain/" + std::to_string(ends.back.raw) + "/backend/" + kind + "/" + std::to_string(ends.front.raw);
}

/// Device ids of the domain's devices of this kind, from the back end's side (the guest cannot touch that).
Outcome<std::vector<uint32_t>> backend_ids(xenstore::Store& store, const DeviceEnds& ends, const std::string& kind) {
    std::vector<uint32_t> out;
    for (const std::string& name : OTRY(names_in(store, backend_folder(ends, kind)))) {
        if (const auto id = base::parse_number<uint32_t>(name)) out.push_back(*id);
    }
    return out;
}

/// The domains that may be back ends of this record's devices; without a record, of anybody's: dom0 and those with a backend folder.
Outcome<std::vector<DomId>> backend_domains(xenstore::Store& store, const Record* record) {
    std::vector<DomId> out;
    if (record != nullptr && (!record->devices.empty() || (record->config.disks.empty() && record->config.vifs.empty()))) {
        out.emplace_back(uint16_t{0});
        for (const DeviceIntent& device : record->devices) {
            const DomId back = device.backend();
            if (std::find(out.begin(), out.end(), back) == out.end()) out.push_back(back);
        }
        return out;
    }
    for (const std::string& text : OTRY(names_in(store, "/local/domain"))) {
        const auto id = base::parse_number<uint32_t>(text);
        if (!id) continue;
        const bool has = *id == 0 || !OTRY(names_in(store, "/local/domain/" + text + "/backend")).empty();
        if (has) out.emplace_back(static_cast<uint16_t>(*id));
    }
    return out;
}

/// Keeps the first failure and logs each.
void note(Outcome<>& first, const std::string& what, const Outcome<>& done) {
    if (done) return;
    log(LogLevel::warning, what + ": " + done.failure().text);
    if (first) first = base::Failure(done.failure()).with(what);
}

}  // namespace

/// A device that is to go.
struct Devices::Leaving {
    DeviceEnds ends;
    DeviceIntent intent;

    std::string back_path() const { return backend_path(ends, intent.kind, intent.devid); }
    std::string front_path() const { return frontend_path(ends, intent.kind, intent.devid); }
    std::string label() const { return device_label(intent.kind, intent.devid) + " of domain " + std::to_string(ends.front.raw); }
};

/// Everything that the record or the store knows of. What only the store knows has a script if one was run for it.
Outcome<std::vector<Devices::Leaving>> Devices::leaving(xenstore::Store& store, DomId domain, const Record* record) {
    std::vector<Leaving> out;
    const std::vector<DeviceIntent> none;
    for (const DeviceIntent& intent : record != nullptr ? record->devices : none)
        out.push_back({{domain, intent.backend()}, intent});
    const auto known = [&](const DeviceEnds& ends, const std::string& kind, uint32_t devid) {
        return std::any_of(out.begin(), out.end(), [&](const Leaving& one) {
            return one.ends.back == ends.back && one.intent.kind == kind && one.intent.devid == devid;
        });
    };
    for (const DomId back : OTRY(backend_domains(store, record))) {
        const DeviceEnds ends{domain, back};
        for (const DeviceDriver& driver : device_drivers()) {
            const std::string kind(driver.kind);
            for (const uint32_t devid : OTRY(backend_ids(store, ends, kind))) {
                if (known(ends, kind, devid)) continue;
                const std::string path = backend_path(ends, kind, devid);
                const bool ran = back == DomId{0} && !OTRY(text_at(store, path + "/hotplug-status")).empty();
                DeviceIntent intent{kind, devid, back.raw, ran ? OTRY(text_at(store, path + "/script")) : "", "", {}, {}};
                out.push_back({ends, std::move(intent)});
            }
        }
    }
    return out;
}

/// Tells both ends that the device goes; the back end lets go of the guest's memory.
Outcome<> Devices::close(xenstore::Store& store, const Leaving& device) {
    const std::string back = device.back_path();
    return xenstore::in_transaction(store, [&](xenstore::Transaction& tx) -> Outcome<> {
        const auto state = OTRY(tx.read_if_there(back + "/state"));
        OTRY(tx.mkdir(device.front_path()));  // so that removing it cannot fail
        OTRY(tx.remove(device.front_path()));
        if (!state) return base::ok;
        OTRY(tx.write(back + "/online", "0"));
        if (*state != "6") OTRY(tx.write(back + "/state", "5"));
        return base::ok;
    });
}

Outcome<> Devices::finish_close(xenstore::Store& store, const Leaving& device) {
    const std::string back = device.back_path();
    if (const DeviceDriver* driver = device_driver(device.intent.kind); driver != nullptr && driver->in_kernel) {
        const bool closed = OTRY(wait_for(store, back + "/state", ports_.settings.close_timeout,
                                          [](const auto& value) { return !value || *value == "6"; }));
        if (!closed) log(LogLevel::warning, device.label() + " does not close; it is removed by force");
        auto ran = run_script(store, device.intent, device.ends.front, false);
        if (!ran) log(LogLevel::warning, device.label() + ": " + ran.failure().text);
    }
    OTRY(xenstore::remove_if_there(store, back));
    return device.intent.server.empty() ? Outcome<>(base::ok) : ports_.blocks.release(device.intent.server);
}

/// All at once, then it waits for each. Errors: the first one.
Outcome<> Devices::take_off(xenstore::Store& store, const std::vector<Leaving>& devices) {
    Outcome<> first = base::ok;
    for (const Leaving& one : devices) note(first, one.label(), close(store, one));
    for (const Leaving& one : devices) note(first, one.label(), finish_close(store, one));
    return first;
}

Outcome<> Devices::detach_all(xenstore::Store& store, DomId domain, Record* record) {
    std::vector<Leaving> all = OTRY(leaving(store, domain, record));
    if (record != nullptr) {
        record->devices.clear();
        for (Leaving& one : all) {
            if (!one.intent.script.empty()) one.intent.running = config::Uuid::random().text();
            record->devices.push_back(one.intent);
        }
        auto saved = ports_.records.save(*record);
        if (!saved) log(LogLevel::warning, "journal: " + saved.failure().text);
    }
    OTRY(take_off(store, all));
    for (const Leaving& one : all) OTRY(xenstore::remove_if_there(store, backend_folder(one.ends, one.intent.kind)));
    if (record != nullptr) record->devices.clear();
    return base::ok;
}

Outcome<> Devices::detach(xenstore::Store& store, DomId domain, const DeviceIntent& intent) {
    const DeviceEnds ends{domain, intent.backend()};
    OTRY(take_off(store, {{ends, intent}}));
    // The last one of its kind takes the folder with it, of which nobody would know later.
    const std::string folder = backend_folder(ends, intent.kind);
    return OTRY(names_in(store, folder)).empty() ? xenstore::remove_if_there(store, folder) : Outcome<>(base::ok);
}

Outcome<bool> Devices::ask_to_close(xenstore::Store& store, DomId domain, const DeviceIntent& intent) {
    const Leaving device{{domain, intent.backend()}, intent};
    const std::string back = device.back_path(), state = back + "/state";
    const std::string before = OTRY(text_at(store, state));
    if (before.empty() || before == "6") return true;
    const auto say = [&](const char* online, const std::string& now) {
        return xenstore::in_transaction(store, [&](xenstore::Transaction& tx) -> Outcome<> {
            OTRY(tx.write(back + "/online", online));
            return tx.write(state, now);
        });
    };
    OTRY(say("0", "5"));
    const bool closed =
        OTRY(wait_for(store, state, ports_.settings.close_timeout, [](const auto& value) { return !value || *value == "6"; }));
    const std::string connected = "4";  // and "5" when somebody asked before us and was killed
    if (!closed) OTRY(say("1", before == "5" ? connected : before));
    return closed;
}

}  // namespace xend
