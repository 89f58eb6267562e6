// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace xend {

/// What the core is told: where scripts are and how long things may take. The server's own part is server/settings.hpp.
struct Settings {
    std::string scripts = "/etc/xen/scripts";
    std::string vif_script = "vif-bridge";
    uint32_t console_limit_kib = 1024;
    std::chrono::seconds backend_timeout{20};   // for a back-end driver to notice a new device
    std::chrono::seconds hotplug_timeout{100};  // for a script
    std::chrono::seconds close_timeout{10};     // for a back end to let go
    std::chrono::seconds shutdown_timeout{300};
    int64_t min_restart_seconds = 20;
};

}  // namespace xend
