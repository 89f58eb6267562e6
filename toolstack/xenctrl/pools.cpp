// SPDX-License-Identifier: Apache-2.0
// Pools of CPUs.
#include "abi/xen/sysctl.hpp"
#include "toolstack/xenctrl/call.hpp"

namespace xenctrl {

using base::Errc;

namespace {

/// What the errors of these operations mean, which their usual texts do not tell.
struct Meaning {
    uint32_t op;
    Errc code;
    const char* text;
};
constexpr Meaning meanings[] = {
    {xen::XEN_SYSCTL_CPUPOOL_OP_CREATE, Errc::noent, "The hypervisor does not have that scheduler"},
    {xen::XEN_SYSCTL_CPUPOOL_OP_CREATE, Errc::nospc, "There are as many as the hypervisor can have"},
    {xen::XEN_SYSCTL_CPUPOOL_OP_DESTROY, Errc::busy, "It still has CPUs or domains"},
    {xen::XEN_SYSCTL_CPUPOOL_OP_ADDCPU, Errc::nodev, "A pool has it already, and is to let go of it first"},
    {xen::XEN_SYSCTL_CPUPOOL_OP_RMCPU, Errc::addrnotavail, "That pool does not have it"},
    {xen::XEN_SYSCTL_CPUPOOL_OP_RMCPU, Errc::busy, "The domains there need it"},
    {xen::XEN_SYSCTL_CPUPOOL_OP_RMCPU, Errc::inval, "Pool-0 keeps one"},
    {xen::XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, Errc::noent, "That pool has no CPU"},
    {xen::XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, Errc::perm, "Domain 0 stays where it is"},
};

}  // namespace

/// The request with room for as many CPUs as the machine has; `cpus` becomes what comes back.
Outcome<CpuPool> Control::pool_op(uint32_t op, const PoolRequest& request, const char* what) {
    const PhysInfo machine = OTRY(physinfo());
    auto map = OTRY(Buffer<uint8_t>::make(backend_, machine.max_cpu / 8 + 1));
    auto call = OTRY(sysctl_buffer(xen::XEN_SYSCTL_cpupool_op));
    xen::SysctlCpuPoolOp& p = call->u.cpupool_op;
    p.op = op;
    p.cpupool_id = request.pool;
    p.sched_id = static_cast<uint32_t>(request.scheduler);
    p.domid = request.domain.raw;
    p.cpu = request.cpu;
    p.cpumap.bitmap.addr = map.address();
    p.cpumap.nr_bits = static_cast<uint32_t>(map.values().size() * 8);
    if (auto done = sysctl(call, what); !done) {
        for (const Meaning& m : meanings) {
            if (m.op == op && m.code == done.failure().code)
                return base::fail(m.code, std::string("Cannot ") + what + ": " + m.text);
        }
        return std::move(done).take_failure();
    }
    return CpuPool{p.cpupool_id, static_cast<Scheduler>(p.sched_id), p.n_dom, BitMap(map.values().begin(), map.values().end())};
}

Outcome<std::vector<CpuPool>> Control::cpu_pools() {
    std::vector<CpuPool> out;
    PoolRequest request;
    for (;;) {
        auto next = pool_op(xen::XEN_SYSCTL_CPUPOOL_OP_INFO, request, "list the CPU pools");
        if (!next && next.failure().code == Errc::noent) return out;  // it names the first pool from this number on
        if (!next) return std::move(next).take_failure();
        out.push_back(std::move(next).take());
        request.pool = out.back().id + 1;
    }
}

Outcome<Scheduler> Control::scheduler_of(DomId domain) {
    PoolRequest request;
    request.pool = OTRY(info(domain)).cpupool;
    return OTRY(pool_op(xen::XEN_SYSCTL_CPUPOOL_OP_INFO, request, "read a domain's scheduler")).scheduler;
}

Outcome<uint32_t> Control::create_pool(Scheduler scheduler) {
    PoolRequest request;
    request.pool = xen::XEN_SYSCTL_CPUPOOL_PAR_ANY;
    request.scheduler = scheduler;
    return OTRY(pool_op(xen::XEN_SYSCTL_CPUPOOL_OP_CREATE, request, "create a CPU pool")).id;
}

Outcome<> Control::destroy_pool(uint32_t pool) {
    PoolRequest request;
    request.pool = pool;
    OTRY(pool_op(xen::XEN_SYSCTL_CPUPOOL_OP_DESTROY, request, "destroy the CPU pool"));
    return base::ok;
}

Outcome<> Control::add_to_pool(uint32_t pool, uint32_t cpu) {
    PoolRequest request;
    request.pool = pool;
    request.cpu = cpu;
    const std::string what = "add CPU " + std::to_string(cpu) + " to the pool";
    OTRY(pool_op(xen::XEN_SYSCTL_CPUPOOL_OP_ADDCPU, request, what.c_str()));
    return base::ok;
}

Outcome<> Control::remove_from_pool(uint32_t pool, uint32_t cpu) {
    PoolRequest request;
    request.pool = pool;
    request.cpu = cpu;
    const std::string what = "take CPU " + std::to_string(cpu) + " out of the pool";
    OTRY(pool_op(xen::XEN_SYSCTL_CPUPOOL_OP_RMCPU, request, what.c_str()));
    return base::ok;
}

Outcome<> Control::move_to_pool(uint32_t pool, DomId domain) {
    PoolRequest request;
    request.pool = pool;
    request.domain = domain;
    OTRY(pool_op(xen::XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, request, "move a domain to the CPU pool"));
    return base::ok;
}

}  // namespace xenctrl
