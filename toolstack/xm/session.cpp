// SPDX-License-Identifier: Apache-2.0
// The verbs that are about talking to xend: a shell of commands, single requests, what consoles there are.
#include <array>
#include <iostream>

#include "toolstack/xm/app.hpp"

namespace xm {

using base::Errc;
using base::Outcome;
using proto::Sxp;

namespace {

/// The words of a line; quotes of either kind hold blanks together. Errors: inval.
Outcome<std::vector<std::string>> words_of(const std::string& line) {
    std::vector<std::string> out;
    bool inside = false;
    char quote = 0;
    for (const char c : line) {
        const bool blank = quote == 0 && (c == ' ' || c == '\t' || c == '\r');
        if (!blank && !inside) out.emplace_back();
        inside = !blank;
        if (blank) continue;
        if (c == quote) {
            quote = 0;
        } else if (quote == 0 && (c == '\'' || c == '"')) {
            quote = c;
        } else {
            out.back() += c;
        }
    }
    if (quote != 0) return base::fail(Errc::inval, "the quotation is never closed");
    return out;
}

Outcome<> shell(Call& call) {
    std::istream& in = call.world.in != nullptr ? *call.world.in : std::cin;
    for (std::string line;;) {
        call.out << "xm> " << std::flush;
        if (!std::getline(in, line)) break;
        const auto words = words_of(line);
        if (!words) call.world.err << "Error: " << words.failure().text << "\n";
        if (!words || words->empty()) continue;
        if (words->front() == "exit" || words->front() == "quit") return base::ok;
        if (words->front() == "shell") continue;  // one is enough
        (void)run(call.world, *words);
    }
    call.out << "\n";
    return base::ok;
}

/// What `xm call` of 2.0 knew, by its names: the request, and the fields that its arguments fill.
struct Function {
    std::string_view name, path, op;
    std::array<std::string_view, 2> fields;
    bool of_domain = false;  // the first argument is one
};

constexpr Function functions[] = {
    {"node", "/xend/node", "", {}},
    {"node_log", "/xend/node/log", "", {}},
    {"node_get_dmesg", "/xend/node/dmesg", "", {}},
    {"domains", "/xend/domain", "", {}},
    {"domain", "", "", {}, true},
    {"domain_create", "/xend/domain", "create", {"config"}},
    {"domain_unpause", "", "unpause", {}, true},
    {"domain_pause", "", "pause", {}, true},
    {"domain_shutdown", "", "shutdown", {"reason"}, true},
    {"domain_destroy", "", "destroy", {}, true},
    {"domain_rename", "", "rename", {"name"}, true},
    {"domain_pincpu", "", "pincpu", {"vcpu", "cpumap"}, true},
    {"domain_maxmem_set", "", "maxmem_set", {"memory"}, true},
    {"domain_mem_target_set", "", "mem_target_set", {"target"}, true},
    {"domain_device_create", "", "device_create", {"config"}, true},
    {"domain_device_destroy", "", "device_destroy", {"type", "dev"}, true},
};

Outcome<> call_function(Call& call) {
    std::string_view name = call.line.arguments[0];
    if (name.starts_with("xend_")) name.remove_prefix(5);
    const auto at =
        std::find_if(std::begin(functions), std::end(functions), [&](const Function& one) { return one.name == name; });
    if (at == std::end(functions)) return base::fail(Errc::noent, "Unknown function: " + std::string(name));
    std::vector<std::string> arguments(call.line.arguments.begin() + 1, call.line.arguments.end());
    std::string path(at->path);
    if (at->of_domain) {
        if (arguments.empty()) return base::fail(Errc::inval, std::string(name) + ": Missing domain");
        path = "/xend/domain/" + arguments[0];
        arguments.erase(arguments.begin());
    }
    std::map<std::string, std::string> fields;
    for (size_t i = 0; i < at->fields.size() && i < arguments.size() && !at->fields[i].empty(); ++i)
        fields.emplace(at->fields[i], arguments[i]);
    if (fields.size() != arguments.size()) return base::fail(Errc::inval, std::string(name) + ": Invalid argument(s)");
    if (!at->op.empty()) {
        const Sxp answer = OTRY(call.xend.post(path, std::string(at->op), std::move(fields)));
        call.out << proto::to_pretty_string(answer) << "\n";
        return base::ok;
    }
    const std::string text = OTRY(call.xend.text(path));
    const auto sxp = proto::parse_sxp(text);
    call.out << (sxp ? proto::to_pretty_string(*sxp) : text) << "\n";
    return base::ok;
}

/// 2.0 had a TCP port a console. Ours have a terminal.
Outcome<> consoles(Call& call) {
    call.out << "Dom Port  Id Connection\n";
    const Sxp all = OTRY(call.xend.get("/xend/domain", {{"detail", "1"}, {"full", "1"}}));
    for (const Sxp& domain : all.items()) {
        if (domain.child_value("domid", "0") == "0") continue;
        call.out << format("%3s %4s %3s %s", domain.child_value("domid", "").c_str(), "-",
                           domain.child_value("domid", "").c_str(), domain.child_value("console_tty", "").c_str())
                 << "\n";
    }
    return base::ok;
}

}  // namespace

std::vector<Verb> session_verbs() {
    const std::vector<Option> help = {{'h', "help", "", "Print this help."}};
    return {
        {"shell", "", "Launch an interactive shell.", help, 0, 0, false, shell},
        {"call", "<Function> [args]", "Send one request to xend.", help, 1, 4, false, call_function},
        {"consoles", "", "Get information about domain consoles.", help, 0, 0, false, consoles},
    };
}

}  // namespace xm
