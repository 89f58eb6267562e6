// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "lib/base/number.hpp"
#include "toolstack/config/libxl_json.hpp"

namespace config {

namespace {

using Json = nlohmann::ordered_json;

std::string underscored(std::string_view word) {
    std::string out(word);
    for (char& c : out) c = c == '-' ? '_' : c;
    return out;
}

Json vcpus_online(const DomainConfig& c) {
    Json out = Json::array();
    for (uint32_t i = 0; i < c.vcpus; ++i) {
        if (c.vcpu_avail == 0 || i >= 64 || ((c.vcpu_avail >> i) & 1U) != 0) out.push_back(i);
    }
    return out;
}

/// The CPUs of each vCPU by their numbers; none where a list is of all that a machine has.
Json affinities(const DomainConfig& c) {
    Json out = Json::array();
    for (uint32_t i = 0; i < c.vcpus; ++i) out.push_back(cpus_named(cpus_of_vcpu(c.cpus, i)).value_or(std::vector<uint32_t>{}));
    return out;
}

Json disk_json(const Disk& disk) {
    Json out = Json::object();
    if (!disk.backend.empty() && disk.backend != "0") out["backend_domname"] = disk.backend;
    if (!disk.target.empty()) out["pdev_path"] = disk.target;
    out["vdev"] = disk.vdev;
    out["format"] = disk.target.empty() ? "empty" : is_image_format(disk.type) ? disk.type : "raw";
    const bool by_script = !disk.type.empty() && disk.type != "phy" && disk.type != "file" && !is_image_format(disk.type);
    if (by_script) out["script"] = "block-" + disk.type;
    if (disk.cdrom) {
        out["removable"] = 1;
        out["is_cdrom"] = 1;
    }
    if (disk.mode != DiskMode::read_only) out["readwrite"] = 1;
    if (!disk.discard) out["discard_enable"] = "False";
    if (!disk.trusted) out["trusted"] = "False";
    return out;
}

Json nic_json(const Vif& vif, size_t devid) {
    Json out = Json::object();
    out["devid"] = devid;
    const auto add = [&](const char* key, const std::string& value) {
        if (!value.empty()) out[key] = value;
    };
    add("backend_domname", vif.backend);
    add("mac", vif.mac);
    add("ip", vif.ip);
    add("bridge", vif.bridge);
    add("ifname", vif.vifname);
    add("script", vif.script);
    add("gatewaydev", vif.gatewaydev);
    out["nictype"] = "vif";
    if (const auto mtu = base::parse_number<uint32_t>(vif.mtu)) out["mtu"] = *mtu;
    if (const auto limit = rate_limit(vif.rate); limit && !vif.rate.empty()) {
        out["rate_bytes_per_interval"] = limit->bytes;
        out["rate_interval_usecs"] = limit->usec;
    }
    return out;
}

}  // namespace

std::string to_libxl_json(const DomainConfig& c, std::optional<uint32_t> domid) {
    const char* type = std::holds_alternative<PvGuest>(c.guest)    ? "pv"
                       : std::holds_alternative<HvmGuest>(c.guest) ? "hvm"
                                                                   : "pvh";
    Json all = Json::object();
    all["c_info"] = {{"type", type}, {"name", c.name}, {"uuid", c.uuid.text()}, {"run_hotplug_scripts", "True"}};
    if (!c.pool.empty()) all["c_info"]["pool_name"] = c.pool;
    Json& b = all["b_info"] = Json::object();
    b["max_vcpus"] = c.vcpus;
    b["avail_vcpus"] = vcpus_online(c);
    b["max_memkb"] = c.max_memory_mib() * 1024;
    b["target_memkb"] = c.memory_mib * 1024;
    if (!c.cpus.empty()) b["vcpu_hard_affinity"] = affinities(c);
    const auto add = [&b](const char* key, const std::optional<uint32_t>& value) {
        if (value) b[key] = *value;
    };
    add("event_channels", c.max_event_channels);
    add("max_grant_frames", c.max_grant_frames);
    add("max_maptrack_frames", c.max_maptrack_frames);
    add("max_grant_version", c.max_grant_version);
    if (c.localtime) b["localtime"] = "True";
    if (c.rtc_timeoffset != 0) b["rtc_timeoffset"] = c.rtc_timeoffset;
    if (c.tsc_mode) b["tsc_mode"] = tsc_modes[*c.tsc_mode];
    if (c.cpu_weight) b["sched_params"]["weight"] = *c.cpu_weight;
    if (c.cpu_cap) b["sched_params"]["cap"] = *c.cpu_cap;
    b["claim_mode"] = "True";
    if (!c.bootloader.empty()) b["bootloader"] = c.bootloader;
    for (const std::string& word : c.bootarg_words()) b["bootloader_args"].push_back(word);
    if (!c.kernel.empty()) b["kernel"] = c.kernel;
    if (!c.cmdline().empty()) b["cmdline"] = c.cmdline();
    if (!c.ramdisk.empty()) b["ramdisk"] = c.ramdisk;
    b[std::string("type.") + type] = Json::object();
    for (const Disk& disk : c.disks) all["disks"].push_back(disk_json(disk));
    for (size_t i = 0; i < c.vifs.size(); ++i) all["nics"].push_back(nic_json(c.vifs[i], i));
    all["on_poweroff"] = underscored(name_of(c.on_poweroff));
    all["on_reboot"] = underscored(name_of(c.on_reboot));
    all["on_crash"] = underscored(name_of(c.on_crash));
    if (c.on_watchdog) all["on_watchdog"] = underscored(name_of(*c.on_watchdog));
    if (!domid) return all.dump(4, ' ', false, Json::error_handler_t::replace);
    const Json out = {{"domid", *domid}, {"config", std::move(all)}};
    return out.dump(4, ' ', false, Json::error_handler_t::replace);
}

}  // namespace config
