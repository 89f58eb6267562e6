// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/device_kinds.hpp"

#include <array>
#include <set>

#include "toolstack/config/vif.hpp"

namespace config {

using base::Errc;
using base::Outcome;

namespace {

base::Failure inval(std::string text) { return base::fail(Errc::inval, std::move(text)); }

template <auto List>
size_t count(const DomainConfig& config) {
    return (config.*List).size();
}

template <auto List>
void resize(DomainConfig& config, size_t size) {
    (config.*List).resize(size);
}

template <auto List>
void erase(DomainConfig& config, size_t index) {
    (config.*List).erase((config.*List).begin() + static_cast<std::ptrdiff_t>(index));
}

template <auto List, auto Parse>
Outcome<> add(DomainConfig& config, std::string_view specifier) {
    (config.*List).push_back(OTRY(Parse(specifier)));
    return base::ok;
}

std::string value_of(const Pairs& pairs, std::string_view key, const char* otherwise) {
    for (const auto& [name, value] : pairs) {
        if (name == key) return value;
    }
    return otherwise;
}

// Disks.

Pairs show_disk(const DomainConfig& config, size_t index) {
    const Disk& disk = config.disks[index];
    Pairs out = {
        {"uname", disk.uname()}, {"dev", disk.vdev + (disk.cdrom ? ":cdrom" : "")}, {"mode", std::string(name_of(disk.mode))}};
    if (disk.backend != Disk{}.backend) out.emplace_back("backend", disk.backend);
    if (!disk.discard) out.emplace_back("discard", "0");
    if (!disk.trusted) out.emplace_back("trusted", "0");
    return out;
}

/// In the form that has room for any path: `uname` takes all that follows.
Outcome<std::string> disk_specifier(const Pairs& pairs) {
    std::string out;
    for (const char* key : {"dev", "mode", "backend"}) {
        const std::string value = value_of(pairs, key, "");
        if (value.find(',') != std::string::npos) return inval("disk: a comma in " + std::string(key));
        if (!value.empty()) out += std::string(key) + "=" + value + ",";
    }
    if (value_of(pairs, "discard", "1") == "0") out += "no-discard,";
    if (value_of(pairs, "trusted", "1") == "0") out += "untrusted,";
    return out + "uname=" + value_of(pairs, "uname", "");
}

Outcome<> check_disks(const DomainConfig& config) {
    if (config.disks.size() > max_disks) return inval("disk: more than " + std::to_string(max_disks) + " disks");
    std::set<uint32_t> devids;
    for (const Disk& disk : config.disks) {
        if (!devids.insert(disk.devid).second) return inval("disk: the device " + disk.vdev + " is given twice");
        if (disk.type == "ram") return inval("disk: disks of memory (ram) are not supported: " + disk.vdev);
        if (is_image_format(disk.type) && disk.mode == DiskMode::shared_write) {
            return inval("disk: a " + disk.type + " image has one writer, which knows alone where its blocks are: w! for " +
                         disk.vdev + " needs a raw image (qemu-img convert -O raw makes one)");
        }
        if (!is_printable(disk.target)) return inval("disk: control characters in the path of " + disk.vdev);
    }
    return base::ok;
}

// Network interfaces.

Pairs show_vif(const DomainConfig& config, size_t index) {
    const Vif& vif = config.vifs[index];
    Pairs out;
    for (const VifKey& key : vif_keys()) {
        if (vif.*key.member != Vif{}.*key.member) out.emplace_back(key.name, vif.*key.member);
    }
    return out;
}

Outcome<std::string> vif_specifier(const Pairs& pairs) {
    std::string out;
    for (const VifKey& key : vif_keys()) {
        const std::string value = value_of(pairs, key.name, "");
        if (value.find(',') != std::string::npos) return inval("vif: a comma in " + std::string(key.name));
        if (!value.empty()) out += (out.empty() ? "" : ",") + std::string(key.name) + "=" + value;
    }
    return out;
}

Outcome<> check_vifs(const DomainConfig& config) {
    if (config.vifs.size() > max_vifs) return inval("vif: more than " + std::to_string(max_vifs) + " network interfaces");
    std::set<std::string> macs, names, devids;
    for (const Vif& vif : config.vifs) {
        if (!vif.devid.empty() && !devids.insert(vif.devid).second)
            return inval("vif: the devid " + vif.devid + " is given twice");
        if (!vif.mac.empty() && !macs.insert(vif.mac).second) return inval("vif: the MAC address " + vif.mac + " is given twice");
        if (!vif.vifname.empty() && !names.insert(vif.vifname).second)
            return inval("vif: the name " + vif.vifname + " is given twice");
        if (!vif.vnet.empty() && !vif.bridge.empty())
            return inval("vif: vnet=" + vif.vnet + " has a bridge of its own: leave out bridge=" + vif.bridge);
        if (!vif.vnet.empty() && vif.backend != Vif{}.backend && vif.backend != "Domain-0")
            return inval("vif: vnet=" + vif.vnet + " is dom0's: leave out backend=" + vif.backend);
        if (vif.type == "ioemu") return inval("vif: type=ioemu needs an HVM domain, which is not supported yet");
        for (const VifKey& key : vif_keys()) {
            if (!is_printable(vif.*key.member)) return inval("vif: control characters in a value");
        }
    }
    return base::ok;
}

using D = DomainConfig;

constexpr std::array kinds = {
    DeviceKind{"vbd", "tap", "disk", "disks", count<&D::disks>, resize<&D::disks>, erase<&D::disks>, show_disk,
               add<&D::disks, parse_disk>, disk_specifier, check_disks},
    DeviceKind{"vif", "", "vif", "vifs", count<&D::vifs>, resize<&D::vifs>, erase<&D::vifs>, show_vif, add<&D::vifs, parse_vif>,
               vif_specifier, check_vifs},
};

}  // namespace

std::span<const DeviceKind> device_kinds() { return kinds; }

const DeviceKind* device_kind(std::string_view name) {
    for (const DeviceKind& kind : kinds) {
        if (name == kind.name || (!kind.alias.empty() && name == kind.alias)) return &kind;
    }
    return nullptr;
}

}  // namespace config
