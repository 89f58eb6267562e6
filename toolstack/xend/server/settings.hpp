// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "lib/base/outcome.hpp"
#include "toolstack/xend/api.hpp"
#include "toolstack/xend/core/settings.hpp"

namespace xend {

inline constexpr const char* xmlrpc_socket = "/var/run/xend/xmlrpc.sock";
inline constexpr const char* xenapi_socket = "/var/run/xend/xen-api.sock";
inline constexpr uint16_t default_xmlrpc_port = 8006;

/// What xend-config.sxp says, with classic names and defaults: the core's settings and the server's own.
struct ServerSettings {
    bool operator==(const ServerSettings&) const = default;
    Settings core;
    std::string network_script;
    bool http_server = false;
    std::string unix_path = default_socket;
    std::string classic_unix_path = classic_socket;
    bool unix_server = false;  // also at classic_unix_path
    std::string address = "localhost";
    uint16_t port = default_port;
    bool xmlrpc_unix_server = true;
    std::string xmlrpc_unix_path = xmlrpc_socket;
    bool xmlrpc_tcp_server = false;
    std::string xmlrpc_address = "localhost";
    uint16_t xmlrpc_port = default_xmlrpc_port;
    bool xenapi_unix_server = true;
    std::string xenapi_unix_path = xenapi_socket;
    std::vector<std::pair<std::string, uint16_t>> xenapi_ports;  // with the address of each
    bool relocation_server = false;
    std::string relocation_address;  // empty: RelocationServer::address_of()
    uint16_t relocation_port = 8002;
    std::string relocation_hosts;  // regular expressions; empty: this machine alone
    bool relocation_plain = false;
    std::string log_file = "/var/log/xen/xend.log";
    std::string log_level = "DEBUG";
    std::string pid_file = "/var/run/xend.pid";
    std::string records = "/var/run/xend/domains";
    std::map<std::string, std::string> given;  // what the file says, by option
    std::vector<std::string> remarks;          // what a value asked for and did not get
};

/// Takes what an xend-config.sxp says; unknown options and those without effect are named in `warnings`.
/// Errors: inval, "FILE:LINE: …", for values of the wrong type and options that are refused.
base::Outcome<ServerSettings> parse_settings(std::string_view text, const std::string& file, std::vector<std::string>& warnings);

/// Every option with its value, given or not: what `xm info -c` prints.
std::vector<std::pair<std::string, std::string>> shown_options(const ServerSettings& settings);

/// $XEND_CONFIG or /etc/xen/xend-config.sxp; a file that is not there means the defaults.
base::Outcome<ServerSettings> load_settings(std::vector<std::string>& warnings);

}  // namespace xend
