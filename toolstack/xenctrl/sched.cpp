// SPDX-License-Identifier: Apache-2.0
// Parameters of schedulers by name, each where its policy has it in the hypercalls' unions.
#include <cstring>

#include "abi/xen/domctl.hpp"
#include "abi/xen/sysctl.hpp"
#include "abi/xenolith/sched.hpp"
#include "toolstack/xenctrl/call.hpp"

namespace xenctrl {

using base::Errc;

namespace {

/// A number of `size` bytes (little-endian) at this place of the union.
struct Field {
    Scheduler policy;
    const char* name;
    size_t at, size;
};
constexpr Field domain_fields[] = {
    {Scheduler::credit, "weight", 0, 2},     {Scheduler::credit, "cap", 2, 2},      {Scheduler::credit2, "weight", 0, 2},
    {Scheduler::credit2, "cap", 2, 2},       {Scheduler::bvt, "mcuadv", 0, 4},      {Scheduler::bvt, "warpback", 4, 4},
    {Scheduler::bvt, "warpvalue", 8, 8},     {Scheduler::bvt, "warpl", 16, 8},      {Scheduler::bvt, "warpu", 24, 8},
    {Scheduler::atropos, "period", 0, 8},    {Scheduler::atropos, "slice", 8, 8},   {Scheduler::atropos, "latency", 16, 8},
    {Scheduler::atropos, "xtratime", 24, 4}, {Scheduler::sedf, "period", 0, 8},     {Scheduler::sedf, "slice", 8, 8},
    {Scheduler::sedf, "latency", 16, 8},     {Scheduler::sedf, "extratime", 24, 4}, {Scheduler::sedf, "weight", 28, 4},
};
/// Of rtds, which has them for each vCPU.
constexpr Field vcpu_fields[] = {
    {Scheduler::rtds, "period", 0, 4}, {Scheduler::rtds, "budget", 4, 4}, {Scheduler::rtds, "extratime", 8, 4}};
constexpr Field pool_fields[] = {{Scheduler::credit, "tslice_ms", 0, 4},
                                 {Scheduler::credit, "ratelimit_us", 4, 4},
                                 {Scheduler::credit, "vcpu_migr_delay_us", 8, 4},
                                 {Scheduler::credit2, "ratelimit_us", 0, 4},
                                 {Scheduler::bvt, "ctx_allow", 0, 8},
                                 {Scheduler::rrobin, "slice", 0, 8}};

template <size_t N>
SchedValues read_from(const Field (&fields)[N], Scheduler policy, const void* from) {
    SchedValues out;
    for (const Field& f : fields) {
        if (f.policy != policy) continue;
        int64_t value = 0;
        std::memcpy(&value, static_cast<const char*>(from) + f.at, f.size);
        out[f.name] = value;
    }
    return out;
}

/// Puts the values where they belong; others stay. Errors: inval.
template <size_t N>
Outcome<> write_to(const Field (&fields)[N], Scheduler policy, const SchedValues& values, void* to) {
    for (const auto& [name, value] : values) {
        const Field* found = nullptr;
        for (const Field& f : fields)
            if (f.policy == policy && name == f.name) found = &f;
        if (!found)
            return base::fail(Errc::inval,
                              std::string("The ") + scheduler_name(policy) + " scheduler has no '" + name.substr(0, 40) + "'");
        if (found->size < 8 && (value < 0 || value >> (found->size * 8)))
            return base::fail(Errc::inval, name + " is out of range");
        std::memcpy(static_cast<char*>(to) + found->at, &value, found->size);
    }
    return base::ok;
}

Outcome<> right_policy(Scheduler wanted, Scheduler there) {
    if (wanted == there) return base::ok;
    return base::fail(Errc::opnotsupp, std::string("Xen is running with the ") + scheduler_name(there) + " scheduler");
}

}  // namespace

/// Reads the parameters or, with `change`, writes them.
Outcome<SchedValues> Control::domain_sched_op(DomId domain, Scheduler policy, const SchedValues* change) {
    const auto what = std::string(change ? "set" : "read") + " the scheduling parameters" + of_domain(domain);
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_scheduler_op));
    xenolith::SchedGroupOp s{};
    s.sched_id = static_cast<uint32_t>(policy);
    s.cmd = xen::XEN_DOMCTL_SCHEDOP_getinfo;
    const auto make = [&]() -> Outcome<> {
        std::memcpy(&op->u, &s, sizeof s);
        OTRY(domctl(op, what.c_str()));
        std::memcpy(&s, &op->u, sizeof s);
        return base::ok;
    };
    OTRY(make());
    if (change) {
        OTRY(write_to(domain_fields, policy, *change, &s.u));
        s.cmd = xen::XEN_DOMCTL_SCHEDOP_putinfo;
        OTRY(make());
    }
    return read_from(domain_fields, policy, &s.u);
}

