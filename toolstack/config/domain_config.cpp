// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/domain_config.hpp"

#include <algorithm>
#include <array>
#include <sstream>

#include "toolstack/config/device_kinds.hpp"

namespace config {

using base::Errc;
using base::Outcome;

namespace {

Outcome<> inval(std::string text) { return base::fail(Errc::inval, std::move(text)); }

}  // namespace

std::string_view builder_of(const Guest& guest) {
    if (const auto* pv = std::get_if<PvGuest>(&guest)) return pv->builder;
    return std::holds_alternative<HvmGuest>(guest) ? "hvm" : "pvh";
}

bool is_printable(std::string_view text) {
    for (const char c : text) {
        if (static_cast<unsigned char>(c) < 0x20 && c != '\t') return false;
    }
    return true;
}

namespace {

constexpr std::array<std::string_view, 6> exit_actions = {"destroy",        "restart",          "preserve",
                                                          "rename-restart", "coredump-destroy", "coredump-restart"};

}  // namespace

std::string_view name_of(ExitAction action) { return exit_actions[static_cast<size_t>(action)]; }

std::optional<ExitAction> parse_exit_action(std::string_view word) {
    if (word == "never") return ExitAction::destroy;
    if (word == "rename_restart") return ExitAction::rename_restart;
    const auto at = std::ranges::find(exit_actions, word);
    if (at == exit_actions.end()) return std::nullopt;
    return static_cast<ExitAction>(at - exit_actions.begin());
}

ExitAction without_dump(ExitAction action) {
    if (action == ExitAction::coredump_destroy) return ExitAction::destroy;
    return action == ExitAction::coredump_restart ? ExitAction::restart : action;
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

std::vector<std::string> DomainConfig::bootarg_words() const {
    std::vector<std::string> out;
    std::istringstream words(bootargs);
    for (std::string word; words >> word;) out.push_back(word);
    return out;
}

Outcome<> check_boot_disk(const DomainConfig& config) {
    if (config.bootloader.empty()) return base::ok;
    if (config.disks.empty()) return inval("bootloader: there is no disk to boot from");
    const Disk& disk = config.disks[0];
    const bool is_here = (disk.type == "phy" || disk.type == "file") && (disk.backend.empty() || disk.backend == "0");
    return is_here ? Outcome<>(base::ok) : inval("bootloader: the first disk must be phy: or file: of dom0's to boot from it");
}

Outcome<> validate(const DomainConfig& config) {
    if (config.name.empty()) return inval("missing vm name");
    if (!std::holds_alternative<PvGuest>(config.guest)) {
        return inval("builder: '" + std::string(builder_of(config.guest)) +
                     "' domains are not supported yet, only PV ones (builder='linux')");
    }
    if (config.bootloader.empty() && config.kernel.empty()) return inval("No kernel specified");
    if (config.on_xend_start != "ignore") {
        return inval("on_xend_start: only managed domains can start with xend, which are not supported yet; take it out");
    }
    if (config.on_xend_stop != "ignore") {
        return inval("on_xend_stop: '" + config.on_xend_stop + "' is not supported yet: domains go on without xend; take it out");
    }
    if (config.vcpu_avail != 0 && config.vcpus < 64 && (config.vcpu_avail & ((uint64_t{1} << config.vcpus) - 1)) == 0) {
        return inval("vcpu_avail: none of the " + std::to_string(config.vcpus) + " vCPUs would be online");
    }
    if (config.maxmem_mib != 0 && config.maxmem_mib < config.memory_mib) {
        return inval("maxmem: " + std::to_string(config.maxmem_mib) + " MiB is less than memory (" +
                     std::to_string(config.memory_mib) + ")");
    }
    if (!config.nfs_root.empty() && config.nfs_server.empty()) return inval("Must set nfs root and nfs server");
    const std::string line = config.cmdline();
    if (line.size() > max_cmdline)
        return inval("the kernel command line has more than " + std::to_string(max_cmdline) + " characters");
    if (!is_printable(line)) return inval("control characters in the kernel command line or a path");
    if (config.cpu_cap && *config.cpu_cap > config.vcpus * 100)
        return inval("cpu_cap: cap is out of range (0 to 100 for each vCPU)");
    for (const DeviceKind& kind : device_kinds()) OTRY(kind.check(config));
    return base::ok;
}

}  // namespace config
