// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/core/device_drivers.hpp"

#include <algorithm>
#include <array>

#include "lib/base/number.hpp"
#include "toolstack/config/device_kinds.hpp"
#include "toolstack/xend/core/disk_check.hpp"

namespace xend {

namespace {

using config::DomainConfig;

// Disks.

base::Outcome<> check_vbds(xenstore::Store& store, const DomainConfig& config, std::span<const RecordPtr> records) {
    return check_disks(store, config, records);
}

std::string vbd_backend(const DomainConfig& config, size_t index) { return config.disks[index].backend; }

DeviceNodes make_vbd(const DeviceEnds& ends, const DomainConfig& config, size_t index, uint32_t, const Settings& settings) {
    return vbd_nodes(ends, config.disks[index], settings);
}

uint32_t vbd_devid(const DomainConfig& config, size_t index, std::span<const DeviceIntent>) { return config.disks[index].devid; }

std::optional<uint32_t> vbd_named(const std::string& word) { return config::device_number(word); }

ScriptWords vbd_script(const ScriptSubject& subject) { return {subject.attach ? "add" : "remove", {}, {}}; }

// Network interfaces.

std::string vif_backend(const DomainConfig& config, size_t index) { return config.vifs[index].backend; }

DeviceNodes make_vif(const DeviceEnds& ends, const DomainConfig& config, size_t index, uint32_t devid, const Settings& settings) {
    config::Vif vif = config.vifs[index];
    if (vif.bridge.empty()) vif.bridge = settings.vif_bridge;
    std::string script = settings.script_path(vif.script.empty() ? settings.vif_script : vif.script);
    if (settings.vif_antispoof) script += " antispoof=yes";
    return vif_nodes(ends, vif, devid, script);
}

/// The one that it is to have, else the lowest that is free.
uint32_t vif_devid(const DomainConfig& config, size_t index, std::span<const DeviceIntent> taken) {
    if (const auto wanted = base::parse_number<uint32_t>(config.vifs[index].devid)) return *wanted;
    const auto is_taken = [&](uint32_t devid) {
        const std::string text = std::to_string(devid);
        return std::ranges::any_of(config.vifs, [&](const config::Vif& vif) { return vif.devid == text; }) ||
               std::ranges::any_of(taken, [&](const DeviceIntent& one) { return one.kind == "vif" && one.devid == devid; });
    };
    uint32_t devid = 0;
    while (is_taken(devid)) ++devid;
    return devid;
}

std::optional<uint32_t> vif_named(const std::string& word) { return base::parse_number<uint32_t>(word); }

ScriptWords vif_script(const ScriptSubject& subject) {
    const std::string vif = "vif" + std::to_string(subject.front.raw) + "." + std::to_string(subject.devid);
    ScriptWords out;
    out.command = subject.attach ? "online" : "offline";
    out.arguments = {"type_if=vif"};
    out.environment = {
        {"vif", subject.attach || subject.renamed.empty() ? vif : subject.renamed}, {"type_if", "vif"}, {"INTERFACE", vif}};
    return out;
}

constexpr std::array drivers = {
    DeviceDriver{"vbd", true, check_vbds, vbd_backend, make_vbd, vbd_devid, vbd_named, vbd_script},
    DeviceDriver{"vif", true, nullptr, vif_backend, make_vif, vif_devid, vif_named, vif_script},
    // Every domain has one; its nodes are made with its rings (domain_nodes.cpp), xenconsoled serves it.
    DeviceDriver{"console", false, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr},
};

}  // namespace

size_t DeviceDriver::count(const DomainConfig& config) const {
    const config::DeviceKind* listed = nodes == nullptr ? nullptr : config::device_kind(kind);
    return listed == nullptr ? 0 : listed->count(config);
}

std::span<const DeviceDriver> device_drivers() { return drivers; }

const DeviceDriver* device_driver(std::string_view kind) {
    for (const DeviceDriver& driver : drivers) {
        if (driver.kind == kind) return &driver;
    }
    return nullptr;
}

}  // namespace xend
