// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/core/device_nodes.hpp"
#include "lib/base/number.hpp"

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

}  // namespace

std::string backend_path(const DeviceEnds& ends, const std::string& kind, uint32_t devid) {
    return "/local/domain/" + text(ends.back) + "/backend/" + kind + "/" + text(ends.front) + "/" + std::to_string(devid);
}

std::string frontend_path(const DeviceEnds& ends, const std::string& kind, uint32_t devid) {
    return "/local/domain/" + text(ends.front) + "/device/" + kind + "/" + std::to_string(devid);
}

xenstore::Permissions owned_by(DomId owner, DomId reader) { return {{owner, Access::none}, {reader, Access::read}}; }

DeviceNodes vbd_nodes(const DeviceEnds& ends, const config::Disk& disk, const std::string& scripts) {
    DeviceNodes out = common(ends, "vbd", disk.devid);
    const std::string type = disk.cdrom ? "cdrom" : "disk";
    add(out.front, "virtual-device", std::to_string(disk.devid));
    add(out.front, "device-type", type);
    add(out.front, "protocol", "x86_64-abi");
    const bool classic = disk.type.empty() || disk.type == "phy" || disk.type == "file";
    add(out.back, "type", disk.type.empty() ? "phy" : disk.type);
    add(out.back, "params", disk.target);
    add(out.back, "script", scripts + (classic ? "/block" : "/block-" + disk.type));
    add(out.back, "dev", disk.vdev);
    add(out.back, "mode", std::string(config::name_of(disk.mode)));
    add(out.back, "device-type", type);
    add(out.back, "removable", disk.cdrom ? "1" : "0");
    add(out.back, "bootable", "1");
    add(out.back, "discard-enable", disk.mode == config::DiskMode::read_only ? "0" : "1");
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
    add_if(out.back, "ip", vif.ip);
    add_if(out.back, "vifname", vif.vifname);
    if (!vif.rate.empty()) add(out.back, "rate", rate_value(vif.rate));
    add(out.back, "script", script);
    add(out.back, "hotplug-status", "");
    return out;
}

std::string rate_value(const std::string& rate) {
    static const std::string unlimited = "4294967295,0";
    std::string_view rest = rate;
    const auto amount = base::take_number<uint64_t>(rest);
    if (!amount || rest.empty()) return unlimited;
    uint64_t bytes = *amount;
    uint64_t scale = 1;
    if (rest[0] == 'K') scale = 1'000;
    if (rest[0] == 'M') scale = 1'000'000;
    if (rest[0] == 'G') scale = 1'000'000'000;
    if (scale != 1) rest.remove_prefix(1);
    if (!rest.starts_with("b/s") && !rest.starts_with("B/s")) return unlimited;
    if (__builtin_mul_overflow(bytes, scale, &bytes)) return unlimited;
    if (rest[0] == 'b') bytes /= 8;
    rest.remove_prefix(3);
    uint64_t window = 50'000;  // µs
    if (!rest.empty()) {
        if (rest[0] != '@') return unlimited;
        rest.remove_prefix(1);
        const auto count = base::take_number<uint64_t>(rest);
        const uint64_t unit = rest == "us" ? 1 : rest == "ms" ? 1'000 : rest == "s" ? 1'000'000 : 0;
        if (!count || unit == 0 || __builtin_mul_overflow(*count, unit, &window)) return unlimited;
    }
    if (__builtin_mul_overflow(bytes, window, &bytes)) return unlimited;
    bytes /= 1'000'000;
    if (bytes == 0 || bytes > 0xffffffffULL || window > 0xffffffffULL) return unlimited;
    return std::to_string(bytes) + "," + std::to_string(window);
}

}  // namespace xend
