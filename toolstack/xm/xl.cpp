// SPDX-License-Identifier: Apache-2.0
// The same program as `xl`: its verbs, texts and exit statuses, for those who call it by that name.
#include <algorithm>
#include <array>

#include "toolstack/xm/app.hpp"
#include "toolstack/xm/show.hpp"

namespace xm {

using base::Errc;
using base::Outcome;
using proto::Sxp;

namespace {

constexpr int wrong_usage = 2, create_failed = 3;

const Option help{'h', "help", "", "Print this help."};

/// Rows of xm's table that read and do the same.
constexpr std::array<std::string_view, 31> shared = {
    "console",        "debug-keys",   "destroy",         "dmesg",          "domname",         "dump-core",
    "mem-max",        "mem-set",      "pause",           "rename",         "restore",         "save",
    "sysrq",          "top",          "trigger",         "unpause",        "vcpu-pin",        "vcpu-set",
    "block-attach",   "block-detach", "network-attach",  "network-detach", "sched-credit",    "sched-credit2",
    "cpupool-create", "cpupool-list", "cpupool-destroy", "cpupool-rename", "cpupool-cpu-add", "cpupool-cpu-remove",
    "cpupool-migrate"};

/// Which domains a shutdown is for, told before it is done.
Outcome<> stop(Call& call, const char* doing, const std::string& reason) {
    std::vector<Sxp> all;
    if (call.line.has("all")) {
        if (!call.line.arguments.empty()) return base::fail(Errc::inval, "-a and a domain's name do not go together");
        for (Sxp& sxp : OTRY(call.xend.domains())) {
            if (may_be_stopped(sxp)) all.push_back(std::move(sxp));
        }
    } else {
        if (call.line.arguments.size() != 1) return base::fail(Errc::inval, "one domain is wanted, or -a");
        all.push_back(OTRY(call.xend.domain(call.line.arguments[0])));
    }
    std::vector<std::string> left;
    Outcome<> asked = base::ok;
    for (const Sxp& sxp : all) {
        const std::string id = sxp.child_value("domid", "");
        call.world.err << doing << " domain " << id << std::endl;
        auto one = call.xend.operate(id, "shutdown", {{"reason", reason}});
        if (one) left.push_back(id);
        else asked = std::move(one).take_failure();  // the others are to hear of it all the same
    }
    if (!asked) return asked;
    if (!call.line.has("wait")) return base::ok;
    call.out << "Waiting for " << left.size() << (left.size() == 1 ? " domain" : " domains") << std::endl;
    while (!left.empty()) {
        const std::vector<Sxp> now = OTRY(call.xend.domains());
        std::erase_if(left, [&](const std::string& id) {
            const auto at = std::ranges::find_if(now, [&](const Sxp& sxp) { return sxp.child_value("domid", "") == id; });
            if (at == now.end()) {
                call.out << "Domain " << id << " has been destroyed" << std::endl;
                return true;
            }
            if (at->child_value("state", "").find_first_of("sc") == std::string::npos) return false;
            call.out << "Domain " << id << " has been shut down" << std::endl;
            return true;
        });
        if (!left.empty()) call.world.sleep(500);
    }
    return base::ok;
}

Outcome<> xl_shutdown(Call& call) { return stop(call, "Shutting down", "poweroff"); }
Outcome<> xl_reboot(Call& call) { return stop(call, "Rebooting", "reboot"); }

Outcome<> xl_domid(Call& call) {
    const std::string& who = call.line.arguments[0];
    const auto found = call.xend.domain(who);
    if (!found && found.failure().code == Errc::noent) {
        return base::fail(Errc::noent, "Can't get domid of domain name '" + who + "', maybe this domain does not exist.");
    }
    if (!found) return found.failure();
    call.out << found->child_value("domid", "") << "\n";
    return base::ok;
}

std::vector<Verb> own_rows() {
    static const Option wait{'w', "wait", "", "Wait for the domain to end."};
    static const Option all{'a', "all", "", "All domains but Domain-0."};
    static const Option fallback{'F', "", "", "No effect: PV domains need no ACPI event."};
    return {
        {"create",
         "<ConfigFile> [options] [vars]",
         "Create a domain from config file <filename>",
         {{'q', "quiet", "", "Quiet."},
          {'f', "defconfig", "FILE", "Use the given configuration file."},
          {'n', "dryrun", "", "Print the resulting configuration; create nothing."},
          {'p', "paused", "", "Leave the domain paused after it is created."},
          {'c', "console_autoconnect", "", "Connect to the console after the domain is created."},
          {'d', "debug", "", "No effect: xend's log says what is done."},
          {'F', "foreground", "", "No effect: xend watches the domain."},
          {'e', "exit", "", "No effect: xend watches the domain."},
          help},
         0,
         1000,
         true,
         create},
        {"list",
         "[options] [Domain]",
         "List information about all/some domains",
         {{'l', "long", "", "The whole description, as JSON."},
          {'v', "verbose", "", "UUIDs and reasons of shutdowns too."},
          {'Z', "context", "", "No effect: there are no security labels."},
          {'c', "cpupool", "", "The CPU pool too."},
          {'n', "numa", "", "No effect: guests have no nodes."},
          help},
         0,
         1,
         true,
         xl_list},
        {"shutdown",
         "[-wF] <-a|Domain>",
         "Issue a shutdown signal to a domain",
         {all, wait, fallback, help},
         0,
         1,
         true,
         xl_shutdown},
        {"reboot", "[-wF] <-a|Domain>", "Issue a reboot signal to a domain", {all, wait, fallback, help}, 0, 1, true, xl_reboot},
        {"vcpu-list", "[Domain, ...]", "List the VCPUs for all/some domains", {help}, 0, 1000, true, xl_vcpu_list},
        {"info",
         "[-n]",
         "Get information about Xen host",
         {{'n', "numa", "", "List the CPUs and nodes too."}, help},
         0,
         0,
         true,
         xl_info},
        {"uptime",
         "[-s] [Domain]",
         "Print uptime for all/some domains",
         {{'s', "short", "", "Print the short form."}, help},
         0,
         1000,
         true,
         xl_uptime},
        {"domid", "<DomainName>", "Convert a domain name to domain id", {help}, 1, 1, true, xl_domid},
        {"block-list", "<Domain(s)>", "List virtual block devices for a domain", {help}, 1, 1000, true, xl_block_list},
        {"network-list", "<Domain(s)>", "List virtual network interfaces for a domain", {help}, 1, 1000, true, xl_network_list},
    };
}

Verb migrate_row() {
    Verb out;
    out.name = "migrate";
    out.arguments = "[options] <Domain> <host>";
    out.help = "Migrate a domain to another host";
    out.most = 1000;
    out.refusal = "its dialogue over ssh is not spoken yet; xm migrate moves domains";
    return out;
}

int failed(World& world, const Verb& verb, const base::Failure& why) {
    const std::string begin = "Domain '", end = "' does not exist.";
    std::string text = why.text;
    if (why.code == Errc::noent && text.starts_with(begin) && text.ends_with(end)) {
        text = text.substr(begin.size(), text.size() - begin.size() - end.size()) + " is an invalid domain identifier (rc=-6)";
    }
    world.err << text << "\n";
    return verb.name == "create" ? create_failed : 1;
}

int run_row(World& world, const Verb& verb, std::span<const std::string> words) {
    if (!verb.refusal.empty()) {
        world.err << "xl " << verb.name << ": " << verb.refusal << "\n";
        return 1;
    }
    auto line = parse_options(words, verb.options);
    std::string complaint = line ? count_complaint("xl", verb, line->arguments.size()) : line.failure().text;
    if (line && line->has("help")) {
        print_usage(world.out, "xl", verb);
        return 0;
    }
    if (!complaint.empty()) {
        world.err << complaint << "\n\n";
        print_usage(world.err, "xl", verb);
        return wrong_usage;
    }
    if (!world.root) {
        world.err << "xl needs root access: try again as root.\n";
        return 1;
    }
    Call call{world, Client(world), *line, world.out};
    auto done = verb.run(call);
    return done ? 0 : failed(world, verb, done.failure());
}

const Verb* find_row(std::string_view name) {
    const auto at = std::ranges::find(xl_verbs(), name, &Verb::name);
    return at == xl_verbs().end() ? nullptr : &*at;
}

int show_help(std::ostream& out, std::span<const std::string> words) {
    if (!words.empty()) {
        if (const Verb* verb = find_row(words[0])) {
            print_usage(out, "xl", *verb);
            return 0;
        }
        out << "command '" << words[0] << "' not implemented\n";
        return 1;
    }
    out << "Usage xl [-vfNtT] <subcommand> [args]\n\nxl full list of subcommands:\n\n";
    for (const Verb& verb : xl_verbs()) print_verb(out, verb);
    return 0;
}

}  // namespace

const std::vector<Verb>& xl_verbs() {
    static const std::vector<Verb> table = [] {
        std::vector<Verb> rows = own_rows();
        for (const Verb& verb : verbs()) {
            if (std::ranges::find(shared, verb.name) != shared.end()) rows.push_back(verb);
        }
        rows.push_back(migrate_row());
        return rows;
    }();
    return table;
}

int run_xl(World& world, std::span<const std::string> words) {
    // -v, -f, -t, -T: more words, no lock, progress. -N: no changes, which create alone knows.
    while (!words.empty() && words[0].starts_with('-') && words[0] != "-h" && words[0] != "--help") {
        if (words[0].find_first_not_of("-vftT") != std::string::npos) {
            world.err << "unknown global option " << words[0] << "\n";
            return wrong_usage;
        }
        words = words.subspan(1);
    }
    if (words.empty()) {
        show_help(world.out, {});
        return 1;
    }
    if (words[0] == "help" || words[0] == "-h" || words[0] == "--help") return show_help(world.out, words.subspan(1));
    const Verb* verb = find_row(words[0]);
    if (verb != nullptr) return run_row(world, *verb, words.subspan(1));
    world.err << "command not implemented\n";
    return 1;
}

}  // namespace xm
