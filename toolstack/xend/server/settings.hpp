// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lib/base/outcome.hpp"
#include "toolstack/xend/api.hpp"
#include "toolstack/xend/core/settings.hpp"

namespace xend {

/// What xend-config.sxp says, with classic names and defaults: the core's settings and the server's own.
struct ServerSettings {
    Settings core;
    std::string network_script;
    bool http_server = false;
    std::string unix_path = default_socket;
    std::string classic_unix_path = classic_socket;
    std::string address = "127.0.0.1";
    uint16_t port = default_port;
    std::string log_file = "/var/log/xen/xend.log";
    std::string log_level = "INFO";
    std::string pid_file = "/var/run/xend.pid";
    std::string records = "/var/run/xend/domains";
};

/// Takes the options of an xend-config.sxp that we know; the others are named in `warnings`.
/// Errors: inval, with the line of the syntax error.
base::Outcome<ServerSettings> parse_settings(std::string_view text, std::vector<std::string>& warnings);

/// $XEND_CONFIG or /etc/xen/xend-config.sxp; a file that is not there means the defaults.
base::Outcome<ServerSettings> load_settings(std::vector<std::string>& warnings);

}  // namespace xend