/// The same of each vCPU; what is read is the first one's.
Outcome<SchedValues> Control::vcpu_sched_op(DomId domain, Scheduler policy, const SchedValues* change) {
    const DomainInfo there = OTRY(info(domain));
    SchedValues first;
    for (uint32_t id = 0; id < there.vcpus; ++id) {
        auto list = OTRY(Buffer<xen::DomctlSchedParamVcpu>::make(backend_));
        auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_scheduler_op));
        xen::DomctlSchedulerOp& s = op->u.scheduler_op;
        const auto make = [&](uint32_t cmd) {
            s.sched_id = static_cast<uint32_t>(policy);
            s.cmd = cmd;
            s.u.v = {{list.address()}, 1, 0};
            return domctl(op, cmd == xen::XEN_DOMCTL_SCHEDOP_getvcpuinfo ? "read the scheduling parameters"
                                                                         : "set the scheduling parameters");
        };
        list->vcpuid = id;
        OTRY(make(xen::XEN_DOMCTL_SCHEDOP_getvcpuinfo));
        if (id == 0) first = read_from(vcpu_fields, policy, &list->u);
        if (!change) break;
        OTRY(write_to(vcpu_fields, policy, *change, &list->u));
        OTRY(make(xen::XEN_DOMCTL_SCHEDOP_putvcpuinfo));
    }
    return first;
}

Outcome<Sched> Control::domain_sched(DomId domain) {
    const Scheduler policy = OTRY(scheduler_of(domain));
    if (policy == Scheduler::rtds) return Sched{policy, OTRY(vcpu_sched_op(domain, policy, nullptr))};
    return Sched{policy, OTRY(domain_sched_op(domain, policy, nullptr))};
}

Outcome<> Control::set_domain_sched(DomId domain, const Sched& wanted) {
    const Scheduler policy = OTRY(scheduler_of(domain));
    OTRY(right_policy(wanted.policy, policy));
    if (policy == Scheduler::rtds) OTRY(vcpu_sched_op(domain, policy, &wanted.values));
    else OTRY(domain_sched_op(domain, policy, &wanted.values));
    return base::ok;
}

Outcome<> Control::set_pool_sched(uint32_t pool, const Sched& wanted) {
    PoolRequest request;
    request.pool = pool;
    const Scheduler policy = OTRY(pool_op(xen::XEN_SYSCTL_CPUPOOL_OP_INFO, request, "read the pool's scheduler")).scheduler;
    OTRY(right_policy(wanted.policy, policy));
    auto op = OTRY(sysctl_buffer(xen::XEN_SYSCTL_scheduler_op));
    xen::SysctlSchedulerOp& s = op->u.scheduler_op;
    s.cpupool_id = pool;
    s.sched_id = static_cast<uint32_t>(policy);
    s.cmd = xen::XEN_SYSCTL_SCHEDOP_getinfo;
    OTRY(sysctl(op, "read the parameters of the scheduler"));
    OTRY(write_to(pool_fields, policy, wanted.values, &s.u));
    s.cmd = xen::XEN_SYSCTL_SCHEDOP_putinfo;
    OTRY(sysctl(op, "set the parameters of the scheduler"));
    return base::ok;
}

}  // namespace xenctrl
