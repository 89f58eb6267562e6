// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/options.hpp"

#include <array>

#include "lib/base/number.hpp"
#include "lib/proto/sxp.hpp"

namespace xend {

namespace {

using base::Errc;
using base::Outcome;
using enum OptionType;
using enum OptionStanding;

using Take = Outcome<> (*)(ServerSettings&, std::string_view, const std::string&);

bool yes(const std::string& text) { return text == "yes" || text == "y" || text == "1" || text == "true" || text == "on"; }

template <auto Member>
constexpr Take server_text = [](ServerSettings& s, std::string_view, const std::string& value) -> Outcome<> {
    s.*Member = value;
    return base::ok;
};

template <auto Member>
constexpr Take server_flag = [](ServerSettings& s, std::string_view, const std::string& value) -> Outcome<> {
    s.*Member = yes(value);
    return base::ok;
};

template <auto Member>
constexpr Take core_text = [](ServerSettings& s, std::string_view, const std::string& value) -> Outcome<> {
    s.core.*Member = value;
    return base::ok;
};

template <auto Member>
constexpr Take core_flag = [](ServerSettings& s, std::string_view, const std::string& value) -> Outcome<> {
    s.core.*Member = yes(value);
    return base::ok;
};

template <auto Member>
constexpr Take core_number = [](ServerSettings& s, std::string_view, const std::string& value) -> Outcome<> {
    s.core.*Member = base::parse_number<uint32_t>(value).value_or(0);
    return base::ok;
};

template <auto Member>
constexpr Take server_port = [](ServerSettings& s, std::string_view, const std::string& value) -> Outcome<> {
    s.*Member = base::parse_number<uint16_t>(value).value_or(0);
    return base::ok;
};

/// Classic xend took the empty one for all addresses; ours has no password and stays with this machine.
template <auto Member>
constexpr Take own_address = [](ServerSettings& s, std::string_view, const std::string& value) -> Outcome<> {
    if (!value.empty() && value != "localhost" && value != "::1" && !value.starts_with("127."))
        return base::fail(Errc::inval, "xend listens on addresses of this machine alone: localhost");
    const ServerSettings standard;
    s.*Member = value.empty() ? standard.*Member : value;
    return base::ok;
};

/// What a port of (xen-api-server …) asks for beside being there; empty: nothing. The words are (WHERE AUTHENTICATION HOSTS KEY CERTIFICATE).
std::string asked_beside(const std::vector<proto::Sxp>& words) {
    constexpr std::array<std::string_view, 5> what = {"", "passwords (pam)", "lists of hosts", "keys", "certificates"};
    for (size_t i = 1; i < words.size(); ++i) {
        if (words[i].text() != (i == 1 ? "none" : "")) return std::string(what[i]);
    }
    return {};
}

/// A port that asks for more is not opened: xend starts all the same, and says so.
Outcome<> take_xenapi_port(ServerSettings& s, const std::vector<proto::Sxp>& words) {
    const std::string where = words[0].text();
    const size_t colon = where.rfind(':');
    const auto port = base::parse_number<uint16_t>(colon == std::string::npos ? where : where.substr(colon + 1));
    if (!port || *port == 0) return base::fail(Errc::inval, "'" + where.substr(0, 60) + "' has no port");
    if (const std::string beside = asked_beside(words); !beside.empty()) {
        s.remarks.push_back("xen-api-server: nobody listens at port " + std::to_string(*port) + ": " + beside +
                            " are not supported; write (" + std::to_string(*port) +
                            " none), which serves root of this machine alone, or (unix), which ssh reaches from elsewhere");
        return base::ok;
    }
    ServerSettings checked;
    OTRY(own_address<&ServerSettings::address>(checked, {}, colon == std::string::npos ? "" : where.substr(0, colon)));
    s.xenapi_ports.emplace_back(checked.address, *port);
    return base::ok;
}

/// ((unix) (PORT none) (ADDRESS:PORT none)): classic Xen took a port alone for all addresses; ours stays with this machine.
Outcome<> take_xenapi(ServerSettings& s, std::string_view, const std::string& value) {
    const proto::Sxp all = OTRY(proto::parse_sxp(value.empty() ? "()" : value));
    s.xenapi_unix_server = false;
    s.xenapi_ports.clear();
    for (const proto::Sxp& one : all.items()) {
        const auto& words = one.items();
        const bool known = words.size() < 2 || words[1].text() == "none" || words[1].text() == "pam";
        if (words.empty() || words.size() > 5 || !known)
            return base::fail(Errc::inval, "each is written (unix), (PORT none) or (ADDRESS:PORT none)");
        if (words[0].text() == "unix") {
            s.xenapi_unix_server = true;
            if (!asked_beside(words).empty())
                s.remarks.push_back("xen-api-server: root alone opens the unix socket, and is asked for nothing: write (unix)");
            continue;
        }
        OTRY(take_xenapi_port(s, words));
    }
    return base::ok;
}

/// (block-TYPE SCRIPT)
Outcome<> take_block_script(ServerSettings& s, std::string_view name, const std::string& value) {
    const std::string type(name.substr(std::string_view("block-").size()));
    if (value.empty() || value == "block-" + type) {
        s.core.block_scripts.erase(type);  // as without the option
    } else {
        s.core.block_scripts[type] = value;
    }
    return base::ok;
}

constexpr std::string_view no_events = "there is no port for events";
constexpr std::string_view no_consoles = "consoles have no TCP port; xm console shows them";
constexpr std::string_view encrypted_xmlrpc = "encrypted lines for XML-RPC, which stays with this machine,";
constexpr std::string_view no_displays = "no domain has a display";
constexpr std::string_view no_folder = "nothing is kept there";

using S = ServerSettings;

// clang-format off
constexpr std::array all_options = {
    Option{"block-",                        text,   "",          effective, "", 0, take_block_script},
    Option{"console-address",               text,   "localhost", harmless,  no_consoles},
    Option{"console-limit",                 number, "1024",      effective, "", 1U << 20U, core_number<&Settings::console_limit_kib>},
    Option{"console-port-base",             number, "9600",      harmless,  no_consoles, 65535},
    Option{"dbroot",                        text,   "/var/lib/xen/xend-db", harmless, no_folder},
    Option{"dom0-cpus",                     number, "0",         effective, "", 1U << 16U, core_number<&Settings::dom0_cpus>},
    Option{"dom0-min-mem",                  number, "0",         effective, "", 1U << 24U, core_number<&Settings::dom0_min_mem_mib>},
    Option{"enable-dump",                   flag,   "no",        effective, "", 0, core_flag<&Settings::dump_crashes>},
    Option{"external-migration-tool",       text,   "",          effective, "", 0, core_text<&Settings::migration_tool>},
    Option{"keymap",                        text,   "en-us",     harmless,  no_displays},
    Option{"logfile",                       text,   "/var/log/xen/xend.log", effective, "", 0, server_text<&S::log_file>},
    Option{"loglevel",                      level,  "DEBUG",     effective, "", 0, server_text<&S::log_level>},
    Option{"network-script",                text,   "",          effective, "", 0, server_text<&S::network_script>},
    Option{"resource-label-change-script",  text,   "",          refused,   "labels of a security policy"},
    Option{"vif-antispoof",                 flag,   "no",        effective, "", 0, core_flag<&Settings::vif_antispoof>},
    Option{"vif-bridge",                    text,   "",          effective, "", 0, core_text<&Settings::vif_bridge>},
    Option{"vif-script",                    text,   "vif-bridge", effective, "", 0, core_text<&Settings::vif_script>},
    Option{"vnc-listen",                    text,   "127.0.0.1", harmless,  no_displays},
    Option{"vnc-tls",                       flag,   "0",         harmless,  no_displays},
    Option{"vnc-x509-cert-dir",             text,   "/etc/xen/vnc", harmless, no_displays},
    Option{"vnc-x509-verify",               flag,   "0",         harmless,  no_displays},
    Option{"vncpasswd",                     text,   "",          harmless,  no_displays},
    Option{"xen-api-server",                list,   "((unix))",  effective, "", 0, take_xenapi},
    Option{"xend-address",                  text,   "localhost", effective, "", 0, own_address<&S::address>},
    Option{"xend-config-format",            number, "4",         effective, "", 4, [](S&, std::string_view, const std::string&) -> Outcome<> { return base::ok; }},
    Option{"xend-domains-path",             text,   "/var/lib/xend/domains", effective, "", 0, core_text<&Settings::domains_folder>},
    Option{"xend-event-port",               number, "8001",      harmless,  no_events, 65535},
    Option{"xend-http-server",              flag,   "no",        effective, "", 0, server_flag<&S::http_server>},
    Option{"xend-port",                     number, "8000",      effective, "", 65535, server_port<&S::port>},
    Option{"xend-relocation-address",       text,   "",          effective, "", 0, server_text<&S::relocation_address>},
    Option{"xend-relocation-hosts-allow",   text,   "",          effective, "", 0, server_text<&S::relocation_hosts>},
    Option{"xend-relocation-plain",         flag,   "no",        effective, "", 0, server_flag<&S::relocation_plain>},
    Option{"xend-relocation-port",          number, "8002",      effective, "", 65535, server_port<&S::relocation_port>},
    Option{"xend-relocation-server",        flag,   "no",        effective, "", 0, server_flag<&S::relocation_server>},
    Option{"xend-security-path",            text,   "/var/lib/xend/security", harmless, no_folder},
    Option{"xend-state-path",               text,   "/var/lib/xend/state", harmless, no_folder},
    Option{"xend-storage-path",             text,   "/var/lib/xend/storage", harmless, no_folder},
    Option{"xend-tcp-xmlrpc-server",        flag,   "no",        effective, "", 0, server_flag<&S::xmlrpc_tcp_server>},
    Option{"xend-tcp-xmlrpc-server-address", text,  "localhost", effective, "", 0, own_address<&S::xmlrpc_address>},
    Option{"xend-tcp-xmlrpc-server-port",   number, "8006",      effective, "", 65535, server_port<&S::xmlrpc_port>},
    Option{"xend-tcp-xmlrpc-server-ssl-cert-file", text, "",     refused,   encrypted_xmlrpc},
    Option{"xend-tcp-xmlrpc-server-ssl-key-file",  text, "",     refused,   encrypted_xmlrpc},
    Option{"xend-unix-path",                text,   classic_socket, effective, "", 0, server_text<&S::classic_unix_path>},
    Option{"xend-unix-server",              flag,   "no",        effective, "", 0, server_flag<&S::unix_server>},
    Option{"xend-unix-xmlrpc-server",       flag,   "yes",       effective, "", 0, server_flag<&S::xmlrpc_unix_server>},
};
// clang-format on

}  // namespace

std::span<const Option> options() { return all_options; }

const Option* find_option(std::string_view name) {
    for (const Option& option : all_options) {
        const bool all = option.name.ends_with('-');
        if (all ? name.starts_with(option.name) && name != option.name : name == option.name) return &option;
    }
    return nullptr;
}

}  // namespace xend
