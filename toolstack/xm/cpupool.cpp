// SPDX-License-Identifier: Apache-2.0
// The verbs about pools of CPUs, in xl's form.
#include "lib/base/number.hpp"
#include "toolstack/xm/app.hpp"

namespace xm {

using base::Errc;
using base::Outcome;
using proto::Sxp;

namespace {

Outcome<> change(Call& call, const char* op, std::map<std::string, std::string> fields) {
    OTRY(call.xend.post("/xend/node/pools", op, std::move(fields)));
    return base::ok;
}

std::string joined(const Sxp& list) {
    std::string out;
    for (const Sxp* item : list.children()) out.append(out.empty() ? "" : ",").append(item->text());
    return out;
}

Outcome<> list_pool(Call& call) {
    const bool cpus = call.line.has("cpus");
    const Sxp pools = OTRY(call.xend.get("/xend/node/pools"));
    call.out << format("%-19s", "Name") << (cpus ? "CPU list\n" : "CPUs   Sched     Active   Domain count\n");
    bool found = call.line.arguments.empty();
    for (const Sxp* pool : pools.children()) {
        const std::string name = pool->child_value("name", "");
        if (!call.line.arguments.empty() && call.line.arguments[0] != name &&
            call.line.arguments[0] != pool->child_value("id", ""))
            continue;
        found = true;
        const Sxp* members = pool->child("cpus");
        const size_t count = members == nullptr ? 0 : members->children().size();
        call.out << format("%-19s", name.c_str());
        if (cpus) call.out << (members == nullptr ? "" : joined(*members)) << "\n";
        else
            call.out << format("%3zu %9s       y       %4s", count, pool->child_value("sched", "").c_str(),
                               pool->child_value("domains", "").c_str())
                     << "\n";
    }
    if (!found) return base::fail(Errc::noent, "Pool '" + call.line.arguments[0] + "' does not exist.");
    return base::ok;
}

/// name="x" sched="credit" cpus="0-3"; quotation marks as in a configuration.
Outcome<> create_pool(Call& call) {
    std::map<std::string, std::string> fields;
    for (const std::string& word : call.line.arguments) {
        const size_t equals = word.find('=');
        const std::string key = word.substr(0, equals);
        if (equals == std::string::npos || (key != "name" && key != "sched" && key != "cpus"))
            return base::fail(Errc::inval, "'" + word + "': name=, sched= and cpus= are wanted");
        std::string value = word.substr(equals + 1);
        std::erase_if(value, [](char c) { return std::string_view("\"'[] ").find(c) != std::string_view::npos; });
        fields[key == "name" ? "pool" : key] = value;
    }
    if (!fields.contains("pool")) return base::fail(Errc::inval, "a pool needs a name=");
    const std::string name = fields["pool"];
    OTRY(change(call, "create", std::move(fields)));
    call.out << "Using config file \"command line\"\ncpupool name:   " << name << "\n";
    return base::ok;
}

Outcome<> destroy_pool(Call& call) { return change(call, "destroy", {{"pool", call.line.arguments[0]}}); }
Outcome<> rename_pool(Call& call) {
    return change(call, "rename", {{"pool", call.line.arguments[0]}, {"name", call.line.arguments[1]}});
}
Outcome<> add_pool(Call& call) {
    return change(call, "add_cpus", {{"pool", call.line.arguments[0]}, {"cpus", call.line.arguments[1]}});
}
Outcome<> remove_pool(Call& call) {
    return change(call, "remove_cpus", {{"pool", call.line.arguments[0]}, {"cpus", call.line.arguments[1]}});
}
Outcome<> migrate_pool(Call& call) {
    return change(call, "migrate", {{"domain", call.line.arguments[0]}, {"pool", call.line.arguments[1]}});
}

}  // namespace

std::vector<Verb> cpupool_verbs() {
    const Option help{'h', "help", "", "Print this help."};
    return {
        {"cpupool-create",
         "name=<Name> [sched=<Scheduler>] [cpus=<CPUs>]",
         "Create a new CPU pool.",
         {help},
         1,
         3,
         false,
         create_pool},
        {"cpupool-list",
         "[-c|--cpus] [<CPU Pool>]",
         "List CPU pools on host.",
         {{'c', "cpus", "", "Output list of CPUs used by a pool."}, help},
         0,
         1,
         false,
         list_pool},
        {"cpupool-destroy", "<CPU Pool>", "Deactivates a CPU pool.", {help}, 1, 1, false, destroy_pool},
        {"cpupool-rename", "<CPU Pool> <new name>", "Renames a CPU pool.", {help}, 2, 2, false, rename_pool},
        {"cpupool-cpu-add", "<CPU Pool> <CPU list>", "Adds a CPU to a CPU pool.", {help}, 2, 2, false, add_pool},
        {"cpupool-cpu-remove", "<CPU Pool> <CPU list>", "Removes a CPU from a CPU pool.", {help}, 2, 2, false, remove_pool},
        {"cpupool-migrate", "<Domain> <CPU Pool>", "Moves a domain into a CPU pool.", {help}, 2, 2, false, migrate_pool},
    };
}

}  // namespace xm
