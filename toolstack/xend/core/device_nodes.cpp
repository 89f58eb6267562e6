// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/core/device_nodes.hpp"

#include <string_view>

namespace xend {

using base::DomId;
using xenstore::Access;

namespace {

std::string text(DomId id) { return std::to_string(id.raw); }

/// The parts that every device has on both sides.
DeviceNodes common(const DeviceEnds& ends, const std::string& kind, uint32_t devid) {
    DeviceNodes out;
    out.kind = kind;
    out.devid = devid;
    out.ends = ends;
    out.front.path = frontend_path(ends, kind, devid);
    out.front.permissions = owned_by(ends.front, ends.back);
    out.front.values = {{"backend", backend_path(ends, kind, devid)}, {"backend-id", text(ends.back)}, {"state", "1"}};
    out.back.path = backend_path(ends, kind, devid);
    out.back.permissions = owned_by(ends.back, ends.front);
    out.back.values = {{"frontend", out.front.path}, {"frontend-id", text(ends.front)}, {"online", "1"}, {"state", "1"}};
    return out;
}

void add(NodeSet& set, const char* key, std::string value) { set.values.emplace_back(key, std::move(value)); }

void add_if(NodeSet& set, const char* key, const std::string& value) {
    if (!value.empty()) add(set, key, value);
}

/// As netback reads it: bytes a window, and the window in µs.
std::string rate_value(const std::string& rate) {
    const auto limit = config::rate_limit(rate);
    return limit ? std::to_string(limit->bytes) + "," + std::to_string(limit->usec) : "4294967295,0";
}

}  // namespace

std::string backend_path(const DeviceEnds& ends, const std::string& kind, uint32_t devid) {
    return "/local/domain/" + text(ends.back) + "/backend/" + kind + "/" + text(ends.front) + "/" + std::to_string(devid);
}

std::string frontend_path(const DeviceEnds& ends, const std::string& kind, uint32_t devid) {
    return "/local/domain/" + text(ends.front) + "/device/" + kind + "/" + std::to_string(devid);
}

xenstore::Permissions owned_by(DomId owner, DomId reader) { return {{owner, Access::none}, {reader, Access::read}}; }

DeviceNodes vbd_nodes(const DeviceEnds& ends, const config::Disk& disk, const Settings& settings) {
    DeviceNodes out = common(ends, "vbd", disk.devid);
    const std::string type = disk.cdrom ? "cdrom" : "disk";
    add(out.front, "virtual-device", std::to_string(disk.devid));
    add(out.front, "device-type", type);
    add(out.front, "protocol", "x86_64-abi");
    const auto own = settings.block_scripts.find(disk.type);
    const bool classic = own == settings.block_scripts.end() &&
                         (disk.type.empty() || disk.type == "phy" || disk.type == "file" || config::is_image_format(disk.type));
    const std::string script = settings.script_path(classic                               ? "block"
                                                    : own != settings.block_scripts.end() ? own->second
                                                                                          : "block-" + disk.type);
    if (!classic) out.script = script;
    out.disk = disk;
    add(out.back, "type", disk.type.empty() ? "phy" : disk.type);
    add(out.back, "params", disk.target);
    add(out.back, "script", script);
    add(out.back, "dev", disk.vdev);
    add(out.back, "mode", std::string(config::name_of(disk.mode)));
    add(out.back, "device-type", type);
    add(out.back, "removable", disk.cdrom ? "1" : "0");
    add(out.back, "bootable", "1");
    add(out.back, "discard-enable", disk.mode == config::DiskMode::read_only || !disk.discard ? "0" : "1");
    if (!disk.trusted) add(out.front, "trusted", "0");
    add(out.back, "hotplug-status", "");
    out.needs_script = !disk.target.empty();
    return out;
}

DeviceNodes vif_nodes(const DeviceEnds& ends, const config::Vif& vif, uint32_t index, const std::string& script) {
    DeviceNodes out = common(ends, "vif", index);
    add(out.front, "handle", std::to_string(index));
    add(out.front, "mac", vif.mac);
    add(out.back, "handle", std::to_string(index));
    add(out.back, "type", "vif");
    add(out.back, "mac", vif.mac);
    add_if(out.back, "bridge", vif.bridge);
    add_if(out.back, "vnet", vif.vnet);
    add_if(out.back, "ip", vif.ip);
    add_if(out.back, "vifname", vif.vifname);
    if (!vif.rate.empty()) add(out.back, "rate", rate_value(vif.rate));
    add_if(out.back, "mtu", vif.mtu);
    add_if(out.front, "mtu", vif.mtu);
    add_if(out.back, "gatewaydev", vif.gatewaydev);
    add_if(out.front, "trusted", vif.trusted);
    add(out.back, "script", script);
    add(out.back, "hotplug-status", "");
    out.script = script;
    return out;
}

}  // namespace xend
