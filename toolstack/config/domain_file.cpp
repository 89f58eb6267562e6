// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/domain_file.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "toolstack/config/split.hpp"
#include "toolstack/config/vif.hpp"

namespace config {

namespace {

/// In double quotes; what could end them, or is no plain character, by its number.
std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\' || byte < 0x20 || byte == 0x7f) {
            std::array<char, 8> code{};
            std::snprintf(code.data(), code.size(), "\\x%02x", unsigned{byte});
            out += code.data();
        } else {
            out += c;
        }
    }
    return out + '"';
}

class Lines {
public:
    void text(std::string_view name, std::string_view value) {
        if (!value.empty()) raw(name, quoted(value));
    }
    void number(std::string_view name, uint64_t value) { raw(name, std::to_string(value)); }
    void number(std::string_view name, const std::optional<uint32_t>& value) {
        if (value) number(name, *value);
    }
    void list(std::string_view name, const std::vector<std::string>& values) {
        if (values.empty()) return;
        std::string all;
        for (const std::string& value : values) all += (all.empty() ? "[ " : ", ") + quoted(value);
        raw(name, all + " ]");
    }
    std::string out;

private:
    void raw(std::string_view name, const std::string& value) { out.append(name).append(" = ").append(value).append("\n"); }
};

std::string disk_text(const Disk& disk) {
    std::string out = "format=raw,vdev=" + disk.vdev;
    out += disk.mode == DiskMode::read_only ? ",access=ro" : ",access=rw";
    if (disk.cdrom) out += ",devtype=cdrom";
    if (disk.type != "phy" && disk.type != "file" && !disk.type.empty()) out += ",script=block-" + disk.type;
    if (disk.backend != Disk{}.backend) out += ",backend=" + disk.backend;
    if (!disk.discard) out += ",no-discard";
    return out + ",target=" + disk.target;  // the last, which may hold commas
}

std::string vif_text(const Vif& vif) {
    std::string out;
    for (const VifKey& key : vif_keys()) {
        const bool unknown_to_xl = &(vif.*key.member) == &vif.trusted;
        if (unknown_to_xl || vif.*key.member == Vif{}.*key.member) continue;
        const std::string& value = vif.*key.member;
        out += (out.empty() ? "" : ",") + std::string(key.name) + "=" + (value == "netfront" ? "vif" : value);
    }
    return out;
}

}  // namespace

std::string to_file(const DomainConfig& c) {
    Lines lines;
    lines.text("name", c.name);
    lines.text("type", "pv");
    if (!c.uuid.is_nil()) lines.text("uuid", c.uuid.text());
    lines.text("bootloader", c.bootloader);
    lines.list("bootloader_args", c.bootarg_words());
    lines.text("kernel", c.kernel);
    lines.text("ramdisk", c.ramdisk);
    lines.text("extra", c.cmdline());
    lines.number("memory", c.memory_mib);
    lines.number("maxmem", c.max_memory_mib());
    lines.number("vcpus", c.vcpus);
    std::vector<std::string> cpus;
    if (!c.cpus.empty()) {
        for (const std::string_view list : split(c.cpus, ';')) cpus.emplace_back(list);
    }
    if (cpus.size() == 1) lines.text("cpus", cpus[0]);
    if (cpus.size() > 1) lines.list("cpus", cpus);
    lines.number("cpu_weight", c.cpu_weight);
    lines.number("cap", c.cpu_cap);
    if (!c.pool.empty()) lines.text("pool", c.pool);
    if (c.tsc_mode) lines.text("tsc_mode", tsc_modes[*c.tsc_mode]);
    if (c.localtime) lines.number("localtime", 1);
    if (c.rtc_timeoffset != 0) lines.text("rtc_timeoffset", std::to_string(c.rtc_timeoffset));
    lines.number("max_event_channels", c.max_event_channels);
    lines.number("max_grant_frames", c.max_grant_frames);
    lines.number("max_maptrack_frames", c.max_maptrack_frames);
    lines.number("max_grant_version", c.max_grant_version);
    lines.text("on_poweroff", name_of(c.on_poweroff));
    lines.text("on_reboot", name_of(c.on_reboot));
    lines.text("on_crash", name_of(c.on_crash));
    if (c.on_watchdog) lines.text("on_watchdog", name_of(*c.on_watchdog));
    std::vector<std::string> disks, vifs;
    for (const Disk& disk : c.disks) disks.push_back(disk_text(disk));
    for (const Vif& vif : c.vifs) vifs.push_back(vif_text(vif));
    lines.list("disk", disks);
    lines.list("vif", vifs);
    return lines.out;
}

}  // namespace config
