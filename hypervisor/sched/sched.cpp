// SPDX-License-Identifier: Apache-2.0
/// Pool 0, the timers that end slices, and what does not depend on the policy.
#include <string_view>

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sched/scheduler.hpp"
#include "hypervisor/time/timer.hpp"

namespace hv::sched {

using base::Nanos;

namespace {

CpuPool the_pool{0, nullptr, {}};
Timer* slice_timers[max_cpus];

void slice_ended(void*) { this_cpu().raise(SoftIrq::schedule); }

/// Null when there is none of this name.
Scheduler* policy_named(std::string_view name) {
    for (Scheduler* const* p = policies; *p; ++p)
        if (name == (*p)->name()) return *p;
    return nullptr;
}

}  // namespace

CpuPool& pool0() { return the_pool; }

void init(const char* name) {
    Scheduler* wanted = name && *name ? policy_named(name) : &default_policy;
    if (!wanted) {
        log(LogLevel::warning, "Unknown scheduler \"%s\": using %s", name, default_policy.name());
        wanted = &default_policy;
    }
    the_pool.policy = wanted;
    log(LogLevel::info, "Using scheduler: %s", the_pool.policy->title());
}

void init_cpu(unsigned cpu, SchedUnit& idle) {
    if (!the_pool.policy->add_cpu(cpu, idle)) panic("No memory for the run queue of CPU %u", cpu);
    the_pool.cpus.set(cpu);
    if (slice_timers[cpu]) return;
    auto t = make<Timer>(slice_ended, nullptr);
    if (!t) panic("No memory for the scheduler of CPU %u", cpu);
    slice_timers[cpu] = t.value();
    slice_timers[cpu]->cpu.store(cpu, std::memory_order_relaxed);
}

void remove_cpu(unsigned cpu) {
    the_pool.cpus.clear(cpu);
    the_pool.policy->remove_cpu(cpu);
}

void end_slice_at(unsigned cpu, Nanos t) { timer::set(*slice_timers[cpu], t, cpu); }

void reschedule(unsigned cpu) {
    constexpr auto bit = static_cast<uint32_t>(SoftIrq::schedule);
    Cpu& c = cpus[cpu];
    if (c.pending.fetch_or(bit, std::memory_order_seq_cst) & bit) return;  // it has been told
    if (&c != &this_cpu()) arch::kick(cpu);
}

SchedUnit& pick_next(SchedUnit& prev) {
    Cpu& c = this_cpu();
    c.pending.fetch_and(~static_cast<uint32_t>(SoftIrq::schedule), std::memory_order_seq_cst);
    const Nanos now = clock::now();
    const SchedDecision d = policy_of(prev).pick(c.id, prev, now);
    if (d.slice != Nanos::never()) timer::set(*slice_timers[c.id], now + d.slice, c.id);
    return *d.next;
}

void pause_nosync(SchedUnit& u) {
    if (u.pause_count.fetch_add(1, std::memory_order_seq_cst) == 0) policy_of(u).sleep(u);
}

void unpause(SchedUnit& u) {
    if (u.pause_count.fetch_sub(1, std::memory_order_seq_cst) == 1) policy_of(u).wake(u);
}

xen::VcpuRunstateInfo runstate(const SchedUnit& u) {
    xen::VcpuRunstateInfo info = policy_of(u).runstate_at_change(u);
    const int64_t more = clock::now().n - static_cast<int64_t>(info.state_entry_time);
    if (more > 0) info.time[info.state & 3] += static_cast<uint64_t>(more);
    return info;
}

Nanos runtime(const SchedUnit& u) { return {static_cast<int64_t>(runstate(u).time[xen::RUNSTATE_running])}; }

}  // namespace hv::sched
