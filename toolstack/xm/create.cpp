// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/config/libxl_json.hpp"
#include "toolstack/config/load.hpp"
#include "toolstack/config/program.hpp"
#include "toolstack/xm/app.hpp"

namespace xm {

using base::Errc;
using base::Outcome;
using proto::Sxp;

namespace {

struct Wanted {
    std::string file;
    std::vector<config::Setting> settings;
};

/// The file and the name=value words of the command line.
Outcome<Wanted> wanted(const Call& call) {
    Wanted out;
    out.file = call.line.value("defconfig");
    for (const std::string& word : call.line.arguments) {
        const size_t equals = word.find('=');
        if (equals != std::string::npos && equals != 0) {
            out.settings.push_back({word.substr(0, equals), word.substr(equals + 1)});
        } else if (out.file.empty() && !call.line.has("config")) {
            out.file = word;
        } else {
            return base::fail(Errc::inval, "'" + word + "' is neither a configuration file nor name=value");
        }
    }
    if (out.file.empty()) out.file = "xmdefconfig";
    return out;
}

Outcome<config::DomainConfig> from_file(Call& call) {
    const Wanted w = OTRY(wanted(call));
    const std::string path = call.line.has("path") ? call.line.value("path") : ".:/etc/xen";
    const std::string file = OTRY(config::find_config(w.file, path));
    const auto run = [](std::string_view text, const std::string& name, const config::Variables& preset) {
        return config::run_program(text, name, preset);
    };
    if (call.world.dialect == Dialect::xl) {
        if (!call.line.has("quiet")) call.world.err << "Parsing config from " << file << std::endl;
    } else if (!call.line.has("quiet")) {
        call.out << "Using config file \"" << file << "\"." << std::endl;
    }
    config::Loaded loaded = OTRY(config::load_config(file, w.settings, run));
    for (const std::string& warning : loaded.warnings) call.world.err << "Warning: " << warning << "\n";
    OTRY(config::validate(loaded.config).context(file));
    return std::move(loaded.config);
}

Outcome<config::DomainConfig> from_sxp_file(Call& call) {
    const std::string file = call.line.value("config");
    const std::string text = OTRY(config::read_config(file));
    const Sxp sxp = OTRY(proto::parse_sxp(text).context(file));
    return config::from_sxp(sxp).context(file);
}

Outcome<> started(Call& call, const std::string& name) {
    if (!call.line.has("quiet") && call.world.dialect == Dialect::xm) call.out << "Started domain " << name << std::endl;
    return base::ok;
}

}  // namespace

Outcome<std::string> console_tty(Call& call, const std::string& who) {
    for (int i = 0; i < 100; ++i) {
        const Sxp sxp = OTRY(call.xend.domain(who));
        const std::string tty = sxp.child_value("console_tty", "");
        if (!tty.empty()) return tty;
        call.world.sleep(100);
    }
    return base::fail(Errc::noent, "Domain '" + who + "' has no console; is xenconsoled running?");
}

Outcome<> start_with_console(Call& call, const std::string& name) {
    // The console is joined before the domain runs, so that its first line is not lost.
    const std::string tty = OTRY(console_tty(call, name));
    return call.world.console(tty, [&]() -> Outcome<> {
        if (call.line.has("paused")) return base::ok;
        OTRY(call.xend.operate(name, "unpause"));
        return started(call, name);
    });
}

Outcome<> start(Call& call) {
    const std::string& name = call.line.arguments[0];
    const bool joins = call.line.has("console_autoconnect");
    const bool waits = joins || call.line.has("paused");
    OTRY(call.xend.operate(name, "start", {{"paused", waits ? "1" : "0"}}));
    return joins ? start_with_console(call, name) : started(call, name);
}

Outcome<> forget(Call& call) {
    OTRY(call.xend.operate(call.line.arguments[0], "delete"));
    return base::ok;
}

Outcome<> define(Call& call) {
    const config::DomainConfig config = OTRY(call.line.has("config") ? from_sxp_file(call) : from_file(call));
    const Sxp sxp = config::to_sxp(config);
    if (call.line.has("dryrun")) {
        call.out << (call.world.dialect == Dialect::xl ? config::to_libxl_json(config) : proto::to_pretty_string(sxp)) << "\n";
        return base::ok;
    }
    OTRY(call.xend.post("/xend/domain", "new", {{"config", proto::to_string(sxp)}}));
    return base::ok;
}

Outcome<> create(Call& call) {
    const config::DomainConfig config = OTRY(call.line.has("config") ? from_sxp_file(call) : from_file(call));
    const Sxp sxp = config::to_sxp(config);
    if (call.line.has("dryrun")) {
        call.out << (call.world.dialect == Dialect::xl ? config::to_libxl_json(config) : proto::to_pretty_string(sxp)) << "\n";
        return base::ok;
    }
    const bool paused = call.line.has("paused");
    const bool joins = call.line.has("console_autoconnect");
    std::map<std::string, std::string> fields = {{"config", proto::to_string(sxp)}};
    if (!paused && !joins) fields["start"] = "1";  // one request: whoever is killed in between leaves nothing half-done
    const Sxp made = OTRY(call.xend.post("/xend/domain", "create", std::move(fields)));
    const std::string name = made.child_value("name", config.name);
    return joins ? start_with_console(call, name) : started(call, name);
}

Outcome<> console(Call& call) {
    const std::string& who = call.line.arguments[0];
    const Sxp sxp = OTRY(call.xend.domain(who));
    if (sxp.child_value("domid", "") == "0") return base::fail(Errc::inval, "Domain-0 has no virtual console");
    const std::string tty = OTRY(console_tty(call, who));
    return call.world.console(tty, [] { return Outcome<>(base::ok); });
}

}  // namespace xm
