// SPDX-License-Identifier: Apache-2.0
/// Pools of CPUs: which there are, and which CPU is whose.
///
/// A CPU goes from one pool to another in three steps. Its pool's policy sends nobody there any more, and those who are there leave (who
/// runs, when it next picks); then it belongs to nobody and idles; then the other pool's policy has it.
#include "hypervisor/sched/pools.hpp"

#include <string_view>

#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv::sched {

using base::Err;
using base::Errc;
using base::Result;

std::atomic<Scheduler*> policies_on[max_cpus];

namespace {

CpuPool the_first{0, nullptr, {}};
SchedSettings first_settings{};      ///< of every pool when it is made
CpuPool* unused = nullptr;           ///< pools that were destroyed: no pool is ever freed
CpuMask nobodys;                     ///< CPUs in no pool
CpuPool* left_pools[max_cpus] = {};  ///< of CPUs on their way out: the pool that they leave
SchedUnit* idle_units[max_cpus] = {};

/// Null when there is none of this name.
Scheduler* policy_named(std::string_view name) {
    for (Scheduler* const* p = policies; *p; ++p)
        if (name == (*p)->name()) return *p;
    return nullptr;
}

Scheduler* policy_numbered(uint32_t id) {
    for (Scheduler* const* p = policies; *p; ++p)
        if (id == (*p)->abi_id()) return *p;
    return nullptr;
}

unsigned pool_count() {
    unsigned n = 0;
    for (const CpuPool* p = &the_first; p; p = p->next) ++n;
    return n;
}

/// One that was destroyed, or a new one.
Result<CpuPool*> some_pool(const Scheduler& policy) {
    for (CpuPool** at = &unused; *at; at = &(*at)->next) {
        CpuPool* p = *at;
        if (p->policy->abi_id() != policy.abi_id()) continue;
        *at = p->next;
        return p;
    }
    auto* p = TRY(make<CpuPool>());
    auto its = policy.another();
    if (!its) {
        destroy(p);
        return Err{its.error()};
    }
    p->policy = its.value();
    return p;
}

}  // namespace

CpuPool& pool0() { return the_first; }

// -- boot -------------------------------------------------------------------------------------------------------------

void init(const char* name, const SchedSettings& settings) {
    Scheduler* wanted = name && *name ? policy_named(name) : &default_policy;
    if (!wanted) {
        log(LogLevel::warning, "Unknown scheduler \"%s\": using %s", name, default_policy.name());
        wanted = &default_policy;
    }
    the_first.policy = wanted;
    first_settings = settings;
    wanted->begin(settings);
    log(LogLevel::info, "Using scheduler: %s", the_first.policy->title());
}

void init_cpu(unsigned cpu, SchedUnit& idle) {
    idle_units[cpu] = &idle;
    policies_on[cpu].store(the_first.policy, std::memory_order_release);
    if (!prepare_cpu(cpu)) panic("No memory for the run queue of CPU %u", cpu);
    the_first.policy->add_cpu(cpu, idle);
    the_first.cpus.set(cpu);
    if (!init_slices(cpu)) panic("No memory for the scheduler of CPU %u", cpu);
}

SchedUnit& idle_unit(unsigned cpu) { return *idle_units[cpu]; }

void remove_cpu(unsigned cpu) {
    the_first.cpus.clear(cpu);
    the_first.policy->remove_cpu(cpu);
}

// -- pools ------------------------------------------------------------------------------------------------------------

unsigned max_pools() { return 2 * cpu_count; }

CpuPool* pool_from(uint32_t id) {
    CpuPool* p = &the_first;
    while (p && p->id < id) p = p->next;
    return p;
}

Result<CpuPool*> pool_create(uint32_t id, uint32_t policy_id) {
    if (pool_count() >= max_pools()) return Err{Errc::nospc};
    const bool any = id == xen::XEN_SYSCTL_CPUPOOL_PAR_ANY;
    CpuPool* before = &the_first;
    while (before->next && (any || before->next->id <= id)) before = before->next;
    if (any) {  // behind the last one, as on Xen 4.17, not in a gap
        id = before->id + 1;
        if (id == xen::XEN_SYSCTL_CPUPOOL_PAR_ANY) return Err{Errc::nospc};
    }
    if (before->id == id) return Err{Errc::exist};
    const Scheduler* policy = policy_numbered(policy_id);
    if (!policy) return Err{Errc::noent};
    CpuPool* p = TRY(some_pool(*policy));
    p->policy->begin(first_settings);
    p->id = id;
    p->next = before->next;
    before->next = p;
    return p;
}

void pool_destroy(CpuPool& pool) {
    CpuPool* before = &the_first;
    while (before->next != &pool) before = before->next;
    before->next = pool.next;
    pool.next = unused;
    unused = &pool;
}

CpuSet free_cpus() { return nobodys.load(); }

void pool_add_cpu(CpuPool& pool, unsigned cpu) {
    nobodys.clear(cpu);
    pool.cpus.set(cpu);
    pool.policy->add_cpu(cpu, *idle_units[cpu]);
    policies_on[cpu].store(pool.policy, std::memory_order_release);
    reschedule(cpu);
}

void pool_remove_cpu(CpuPool& pool, unsigned cpu) {
    pool.cpus.clear(cpu);
    left_pools[cpu] = &pool;
    pool.policy->remove_cpu(cpu);
}

CpuPool* pool_left_by(unsigned cpu) { return left_pools[cpu]; }

void pool_free_cpu(unsigned cpu) {
    left_pools[cpu]->policy->drop_cpu(cpu);
    left_pools[cpu] = nullptr;
    policies_on[cpu].store(the_first.policy, std::memory_order_release);
    nobodys.set(cpu);
}

}  // namespace hv::sched
