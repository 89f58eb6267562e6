// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/domain_config.hpp"

#include <array>
#include <set>

namespace config {

using base::Errc;
using base::Outcome;

namespace {

Outcome<> inval(std::string text) { return base::fail(Errc::inval, std::move(text)); }

bool printable(std::string_view text) {
    for (const char c : text) {
        if (static_cast<unsigned char>(c) < 0x20 && c != '\t') return false;
    }
    return true;
}

Outcome<> validate_devices(const DomainConfig& config) {
    if (config.disks.size() > max_disks) return inval("disk: more than " + std::to_string(max_disks) + " disks");
    if (config.vifs.size() > max_vifs) return inval("vif: more than " + std::to_string(max_vifs) + " network interfaces");
    std::set<uint32_t> devids;
    for (const Disk& disk : config.disks) {
        if (!devids.insert(disk.devid).second) return inval("disk: the device " + disk.vdev + " is given twice");
        if (!printable(disk.target)) return inval("disk: control characters in the path of " + disk.vdev);
    }
    std::set<std::string> macs, names;
    for (const Vif& vif : config.vifs) {
        if (!vif.mac.empty() && !macs.insert(vif.mac).second) return inval("vif: the MAC address " + vif.mac + " is given twice");
        if (!vif.vifname.empty() && !names.insert(vif.vifname).second)
            return inval("vif: the name " + vif.vifname + " is given twice");
        if (vif.type == "ioemu") return inval("vif: type=ioemu needs an HVM domain, which is not supported yet");
        for (const std::string* text : {&vif.bridge, &vif.script, &vif.vifname, &vif.ip, &vif.rate, &vif.model}) {
            if (!printable(*text)) return inval("vif: control characters in a value");
        }
    }
    return base::ok;
}

}  // namespace

std::string_view name_of(ExitAction action) {
    static constexpr std::array<std::string_view, 4> names = {"destroy", "restart", "preserve", "rename-restart"};
    return names[static_cast<size_t>(action)];
}

std::optional<ExitAction> parse_exit_action(std::string_view word) {
    if (word.starts_with("coredump-")) word.remove_prefix(9);
    if (word == "destroy" || word == "never") return ExitAction::destroy;
    if (word == "restart") return ExitAction::restart;
    if (word == "preserve") return ExitAction::preserve;
    if (word == "rename-restart" || word == "rename_restart") return ExitAction::rename_restart;
    return std::nullopt;
}

std::string_view name_of(DiskMode mode) {
    static constexpr std::array<std::string_view, 3> names = {"r", "w", "w!"};
    return names[static_cast<size_t>(mode)];
}

bool is_valid_name(std::string_view name) {
    if (name.empty() || name.size() > 128 || (name[0] >= '0' && name[0] <= '9')) return false;
    for (const char c : name) {
        const bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && std::string_view("_-.:/+").find(c) == std::string_view::npos) return false;
    }
    return name != "/" && name.find("//") == std::string_view::npos;
}

std::string DomainConfig::cmdline() const {
    std::string out;
    const auto add = [&out](const std::string& word) {
        if (!out.empty()) out += ' ';
        out += word;
    };
    if (!ip.empty()) add("ip=" + ip);
    if (!root.empty()) add("root=" + root);
    if (!nfs_root.empty()) add("nfsroot=" + nfs_server + ":" + nfs_root);
    if (!extra.empty()) add(extra);
    return out;
}

Outcome<> validate(const DomainConfig& config) {
    if (config.name.empty()) return inval("missing vm name");
    if (!is_valid_name(config.name)) {
        return inval("Invalid VM Name: '" + config.name + "' (letters, digits and _-.:/+, not starting with a digit)");
    }
    if (config.builder != "linux" && config.builder != "generic") {
        return inval("builder: '" + config.builder + "' domains are not supported yet, only PV ones (builder='linux')");
    }
    if (!config.bootloader.empty()) return inval("bootloader: boot loaders are not supported yet; give kernel and ramdisk");
    if (config.kernel.empty()) return inval("No kernel specified");
    if (config.kernel[0] != '/') return inval("kernel: '" + config.kernel + "' is not an absolute path");
    if (!config.ramdisk.empty() && config.ramdisk[0] != '/')
        return inval("ramdisk: '" + config.ramdisk + "' is not an absolute path");
    if (config.memory_mib == 0) return inval("memory: a domain needs some memory");
    if (config.memory_mib > (1U << 24U))
        return inval("memory: " + std::to_string(config.memory_mib) + " MiB is more than 16 TiB");
    if (config.maxmem_mib > (1U << 24U))
        return inval("maxmem: " + std::to_string(config.maxmem_mib) + " MiB is more than 16 TiB");
    if (config.maxmem_mib != 0 && config.maxmem_mib < config.memory_mib) {
        return inval("maxmem: " + std::to_string(config.maxmem_mib) + " MiB is less than memory (" +
                     std::to_string(config.memory_mib) + ")");
    }
    if (config.vcpus == 0 || config.vcpus > max_vcpus) return inval("vcpus: must be 1 to " + std::to_string(max_vcpus));
    if (!config.nfs_root.empty() && config.nfs_server.empty()) return inval("Must set nfs root and nfs server");
    const std::string line = config.cmdline();
    if (line.size() > max_cmdline)
        return inval("the kernel command line has more than " + std::to_string(max_cmdline) + " characters");
    if (!printable(line) || !printable(config.kernel) || !printable(config.ramdisk))
        return inval("control characters in the kernel command line or a path");
    if (config.cpu_weight && (*config.cpu_weight < 1 || *config.cpu_weight > 65535))
        return inval("cpu_weight: weight is out of range (1 to 65535)");
    if (config.cpu_cap && *config.cpu_cap > config.vcpus * 100)
        return inval("cpu_cap: cap is out of range (0 to 100 for each vCPU)");
    return validate_devices(config);
}

}  // namespace config
