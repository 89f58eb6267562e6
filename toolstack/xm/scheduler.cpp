// SPDX-License-Identifier: Apache-2.0
// The verbs of schedulers: those that this hypervisor has, and those that it does not.
#include "toolstack/xm/app.hpp"

namespace xm {

using base::Errc;
using base::Outcome;
using proto::Sxp;

namespace {

Outcome<> wrong_scheduler(Call& call) {
    const Sxp node = OTRY(call.xend.get("/xend/node"));
    return base::fail(Errc::opnotsupp, "Xen is running with the " + node.child_value("xen_scheduler", "unknown") + " scheduler");
}

void row(Call& call, const Sxp& domain, const Sxp& params) {
    call.out << format("%-32s %5s %6s %4s", domain.child_value("name", "").c_str(), domain.child_value("domid", "").c_str(),
                       params.child_value("weight", "").c_str(), params.child_value("cap", "").c_str())
             << "\n";
}

/// credit and credit2 have the same two figures.
Outcome<> weight_and_cap(Call& call) {
    const std::string who = call.line.value("domain");
    std::map<std::string, std::string> change;
    if (call.line.has("weight")) change["weight"] = call.line.value("weight");
    if (call.line.has("cap")) change["cap"] = call.line.value("cap");
    if (!change.empty()) {
        if (who.empty()) return base::fail(Errc::inval, "No domain given.");
        OTRY(call.xend.operate(who, "domain_sched_credit_set", std::move(change)));
        return base::ok;
    }
    std::vector<Sxp> domains;
    if (who.empty()) {
        domains = OTRY(call.xend.domains());
    } else {
        Sxp one = OTRY(call.xend.domain(who));
        domains.push_back(std::move(one));
    }
    call.out << format("%-33s %4s %6s %4s", "Name", "ID", "Weight", "Cap") << "\n";
    for (const Sxp& domain : domains) {
        const Sxp params = OTRY(call.xend.operate(domain.child_value("domid", ""), "domain_sched_credit_get"));
        row(call, domain, params);
    }
    return base::ok;
}

Outcome<> credit2(Call& call) {
    const Sxp node = OTRY(call.xend.get("/xend/node"));
    if (node.child_value("xen_scheduler", "") != "credit2") return wrong_scheduler(call);
    return weight_and_cap(call);
}

}  // namespace

std::vector<Verb> scheduler_verbs() {
    const std::vector<Option> credit = {{'d', "domain", "DOMAIN", "Domain to look at or change."},
                                        {'w', "weight", "WEIGHT", "Weight (1 to 65535)."},
                                        {'c', "cap", "CAP", "Cap (percent of one CPU; 0: none)."},
                                        {'h', "help", "", "Print this help."}};
    const std::vector<Option> realtime = {{'d', "domain", "DOMAIN", "Domain to look at or change."},
                                          {'p', "period", "MS", "Period."},
                                          {'b', "budget", "US", "Budget."},
                                          {'s', "slice", "MS", "Slice."},
                                          {'l', "latency", "MS", "Latency."},
                                          {'e', "extratime", "FLAG", "Whether it may have more."},
                                          {'w', "weight", "WEIGHT", "Weight."},
                                          {'h', "help", "", "Print this help."}};
    const std::vector<Option> none = {{'h', "help", "", "Print this help."}};
    return {
        {"sched-credit", "[-d <Domain> [-w[=WEIGHT]|-c[=CAP]]]", "Get/set credit scheduler parameters.", credit, 0, 0, false,
         weight_and_cap},
        {"sched-credit2", "[-d <Domain> [-w[=WEIGHT]|-c[=CAP]]]", "Get/set credit2 scheduler parameters.", credit, 0, 0, false,
         credit2},
        {"sched-rtds", "[-d <Domain> [-p PERIOD] [-b BUDGET]]", "Get/set rtds scheduler parameters.", realtime, 0, 0, false,
         wrong_scheduler},
        {"sched-sedf", "<Domain> [options]", "Get/set EDF parameters.", realtime, 0, 6, false, wrong_scheduler},
        {"sched-bvt", "<Domain> <Parameters>", "Set BVT scheduler parameters.", none, 0, 6, false, wrong_scheduler},
        {"sched-bvt-ctxallow", "<Allow>", "Set the BVT scheduler context switch allowance.", none, 0, 1, false, wrong_scheduler},
        {"bvt", "<Domain> <mcuadv> <warpback> <warpvalue> <warpl> <warpu>", "Set BVT scheduler parameters.", none, 0, 6, false,
         wrong_scheduler},
        {"bvt_ctxallow", "<Allow>", "Set the BVT scheduler context switch allowance.", none, 0, 1, false, wrong_scheduler},
        {"atropos", "<Domain> <period> <slice> <latency> <xtratime>", "Set Atropos parameters.", none, 0, 5, false,
         wrong_scheduler},
        {"rrobin", "<Slice>", "Set the round-robin slice.", none, 0, 1, false, wrong_scheduler},
    };
}

}  // namespace xm
