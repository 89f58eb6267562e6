// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/settings.hpp"

#include <cstdlib>

#include "lib/base/number.hpp"
#include "lib/proto/sxp.hpp"
#include "toolstack/config/load.hpp"

namespace xend {

using base::Errc;
using base::Outcome;

namespace {

Outcome<uint32_t> number(const std::string& name, const std::string& text, uint32_t most) {
    const auto value = base::parse_number<uint32_t>(text);
    if (!value || *value > most) return base::fail(Errc::inval, "(" + name + " " + text.substr(0, 40) + "): a number is wanted");
    return *value;
}

bool yes(const std::string& text) { return text == "yes" || text == "y" || text == "1" || text == "true"; }

Outcome<> apply(ServerSettings& s, const std::string& name, const std::string& value, std::vector<std::string>& warnings) {
    if (name == "logfile") {
        s.log_file = value;
    } else if (name == "loglevel") {
        s.log_level = value;
    } else if (name == "xend-port") {
        s.port = static_cast<uint16_t>(OTRY(number(name, value, 65535)));
    } else if (name == "xend-address") {
        if (!value.empty()) s.address = value;
    } else if (name == "xend-http-server") {
        s.http_server = yes(value);
    } else if (name == "xend-unix-path") {
        s.classic_unix_path = value;
    } else if (name == "network-script") {
        s.network_script = value;
    } else if (name == "vif-script") {
        s.core.vif_script = value.substr(0, value.find(' '));
    } else if (name == "console-limit") {
        s.core.console_limit_kib = OTRY(number(name, value, 1U << 20U));
    } else if (name != "xend-unix-server" && name != "dom0-min-mem" && name != "dom0-cpus") {
        warnings.push_back("xend-config.sxp: the option '" + name.substr(0, 60) + "' is not supported yet and has no effect");
    }
    return base::ok;
}

}  // namespace

Outcome<ServerSettings> parse_settings(std::string_view text, std::vector<std::string>& warnings) {
    ServerSettings out;
    for (const proto::Sxp& line : OTRY(proto::parse_sxp_all(text))) {
        const std::string name(line.name());
        std::string value;
        for (const proto::Sxp* word : line.children()) value += (value.empty() ? "" : " ") + word->text();
        if (name.empty()) return base::fail(Errc::inval, "every option is written (name value)");
        OTRY(apply(out, name, value, warnings));
    }
    return out;
}

Outcome<ServerSettings> load_settings(std::vector<std::string>& warnings) {
    const char* const named = std::getenv("XEND_CONFIG");
    const std::string path = named != nullptr ? named : "/etc/xen/xend-config.sxp";
    auto text = config::read_file(path, 1U << 20U);
    if (!text && text.failure().code == Errc::noent && named == nullptr) return ServerSettings{};
    if (!text) return std::move(text).take_failure().with("Cannot open config file \"" + path + "\"");
    return parse_settings(*text, warnings).context(path);
}

}  // namespace xend
