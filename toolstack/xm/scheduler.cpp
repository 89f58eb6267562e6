// SPDX-License-Identifier: Apache-2.0
// The verbs of schedulers. Each acts on domains in pools of its scheduler, and says of others what they have.
#include <array>

#include "lib/base/number.hpp"
#include "toolstack/xm/app.hpp"

namespace xm {

using base::Errc;
using base::Outcome;
using proto::Sxp;

namespace {

using Fields = std::map<std::string, std::string>;

base::Failure running_with(const std::string& scheduler) {
    return base::fail(Errc::opnotsupp, "Xen is running with the " + scheduler + " scheduler");
}

/// The first pool's scheduler.
Outcome<std::string> first_scheduler(Call& call) {
    const Sxp node = OTRY(call.xend.get("/xend/node"));
    return node.child_value("xen_scheduler", "unknown");
}

/// What to say when the arguments are not those of the verb: first of all whether there is such a scheduler.
Outcome<> wants(Call& call, const std::string& scheduler, const std::string& verb, size_t count) {
    const std::string there = OTRY(first_scheduler(call));
    if (there != scheduler) return running_with(there);
    return base::fail(Errc::inval,
                      "'xm " + verb + "' requires " + std::to_string(count) + (count == 1 ? " argument." : " arguments."));
}

Outcome<> set(Call& call, const std::string& who, const std::string& scheduler, Fields fields) {
    fields["scheduler"] = scheduler;
    OTRY(call.xend.operate(who, "domain_sched_set", std::move(fields)));
    return base::ok;
}

struct Row {
    Sxp domain;
    Sxp params;
    std::string name() const { return domain.child_value("name", ""); }
    std::string id() const { return domain.child_value("domid", ""); }
    std::string value(const char* of) const { return params.child_value(of, "0"); }
};

/// The parameters of one domain, or of all that have this scheduler; fails when none has.
Outcome<std::vector<Row>> rows(Call& call, const std::string& who, std::initializer_list<std::string_view> schedulers) {
    std::vector<Sxp> domains;
    if (who.empty()) {
        domains = OTRY(call.xend.domains());
    } else {
        Sxp one = OTRY(call.xend.domain(who));
        domains.push_back(std::move(one));
    }
    std::vector<Row> out;
    std::string other;
    for (Sxp& domain : domains) {
        Sxp params = OTRY(call.xend.operate(domain.child_value("domid", ""), "domain_sched_get"));
        const std::string has = params.child_value("scheduler", "");
        if (std::find(schedulers.begin(), schedulers.end(), has) != schedulers.end())
            out.push_back({std::move(domain), std::move(params)});
        else if (other.empty()) other = has;
    }
    if (out.empty() && !other.empty()) return running_with(other);
    return out;
}

// -- credit, credit2, rtds --------------------------------------------------------------------------------------------

Outcome<> weights(Call& call, std::initializer_list<std::string_view> schedulers) {
    const std::string who = call.line.value("domain");
    Fields change;
    if (call.line.has("weight")) change["weight"] = call.line.value("weight");
    if (call.line.has("cap")) change["cap"] = call.line.value("cap");
    if (!change.empty()) {
        if (who.empty()) return base::fail(Errc::inval, "No domain given.");
        OTRY(rows(call, who, schedulers));
        OTRY(call.xend.operate(who, "domain_sched_credit_set", std::move(change)));
        return base::ok;
    }
    const std::vector<Row> all = OTRY(rows(call, who, schedulers));
    call.out << format("%-33s %4s %6s %4s", "Name", "ID", "Weight", "Cap") << "\n";
    for (const Row& row : all)
        call.out << format("%-32s %5s %6s %4s", row.name().c_str(), row.id().c_str(), row.value("weight").c_str(),
                           row.value("cap").c_str())
                 << "\n";
    return base::ok;
}

/// credit and credit2 have the same two figures.
Outcome<> credit(Call& call) { return weights(call, {"credit", "credit2"}); }
Outcome<> credit2(Call& call) { return weights(call, {"credit2"}); }

Outcome<> rtds(Call& call) {
    const std::string who = call.line.value("domain");
    Fields change;
    for (const char* name : {"period", "budget", "extratime"})
        if (call.line.has(name)) change[name] = call.line.value(name);
    if (!change.empty()) {
        if (who.empty()) return base::fail(Errc::inval, "No domain given.");
        return set(call, who, "rtds", std::move(change));
    }
    const std::vector<Row> all = OTRY(rows(call, who, {"rtds"}));
    call.out << format("%-33s %4s %9s %9s %10s", "Name", "ID", "Period", "Budget", "Extratime") << "\n";
    for (const Row& row : all)
        call.out << format("%-33s %4s %9s %9s %10s", row.name().c_str(), row.id().c_str(), row.value("period").c_str(),
                           row.value("budget").c_str(), row.value("extratime") == "0" ? "no" : "yes")
                 << "\n";
    return base::ok;
}

// -- sedf -------------------------------------------------------------------------------------------------------------

double ms_of(const Row& row, const char* name) { return base::parse_number<double>(row.value(name)).value_or(0) / 1e6; }

/// Milliseconds as ns. Errors: inval.
Outcome<std::string> ns_of(const std::string& ms) {
    const auto value = base::parse_number<double>(ms);
    if (!value || !(*value >= 0) || *value > 1e7) return base::fail(Errc::inval, "'" + ms.substr(0, 40) + "' is no time in ms");
    return std::to_string(static_cast<int64_t>(*value * 1e6));
}

Outcome<Fields> sedf_change(Call& call, const Row& now) {
    const bool times = call.line.has("period") || call.line.has("slice");
    if (call.line.has("weight") && times) return base::fail(Errc::inval, "a weight goes instead of a period and a slice");
    Fields out;
    for (const char* name : {"period", "slice", "latency"}) {
        out[name] = now.value(name);
        if (call.line.has(name)) out[name] = OTRY(ns_of(call.line.value(name)));
    }
    out["extratime"] = call.line.has("extratime") ? call.line.value("extratime") : now.value("extratime");
    out["weight"] = call.line.has("weight") ? call.line.value("weight") : times ? "0" : now.value("weight");
    if (out["weight"] != "0") out["period"] = out["slice"] = "0";
    return out;
}

Outcome<> sedf(Call& call) {
    const std::vector<std::string>& words = call.line.arguments;
    const std::string who = words.empty() ? "" : words[0];
    Fields change;
    const bool in_options = call.line.options.size() > call.line.has("help");
    if (words.size() == 6) {  // as 3.0.0 has it
        constexpr std::array names = {"period", "slice", "latency", "extratime", "weight"};
        for (size_t i = 0; i < names.size(); ++i) change[names[i]] = words[i + 1];
    } else if (words.size() > 1) {
        return wants(call, "sedf", "sched-sedf", 6);
    }
    if (in_options && who.empty()) return wants(call, "sedf", "sched-sedf", 1);
    const std::vector<Row> all = OTRY(rows(call, who, {"sedf"}));
    if (in_options) change = OTRY(sedf_change(call, all[0]));
    if (!change.empty()) {
        const auto done = set(call, who, "sedf", std::move(change));
        if (done) return base::ok;
        return base::fail(done.failure().code,
                          "Failed to set sedf parameters (rv=" + std::to_string(static_cast<int>(done.failure().code)) + ").");
    }
    call.out << format("%-33s %4s %-4s %-4s %-7s %-5s %-6s", "Name", "ID", "Period(ms)", "Slice(ms)", "Lat(ms)", "Extra",
                       "Weight")
             << "\n";
    for (const Row& row : all)
        call.out << format("%-32s %5s %9.1f %9.1f %7.1f %6s %6s", row.name().c_str(), row.id().c_str(), ms_of(row, "period"),
                           ms_of(row, "slice"), ms_of(row, "latency"), row.value("extratime").c_str(),
                           row.value("weight").c_str())
                 << "\n";
    return base::ok;
}

// -- bvt, atropos, rrobin ---------------------------------------------------------------------------------------------

/// DOM and these parameters, all of them.
template <size_t N>
Outcome<> positional(Call& call, const char* scheduler, const char* verb, const std::array<const char*, N>& names) {
    const std::vector<std::string>& words = call.line.arguments;
    if (words.size() != N + 1) return wants(call, scheduler, verb, N + 1);
    Fields change;
    for (size_t i = 0; i < N; ++i) change[names[i]] = words[i + 1];
    return set(call, words[0], scheduler, std::move(change));
}

constexpr std::array bvt_names = {"mcuadv", "warpback", "warpvalue", "warpl", "warpu"};
Outcome<> bvt(Call& call) { return positional(call, "bvt", "bvt", bvt_names); }
Outcome<> sched_bvt(Call& call) { return positional(call, "bvt", "sched-bvt", bvt_names); }
Outcome<> atropos(Call& call) {
    return positional(call, "atropos", "atropos", std::array{"period", "slice", "latency", "xtratime"});
}

/// One figure of the first pool's scheduler.
Outcome<> global(Call& call, const char* scheduler, const char* verb, const char* name) {
    if (call.line.arguments.size() != 1) return wants(call, scheduler, verb, 1);
    OTRY(call.xend.post("/xend/node/pools", "sched_set",
                        {{"pool", "0"}, {"scheduler", scheduler}, {name, call.line.arguments[0]}}));
    return base::ok;
}
Outcome<> bvt_ctxallow(Call& call) { return global(call, "bvt", "bvt_ctxallow", "ctx_allow"); }
Outcome<> sched_bvt_ctxallow(Call& call) { return global(call, "bvt", "sched-bvt-ctxallow", "ctx_allow"); }
Outcome<> rrobin(Call& call) { return global(call, "rrobin", "rrobin", "slice"); }

}  // namespace

std::vector<Verb> scheduler_verbs() {
    const Option help{'h', "help", "", "Print this help."};
    const Option domain{'d', "domain", "DOMAIN", "Domain to look at or change."};
    const std::vector<Option> shares = {domain,
                                        {'w', "weight", "WEIGHT", "Weight (1 to 65535)."},
                                        {'c', "cap", "CAP", "Cap (percent of one CPU; 0: none)."},
                                        help};
    const std::vector<Option> budgets = {domain,
                                         {'p', "period", "US", "Period."},
                                         {'b', "budget", "US", "CPU time in each period."},
                                         {'e', "extratime", "FLAG", "Whether it may have more (0, 1)."},
                                         help};
    const std::vector<Option> deadlines = {{'p', "period", "MS", "Period."},
                                           {'s', "slice", "MS", "CPU time in each period."},
                                           {'l', "latency", "MS", "When it wakes up it is to have it so soon."},
                                           {'e', "extratime", "FLAG", "Whether it may have more (0, 1)."},
                                           {'w', "weight", "WEIGHT", "Instead of period and slice: its part of the CPU."},
                                           help};
    const std::vector<Option> none = {help};
    return {
        {"sched-credit", "[-d <Domain> [-w[=WEIGHT]|-c[=CAP]]]", "Get/set credit scheduler parameters.", shares, 0, 0, false,
         credit},
        {"sched-credit2", "[-d <Domain> [-w[=WEIGHT]|-c[=CAP]]]", "Get/set credit2 scheduler parameters.", shares, 0, 0, false,
         credit2},
        {"sched-rtds", "[-d <Domain> [-p PERIOD] [-b BUDGET] [-e FLAG]]", "Get/set rtds scheduler parameters.", budgets, 0, 0,
         false, rtds},
        {"sched-sedf", "<Domain> [options]", "Get/set EDF parameters.", deadlines, 0, 6, false, sedf},
        {"sched-bvt", "<Domain> <mcuadv> <warpback> <warpvalue> <warpl> <warpu>", "Set BVT scheduler parameters.", none, 0, 6,
         false, sched_bvt},
        {"sched-bvt-ctxallow", "<Allow>", "Set the BVT scheduler context switch allowance (ns).", none, 0, 1, false,
         sched_bvt_ctxallow},
        {"bvt", "<Domain> <mcuadv> <warpback> <warpvalue> <warpl> <warpu>", "Set BVT scheduler parameters.", none, 0, 6, false,
         bvt},
        {"bvt_ctxallow", "<Allow>", "Set the BVT scheduler context switch allowance (ns).", none, 0, 1, false, bvt_ctxallow},
        {"atropos", "<Domain> <period> <slice> <latency> <xtratime>", "Set Atropos parameters (ns).", none, 0, 5, false, atropos},
        {"rrobin", "<Slice>", "Set the round-robin slice (ns).", none, 0, 1, false, rrobin},
    };
}

}  // namespace xm
