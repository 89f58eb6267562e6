// SPDX-License-Identifier: Apache-2.0
/// CPU pools and the parameters of their schedulers. What a pool refuses, and with which error, is as Xen 4.17 does it (experiments).
#include "hypervisor/hypercall/sysctl/sysctl.hpp"
#include "hypervisor/sched/scheduler.hpp"

namespace hv::sysctl {

namespace {

/// Calls f with every domain of the pool, dead ones too (those are all in pool 0).
template <class F>
void each_domain(const CpuPool& pool, F f) {
    for (DomainRef d = next_domain(DomId(0)); d; d = next_domain(DomId::from_reg(d->id.raw + 1u)))
        if (d->sched.pool.load(std::memory_order_relaxed) == &pool) f(*d);
}

uint32_t count_domains(const CpuPool& pool) {
    uint32_t n = 0;
    each_domain(pool, [&](Domain&) { ++n; });
    return n;
}

Result<CpuPool*> find_pool(uint32_t id) {
    CpuPool* pool = sched::pool_from(id);
    if (!pool || pool->id != id) return Err{Errc::noent};
    return pool;
}

Status create(const Call& c) {
    xen::SysctlCpuPoolOp& p = c.op.u.cpupool_op;
    CpuPool* pool = TRY(sched::pool_create(p.cpupool_id, p.sched_id));
    p.cpupool_id = pool->id;
    const Status stored = c.done();
    if (!stored) sched::pool_destroy(*pool);  // nobody would know its number
    return stored;
}

/// Sees a CPU that its pool has let go through to the end, who runs there included. Errors: restart, while somebody is there.
Status vacate(const Call& c, unsigned cpu) {
    CpuPool* pool = sched::pool_left_by(cpu);
    if (!pool) return ok;
    bool empty = true;
    each_domain(*pool, [&](Domain& d) {
        for (uint32_t i = 0; d.vcpus && i < d.limits.max_vcpus; ++i) {
            Vcpu* v = d.vcpus[i];
            if (!v) continue;
            // Pinned to CPUs that are all gone: it may use any from now on.
            if (v->affinity.test(cpu) && !v->affinity.meets(pool->cpus)) v->affinity.store(CpuSet::any());
            if (v->SchedUnit::cpu.load(std::memory_order_acquire) != cpu) continue;
            pool->policy->affinity_changed(*v);
            if (v->SchedUnit::cpu.load(std::memory_order_acquire) == cpu) empty = false;  // who runs leaves when that CPU picks
        }
    });
    if (!empty) return c.again(1);
    sched::pool_free_cpu(cpu);
    return ok;
}

Status destroy(const Call& c) {
    CpuPool& pool = *TRY(find_pool(c.op.u.cpupool_op.cpupool_id));
    if (&pool == &sched::pool0() || !pool.cpus.empty() || count_domains(pool)) return Err{Errc::busy};
    for (unsigned cpu = 0; cpu < cpu_count; ++cpu)
        if (sched::pool_left_by(cpu) == &pool) TRY(vacate(c, cpu));
    sched::pool_destroy(pool);
    return ok;
}

Status pool_info(const Call& c) {
    xen::SysctlCpuPoolOp& p = c.op.u.cpupool_op;
    // Asks for the first pool at or above the id: how tools walk over all.
    const CpuPool* pool = sched::pool_from(p.cpupool_id);
    if (!pool) return Err{Errc::noent};
    p.cpupool_id = pool->id;
    p.sched_id = pool->policy->abi_id();
    p.n_dom = count_domains(*pool);
    TRY(store_bitmap(p.cpumap, pool->cpus.load()));
    return c.done();
}

Status add_cpu(const Call& c) {
    const xen::SysctlCpuPoolOp& p = c.op.u.cpupool_op;
    const bool any = p.cpu == xen::XEN_SYSCTL_CPUPOOL_PAR_ANY;
    CpuPool& pool = *TRY(find_pool(p.cpupool_id));
    if (!any && p.cpu >= cpu_count) return Err{Errc::inval};
    const CpuSet free = sched::free_cpus();
    if (any && free.empty()) return Err{Errc::nodev};
    const unsigned cpu = any ? free.first() : static_cast<unsigned>(clamp_index(p.cpu, cpu_count));
    TRY(vacate(c, cpu));
    if (!sched::free_cpus().has(cpu)) return Err{Errc::nodev};
    sched::pool_add_cpu(pool, cpu);
    return ok;
}

unsigned last_of(const CpuSet& cpus) {
    unsigned last = max_cpus;
    for (const unsigned cpu : cpus) last = cpu;
    return last;
}

Status remove_cpu(const Call& c) {
    xen::SysctlCpuPoolOp& p = c.op.u.cpupool_op;
    CpuPool& pool = *TRY(find_pool(p.cpupool_id));
    const CpuSet cpus = pool.cpus.load();
    if (p.cpu == xen::XEN_SYSCTL_CPUPOOL_PAR_ANY) {
        p.cpu = last_of(cpus);
        TRY(c.done());  // should this go on later, it is with this one
    }
    if (p.cpu >= cpu_count) return Err{Errc::inval};
    const auto cpu = static_cast<unsigned>(clamp_index(p.cpu, cpu_count));
    if (sched::pool_left_by(cpu) == &pool) return vacate(c, cpu);
    if (!cpus.has(cpu)) return Err{Errc::addrnotavail};
    const bool last = cpus.count() == 1;
    if (last && &pool == &sched::pool0()) return Err{Errc::inval};
    if (last && count_domains(pool)) return Err{Errc::busy};
    sched::pool_remove_cpu(pool, cpu);
    return vacate(c, cpu);
}

Status move_domain(const Call& c) {
    const xen::SysctlCpuPoolOp& p = c.op.u.cpupool_op;
    const DomId id = DomId::from_reg(p.domid);
    if (id.raw >= xen::DOMID_FIRST_RESERVED) return Err{Errc::srch};
    DomainRef d = TRY(find_domain(id));
    if (&*d == &c.v.domain) return Err{Errc::perm};  // it cannot stand still
    if (d->dying.load(std::memory_order_acquire) != DyingState::alive) return Err{Errc::srch};
    CpuPool& pool = *TRY(find_pool(p.cpupool_id));
    if (pool.cpus.empty()) return Err{Errc::noent};
    domain_move(*d, pool);
    return ok;
}

}  // namespace

Status cpupool_op(const Call& c) {
    xen::SysctlCpuPoolOp& p = c.op.u.cpupool_op;
    switch (p.op) {
        case xen::XEN_SYSCTL_CPUPOOL_OP_CREATE: return create(c);
        case xen::XEN_SYSCTL_CPUPOOL_OP_DESTROY: return destroy(c);
        case xen::XEN_SYSCTL_CPUPOOL_OP_INFO: return pool_info(c);
        case xen::XEN_SYSCTL_CPUPOOL_OP_ADDCPU: return add_cpu(c);
        case xen::XEN_SYSCTL_CPUPOOL_OP_RMCPU: return remove_cpu(c);
        case xen::XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN: return move_domain(c);
        case xen::XEN_SYSCTL_CPUPOOL_OP_FREEINFO: TRY(store_bitmap(p.cpumap, sched::free_cpus())); return c.done();
        default: return Err{Errc::nosys};
    }
}

namespace {

Status arinc653_table(const xen::SysctlSchedulerOp& s, Scheduler& policy) {
    const auto there = GuestPtr<xen::SysctlArinc653Schedule>::of(s.u.sched_arinc653.schedule);
    // Too much for a stack.
    auto* table = TRY(make<xen::SysctlArinc653Schedule>());
    memset(table, 0, sizeof *table);
    const auto done = [&]() -> Status {
        if (s.cmd == xen::XEN_SYSCTL_SCHEDOP_putinfo) TRY(there.fetch_many(table, 1));
        TRY(policy.table(s.cmd, *table));
        if (s.cmd == xen::XEN_SYSCTL_SCHEDOP_getinfo) TRY(there.store_many(table, 1));
        return ok;
    }();
    hv::destroy(table);
    return done;
}

}  // namespace

Status scheduler_op(const Call& c) {
    xen::SysctlSchedulerOp& s = c.op.u.scheduler_op;
    const auto pool = find_pool(s.cpupool_id);
    if (!pool) return Err{Errc::srch};
    Scheduler& policy = *pool.value()->policy;
    if (s.sched_id != policy.abi_id()) return Err{Errc::inval};
    if (s.sched_id == xen::XEN_SCHEDULER_ARINC653) return arinc653_table(s, policy);
    xenolith::SchedPolicyOp params;
    memcpy(&params, &s, sizeof params);
    TRY(policy.policy_params(params));
    memcpy(&s, &params, sizeof params);
    return c.done();
}

}  // namespace hv::sysctl
