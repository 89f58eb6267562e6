// SPDX-License-Identifier: Apache-2.0
// The verb table, and what is made from it: dispatch, usage, help.
#include "toolstack/xm/app.hpp"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>

namespace xm {

using base::Outcome;

const std::vector<Verb>& verbs() {
    static const Option help{'h', "help", "", "Print this help."};
    static const Option wait{'w', "wait", "", "Wait for the domain to end."};
    static const Option all{'a', "all", "", "All domains but Domain-0."};
    static const Option as_sxp{'l', "long", "", "The whole description, as an s-expression."};
    static const std::vector<Option> create_options = {
        {'q', "quiet", "", "Be quiet."},
        {0, "path", "PATH", "Search path for configuration files (.:/etc/xen)."},
        {'f', "defconfig", "FILE", "Use the given configuration file."},
        {'F', "config", "FILE", "Domain configuration to use, an s-expression."},
        {'n', "dryrun", "", "Print the resulting configuration; create nothing."},
        {'p', "paused", "", "Leave the domain paused after it is created."},
        {'c', "console_autoconnect", "", "Connect to the console after the domain is created."},
        {'s', "skipdtd", "", "No effect; accepted for old scripts."},
        help};
    static const std::vector<Verb> own = {
        {"console",
         "[-q] <Domain>",
         "Attach to <Domain>'s console.",
         {{'q', "quiet", "", "Nothing but the console."}, help},
         1,
         1,
         true,
         console},
        {"create", "<ConfigFile> [options] [vars]", "Create a domain based on <ConfigFile>.", create_options, 0, 1000, true,
         create},
        {"new", "<ConfigFile> [options] [vars]", "Adds a domain to Xend domain management", create_options, 0, 1000, false,
         define},
        {"start",
         "[-p] [-c] <DomainName>",
         "Start a Xend managed domain",
         {{'p', "paused", "", "Do not unpause domain after starting it"},
          {'c', "console_autoconnect", "", "Connect to the console after the domain is created"},
          help},
         1,
         1,
         false,
         start},
        {"delete", "<DomainName>", "Remove a domain from Xend domain management.", {help}, 1, 1, false, forget},
        {"debug-keys", "<Keys>", "Send debug keys to Xen.", {help}, 1, 1, false, debug_keys},
        {"destroy", "<Domain>", "Terminate a domain immediately.", {help}, 1, 1, true, destroy},
        {"dmesg",
         "[-c|--clear]",
         "Read and/or clear Xen's message buffer.",
         {{'c', "clear", "", "Clear the buffer after printing it."}, help},
         0,
         0,
         false,
         dmesg},
        {"domid", "<DomainName>", "Convert a domain name to a domain id.", {help}, 1, 1, false, domid},
        {"domname", "<DomId>", "Convert a domain id to a domain name.", {help}, 1, 1, false, domname},
        {"help",
         "[--long]",
         "Print the available commands.",
         {{'l', "long", "", "All commands, by group."}, help},
         0,
         1,
         true,
         nullptr},
        {"info",
         "[-c|--config] [-n|--numa]",
         "Get information about Xen host.",
         {{'c', "config", "", "List xend's configuration."}, {'n', "numa", "", "List the CPUs and nodes too."}, help},
         0,
         0,
         false,
         info},
        {"list",
         "[options] [Domain, ...]",
         "List information about all/some domains.",
         {as_sxp,
          {0, "state", "STATE", "Only domains in STATE (running, paused, halted, suspended, shutdown, all)."},
          {0, "all", "", "Those too that xend keeps and that do not run."},
          {'v', "vcpus", "", "As vcpu-list."},
          help},
         0,
         1000,
         true,
         list},
        {"log", "", "Print Xend log", {help}, 0, 0, false, show_log},
        {"mem-max", "<Domain> <Mem>", "Set the maximum amount reservation for a domain.", {help}, 2, 2, false, mem_max},
        {"mem-set", "<Domain> <Mem>", "Set the current memory usage for a domain.", {help}, 2, 2, false, mem_set},
        {"migrate",
         "<Domain> <Host>",
         "Migrate a domain to another machine.",
         {{'l', "live", "", "Use live migration: the domain runs on while its memory is sent."},
          {0, "max-downtime", "MS", "With -l: for how long it may stand still for the rest of its memory (10)."},
          {0, "max-rounds", "N", "With -l: how often what it has written meanwhile is sent again (30)."},
          {0, "strict", "", "With -l: do not move it if the rest takes longer than that."},
          {'v', "verbose", "", "Say how long it took, and for how long it stood still."},
          {'p', "port", "PORTNUM", "Use specified port for migration."},
          {'r', "resource", "MBIT", "Set level of resource usage for migration."},
          {0, "reclaim", "", "Of one that was handed over: its host is lost for good, and it goes on here."},
          {0, "forget", "", "Of one that was handed over: it runs there, and the copy here goes."},
          help},
         1,
         2,
         true,
         migrate},
        {"pause", "<Domain>", "Pause execution of a domain.", {help}, 1, 1, true, pause},
        {"reboot", "<Domain> [-wa]", "Reboot a domain.", {all, wait, help}, 0, 1000, true, reboot},
        {"rename", "<Domain> <NewDomainName>", "Rename a domain.", {help}, 2, 2, false, rename},
        {"restore",
         "<CheckpointFile> [-p]",
         "Restore a domain from a saved state.",
         {{'p', "paused", "", "Do not unpause domain after restoring it."}, help},
         1,
         1,
         true,
         restore},
        {"save",
         "[-c] <Domain> <CheckpointFile>",
         "Save a domain state to restore later.",
         {{'c', "checkpoint", "", "Leave domain running after creating snapshot."}, help},
         2,
         2,
         true,
         save},
        {"resume",
         "[-p] <DomainName>",
         "Resume a Xend managed domain",
         {{'p', "paused", "", "Do not unpause domain after resuming it"}, help},
         1,
         1,
         false,
         resume},
        {"suspend", "<DomainName>", "Suspend a Xend managed domain", {help}, 1, 1, false, suspend},
        {"shutdown",
         "<Domain> [-waRH]",
         "Shutdown a domain.",
         {all, wait, {'R', "reboot", "", "Shutdown and reboot."}, {'H', "halt", "", "Shutdown without reboot."}, help},
         0,
         1000,
         true,
         shutdown},
        {"sysrq", "<Domain> <letter>", "Send a sysrq to a domain.", {help}, 2, 2, false, sysrq},
        {"unpause", "<Domain>", "Unpause a paused domain.", {help}, 1, 1, true, unpause},
        {"uptime",
         "[-s] [Domain, ...]",
         "Print uptime for all/some domains.",
         {{'s', "short", "", "Print the short form."}, help},
         0,
         1000,
         true,
         uptime},
        {"vcpu-list", "[Domain, ...]", "List the VCPUs for all/some domains.", {help}, 0, 1000, false, vcpu_list},
        {"block-list", "<Domain> [--long]", "List virtual block devices for a domain.", {as_sxp, help}, 1, 1, false, block_list},
        {"network-list",
         "<Domain> [--long]",
         "List virtual network interfaces for a domain.",
         {as_sxp, help},
         1,
         1,
         false,
         network_list},
    };
    static const std::vector<Verb> table = [] {
        std::vector<Verb> rows = own;
        for (const auto& more : {config_verbs(), cpupool_verbs(), device_verbs(), host_verbs(), savefile_verbs(),
                                 scheduler_verbs(), session_verbs(), top_verbs(), vcpu_verbs(), vnet_verbs(), refused_verbs()})
            rows.insert(rows.end(), more.begin(), more.end());
        return rows;
    }();
    return table;
}

void print_verb(std::ostream& out, const Verb& verb) {
    const std::string name(verb.name);
    std::string rest(verb.help);
    std::string line = name;
    while (!rest.empty()) {
        size_t cut = rest.size() <= 50 ? rest.size() : rest.rfind(' ', 50);
        if (cut == std::string::npos || cut == 0) cut = std::min<size_t>(50, rest.size());
        out << format(" %-20s %-50s", line.c_str(), rest.substr(0, cut).c_str()) << "\n";
        rest.erase(0, std::min(cut + 1, rest.size()));
        line.clear();
    }
}

void print_usage(std::ostream& out, std::string_view program, const Verb& verb) {
    out << "Usage: " << program << " " << verb.name << (verb.arguments.empty() ? "" : " ") << verb.arguments << "\n\n"
        << verb.help << "\n";
    if (!verb.options.empty()) out << "\n";
    for (const Option& option : verb.options) {
        std::string names;
        if (option.letter != 0) names = std::string("-") + option.letter;
        if (!option.word.empty()) names += (names.empty() ? "--" : ", --") + std::string(option.word);
        if (!option.argument.empty()) names += "=" + std::string(option.argument);
        out << format("  %-30s %-43s", names.c_str(), std::string(option.help).c_str()) << "\n";
    }
}

std::string count_complaint(std::string_view program, const Verb& verb, size_t given) {
    if (given >= verb.least && given <= verb.most) return {};
    const std::string head = "'" + std::string(program) + " " + std::string(verb.name) + "' requires ";
    const std::string least = std::to_string(verb.least);
    if (verb.least == verb.most) return head + least + (verb.least == 1 ? " argument." : " arguments.");
    if (verb.most >= 1000) return head + "at least " + least + (verb.least == 1 ? " argument." : " arguments.");
    return head + "between " + least + " and " + std::to_string(verb.most) + " arguments.";
}

namespace {

using Alias = std::pair<std::string_view, std::string_view>;
constexpr Alias aliases[] = {
    {"balloon", "mem-set"},         {"maxmem", "mem-max"},           {"set-vcpus", "vcpu-set"},  {"vif-list", "network-list"},
    {"vbd-create", "block-attach"}, {"vbd-destroy", "block-detach"}, {"vbd-list", "block-list"},
};

/// Groups of the long help; a verb in none of them would not be shown, which a test checks.
const std::vector<std::pair<std::string_view, std::vector<std::string_view>>>& groups() {
    static const std::vector<std::pair<std::string_view, std::vector<std::string_view>>> table = {
        {"Domain", {"config", "console", "create",  "delete",  "destroy",  "domid",     "domname",  "dump-core",
                    "list",   "mem-max", "mem-set", "migrate", "new",      "pause",     "pincpu",   "reboot",
                    "rename", "restore", "resume",  "save",    "savefile", "shutdown",  "start",    "suspend",
                    "sysrq",  "top",     "trigger", "unpause", "uptime",   "vcpu-list", "vcpu-pin", "vcpu-set"}},
        {"Xen Host",
         {"call", "consoles", "debug-keys", "dmesg", "health", "help", "host-accept", "host-forget", "host-list", "host-pair",
          "info", "log", "metrics", "shell"}},
        {"Scheduler",
         {"sched-credit", "sched-credit2", "sched-rtds", "sched-sedf", "sched-bvt", "sched-bvt-ctxallow", "bvt", "bvt_ctxallow",
          "atropos", "rrobin"}},
        {"CPU Pools",
         {"cpupool-create", "cpupool-list", "cpupool-destroy", "cpupool-rename", "cpupool-cpu-add", "cpupool-cpu-remove",
          "cpupool-migrate"}},
        {"Virtual Device",
         {"block-attach", "block-configure", "block-detach", "block-list", "network-attach", "network-detach", "network-list"}},
        {"Vnet", {"vnet-list", "vnet-create", "vnet-delete"}},
    };
    return table;
}

const Verb* exactly(std::string_view name) {
    for (const Verb& verb : verbs()) {
        if (verb.name == name) return &verb;
    }
    return nullptr;
}

/// The verb of that name, or the only one that begins with it.
const Verb* find_verb(std::string_view name) {
    if (const Verb* verb = exactly(name)) return verb;
    const Verb* found = nullptr;
    for (const Verb& verb : verbs()) {
        if (name.size() < 2 || !verb.name.starts_with(name)) continue;
        if (found != nullptr) return nullptr;
        found = &verb;
    }
    return found;
}

void short_help(std::ostream& out) {
    out << "Usage: xm <subcommand> [args]\n\nControl, list, and manipulate Xen guest instances.\n\nCommon 'xm' commands:\n\n";
    for (const Verb& verb : verbs()) {
        if (verb.common) print_verb(out, verb);
    }
    out << "\n<Domain> can either be the Domain Name or Id.\n"
           "For a complete list of subcommands run 'xm help'.\n";
}

void full_help(std::ostream& out) {
    out << "Usage: xm <subcommand> [args]\n\nControl, list, and manipulate Xen guest instances.\n";
    for (const auto& [group, names] : groups()) {
        out << "\n" << group << ":\n\n";
        for (const std::string_view name : names) {
            if (const Verb* verb = exactly(name)) print_verb(out, *verb);
        }
    }
    out << "\nNot available here:\n\n";
    for (const Verb& verb : verbs()) {
        if (!verb.refusal.empty()) print_verb(out, verb);
    }
    out << "\n<Domain> can either be the Domain Name or Id.\n";
}

int run_verb(World& world, const Verb& verb, std::span<const std::string> words) {
    const auto complain = [&](const std::string& text) {
        world.err << "Error: " << text << "\n";
        return 1;
    };
    if (!verb.refusal.empty()) return complain("xm " + std::string(verb.name) + ": " + std::string(verb.refusal));
    auto line = parse_options(words, verb.options);
    if (!line) {
        complain(line.failure().text);
        print_usage(world.err, "xm", verb);
        return 1;
    }
    if (line->has("help")) {
        print_usage(world.out, "xm", verb);
        return 1;  // as in 3.2
    }
    if (const std::string text = count_complaint("xm", verb, line->arguments.size()); !text.empty()) {
        complain(text);
        print_usage(world.err, "xm", verb);
        return 1;
    }
    if (!world.root) return complain("Most commands need root access. Please try again as root.");
    Call call{world, Client(world), *line, world.out};
    auto done = verb.run(call);
    if (done) return 0;
    complain(done.failure().text);
    if (done.failure().text == "Invalid argument.") print_usage(world.err, "xm", verb);
    return 1;
}

int run_help(World& world, std::span<const std::string> words) {
    if (words.empty() || words[0] == "--long" || words[0] == "-l") {
        full_help(world.out);
        return 0;
    }
    const Verb* verb = find_verb(words[0]);
    if (verb == nullptr) {
        world.err << "Error: Subcommand " << words[0] << " not found!\n";
        return 1;
    }
    print_usage(world.out, "xm", *verb);
    return 0;
}

}  // namespace

std::string format(const char* form, ...) {
    va_list list;
    va_start(list, form);
    va_list again;
    va_copy(again, list);
    std::array<char, 256> most;  // lines of tables are shorter
    const int length = std::vsnprintf(most.data(), most.size(), form, list);
    va_end(list);
    std::string out(most.data(), length < 0 ? 0 : std::min(static_cast<size_t>(length), most.size() - 1));
    if (length >= static_cast<int>(most.size())) {
        out.resize(static_cast<size_t>(length));
        std::vsnprintf(out.data(), out.size() + 1, form, again);
    }
    va_end(again);
    return out;
}

int run(World& world, const std::vector<std::string>& words) {
    if (world.dialect == Dialect::xl) return run_xl(world, words);
    if (words.empty()) {
        short_help(world.err);
        return 1;
    }
    std::string name = words[0];
    const std::span<const std::string> rest(words.begin() + 1, words.end());
    if (name == "-h" || name == "--help" || name == "help") return run_help(world, rest);
    for (const auto& [old, now] : aliases) {
        if (name != old) continue;
        world.err << "Command " << old << " is deprecated.  Please use xm " << now << " instead.\n";
        name = now;
    }
    const Verb* verb = find_verb(name);
    if (verb == nullptr) {
        world.err << "Error: Subcommand " << name << " not found!\n\n";
        short_help(world.err);
        return 1;
    }
    return run_verb(world, *verb, rest);
}

}  // namespace xm
