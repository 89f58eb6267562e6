// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace xend {

/// What the core is told: where scripts are and how long things may take. The server's own part is server/settings.hpp.
struct Settings {
    bool operator==(const Settings&) const = default;
    std::string scripts = "/etc/xen/scripts";
    std::string vif_script = "vif-bridge";             // with the words that it gets, behind blanks
    std::string vif_bridge;                            // of interfaces that name none; empty: the script chooses
    bool vif_antispoof = false;                        // the script lets only a card's own addresses through
    std::map<std::string, std::string> block_scripts;  // by type of disk; else block-TYPE, none for phy and file
    std::vector<std::string> boot_loaders = {"/usr/sbin", "/usr/bin", "/usr/lib/xen-4.17/bin"};  // where they stand
    std::string boot_folder = "/var/run/xend/boot";                                              // for what they take from disks
    uint32_t dom0_min_mem_mib = 0;  // what dom0 keeps when it makes room for a domain; 0: it makes no room
    std::string migration_tool;     // asked before, while and after a domain leaves; empty: none
    bool dump_crashes = false;      // the cores of domains that crash, whatever their files say
    std::string dump_folder = "/var/xen/dump";
    std::string domains_folder =
        "/var/lib/xend/domains";  // of domains that are kept: their database, and those that are suspended
    uint32_t dom0_cpus = 0;       // vCPUs that dom0 goes on with; 0: all
    uint32_t console_limit_kib = 1024;
    std::chrono::seconds backend_timeout{20};   // for a back-end driver to notice a new device
    std::chrono::seconds hotplug_timeout{100};  // for a script
    std::chrono::seconds close_timeout{10};     // for a back end to let go
    std::chrono::seconds shutdown_timeout{300};
    std::chrono::seconds suspend_timeout{60};  // for a guest to notice that it is to suspend itself, and again to do it
    std::chrono::seconds balloon_timeout{20};  // for dom0 to give memory back
    int64_t min_restart_seconds = 20;

    /// A script by its name in `scripts`, or by its path; with the words behind it.
    std::string script_path(const std::string& name) const { return name.starts_with('/') ? name : scripts + "/" + name; }
};

}  // namespace xend
