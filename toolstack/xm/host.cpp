// SPDX-License-Identifier: Apache-2.0
// The verbs about the machine rather than a domain.
#include "toolstack/xm/app.hpp"

namespace xm {

using base::Outcome;
using proto::Sxp;

namespace {

constexpr const char* info_lines[] = {"host",
                                      "release",
                                      "version",
                                      "machine",
                                      "nr_cpus",
                                      "nr_nodes",
                                      "cores_per_socket",
                                      "threads_per_core",
                                      "cpu_mhz",
                                      "hw_caps",
                                      "total_memory",
                                      "free_memory",
                                      "node_to_cpu",
                                      "xen_major",
                                      "xen_minor",
                                      "xen_extra",
                                      "xen_caps",
                                      "xen_scheduler",
                                      "xen_pagesize",
                                      "platform_params",
                                      "xen_changeset",
                                      "cc_compiler",
                                      "cc_compile_by",
                                      "cc_compile_domain",
                                      "cc_compile_date",
                                      "xend_config_format"};

}  // namespace

void print_topology(std::ostream& out, const Sxp& node) {
    out << "cpu_topology           :\ncpu:    core    socket     node\n";
    size_t number = 0;
    const Sxp none;
    const Sxp* cpus = node.child("cpu_topology");
    for (const Sxp* cpu : (cpus != nullptr ? *cpus : none).children()) {
        out << format("%3zu:    %4s     %4s     %4s", number++, cpu->items().at(0).text().c_str(),
                      cpu->items().at(1).text().c_str(), cpu->items().at(2).text().c_str())
            << "\n";
    }
    out << "device topology        :\ndevice           node\nNo device topology data available\n"
        << "numa_info              :\nnode:    memsize    memfree    distances\n";
    number = 0;
    const Sxp* nodes = node.child("numa");
    for (const Sxp* one : (nodes != nullptr ? *nodes : none).children()) {
        const Sxp::List& figures = one->items();
        std::string distances;
        for (size_t i = 2; i < figures.size(); ++i) distances.append(i == 2 ? "" : ",").append(figures[i].text());
        out << format("%4zu:    %6s     %6s      %s", number++, figures.at(0).text().c_str(), figures.at(1).text().c_str(),
                      distances.c_str())
            << "\n";
    }
}

Outcome<> info(Call& call) {
    if (call.line.has("config")) {
        const Sxp config = OTRY(call.xend.get("/xend/node/config"));
        for (const Sxp* option : config.children()) {
            call.out << format("%-38s: %s", std::string(option->name()).c_str(), option->value().value_or("").c_str()) << "\n";
        }
        return base::ok;
    }
    const Sxp node = OTRY(call.xend.get("/xend/node"));
    for (const char* name : info_lines) {
        std::string value = node.child_value(name, "");
        if (value.empty()) value = "(none)";
        // More than one line of a value stands below the first.
        for (size_t at = 0; (at = value.find('\n', at)) != std::string::npos; at += 26)
            value.replace(at, 1, "\n" + std::string(25, ' '));
        call.out << format("%-23s: %s", name, value.c_str()) << "\n";
    }
    if (call.line.has("numa")) print_topology(call.out, node);
    return base::ok;
}

Outcome<> dmesg(Call& call) {
    std::map<std::string, std::string> fields;
    if (call.line.has("clear")) fields["op"] = "clear";
    const std::string text = OTRY(call.xend.text("/xend/node/dmesg", std::move(fields)));
    call.out << text;
    if (!text.empty() && text.back() != '\n') call.out << "\n";
    return base::ok;
}

Outcome<> show_log(Call& call) {
    call.out << OTRY(call.xend.text("/xend/node/log"));
    return base::ok;
}

Outcome<> debug_keys(Call& call) {
    OTRY(call.xend.post("/xend/node", "debug_keys", {{"keys", call.line.arguments[0]}}));
    return base::ok;
}

}  // namespace xm
