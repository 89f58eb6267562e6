// SPDX-License-Identifier: Apache-2.0
// Requests about pools of CPUs.
#include <array>

#include "lib/base/number.hpp"
#include "toolstack/xend/server/request_fields.hpp"
#include "toolstack/xend/server/router.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using proto::Sxp;
using xenctrl::Scheduler;

namespace {

Outcome<Scheduler> scheduler_named(const std::string& name) {
    if (name.empty()) return Scheduler::credit2;
    for (const Scheduler one : xenctrl::all_schedulers) {
        if (name == xenctrl::scheduler_name(one)) return one;
    }
    return base::fail(Errc::inval, "unknown scheduler: " + name.substr(0, 40));
}

Sxp pool_sxp(const PoolView& view) {
    Sxp out = Sxp::named("pool");
    out.add("id", std::to_string(view.pool.id)).add("name", view.name).add("sched", xenctrl::scheduler_name(view.pool.scheduler));
    out.add("domains", std::to_string(view.pool.domains));
    Sxp cpus = Sxp::named("cpus");
    for (uint32_t i = 0; i < view.pool.cpus.size() * 8; ++i) {
        if (((view.pool.cpus[i / 8] >> (i % 8)) & 1U) != 0) cpus.add(Sxp::atom(std::to_string(i)));
    }
    return out.add(std::move(cpus));
}

}  // namespace

Outcome<xenctrl::Sched> Router::sched_of(const Request& request) {
    xenctrl::Sched out;
    out.policy = OTRY(scheduler_named(field_or(request, "scheduler", "")));
    for (const auto& [name, text] : request.fields) {
        if (name == "op" || name == "pool" || name == "scheduler") continue;
        const auto value = base::parse_number<int64_t>(text);
        if (!value) return base::fail(Errc::inval, "Invalid parameter: " + name.substr(0, 40));
        out.values[name] = *value;
    }
    return out;
}

Outcome<Reply> Router::pools(const Request& request) {
    const std::string op = field_or(request, "op", ""), pool = field_or(request, "pool", ""),
                      cpus = field_or(request, "cpus", "");
    if (request.method == Request::Method::get || op.empty()) {
        Sxp out = Sxp::named("pools");
        for (const PoolView& view : OTRY(manager_.pools())) out.add(pool_sxp(view));
        return sxp_reply(out);
    }
    if (op == "create") {
        const Scheduler scheduler = OTRY(scheduler_named(field_or(request, "sched", "")));
        OTRY(manager_.create_pool(pool, scheduler, cpus));
    } else if (op == "destroy") {
        OTRY(manager_.destroy_pool(pool));
    } else if (op == "rename") {
        OTRY(manager_.rename_pool(pool, field_or(request, "name", "")));
    } else if (op == "add_cpus") {
        OTRY(manager_.change_pool_cpus(pool, cpus, PoolChange::What::add_cpu));
    } else if (op == "remove_cpus") {
        OTRY(manager_.change_pool_cpus(pool, cpus, PoolChange::What::remove_cpu));
    } else if (op == "sched_set") {
        const xenctrl::Sched wanted = OTRY(sched_of(request));
        OTRY(manager_.set_pool_sched(pool, wanted));
    } else if (op == "migrate") {
        OTRY(manager_.move_to_pool(field_or(request, "domain", ""), pool));
    } else {
        return base::fail(Errc::inval, "Operation not implemented: " + op.substr(0, 100));
    }
    return sxp_reply(Sxp::list());
}

}  // namespace xend
