// SPDX-License-Identifier: Apache-2.0
/// The machine's scheduler: its policy, the timers that end slices, and how long units were in each run state.
#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sched/fair.hpp"
#include "hypervisor/time/timer.hpp"

namespace hv::sched {

using base::Nanos;

namespace {

FairScheduler the_scheduler;
Timer* slice_timers[max_cpus];

void slice_ended(void*) { this_cpu().raise(SoftIrq::schedule); }

bool equal(const char* a, const char* b) {
    while (*a && *a == *b) ++a, ++b;
    return *a == *b;
}

}  // namespace

void init(const char* name) {
    if (name && *name && !equal(name, "credit2") && !equal(name, "fair"))
        log(LogLevel::warning, "Unknown scheduler \"%s\": using credit2", name);
    log(LogLevel::info, "Using scheduler: %s", the_scheduler.name());
}

void init_cpu(unsigned cpu, SchedUnit& idle) {
    the_scheduler.init_cpu(cpu, idle);
    if (slice_timers[cpu]) return;
    auto t = make<Timer>(slice_ended, nullptr);
    if (!t) panic("No memory for the scheduler of CPU %u", cpu);
    slice_timers[cpu] = std::move(t).take();
    slice_timers[cpu]->cpu.store(cpu, std::memory_order_relaxed);
}

Scheduler& scheduler() { return the_scheduler; }

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
    const SchedDecision d = the_scheduler.pick(c.id, prev, now);
    if (d.slice != Nanos::never()) timer::set(*slice_timers[c.id], now + d.slice, c.id);
    return *d.next;
}

void pause_nosync(SchedUnit& u) {
    if (u.pause_count.fetch_add(1, std::memory_order_seq_cst) == 0) the_scheduler.sleep(u);
}

void unpause(SchedUnit& u) {
    if (u.pause_count.fetch_sub(1, std::memory_order_seq_cst) == 1) the_scheduler.wake(u);
}

void affinity_changed(SchedUnit& u) { the_scheduler.affinity_changed(u); }

uint32_t ratelimit_us() { return the_scheduler.ratelimit_us.load(std::memory_order_relaxed); }
void set_ratelimit_us(uint32_t us) { the_scheduler.ratelimit_us.store(us, std::memory_order_relaxed); }

xen::VcpuRunstateInfo runstate_at_change(const SchedUnit& u) { return the_scheduler.snapshot(u); }

xen::VcpuRunstateInfo runstate(const SchedUnit& u) {
    xen::VcpuRunstateInfo info = the_scheduler.snapshot(u);
    const int64_t more = clock::now().n - static_cast<int64_t>(info.state_entry_time);
    if (more > 0) info.time[info.state & 3] += static_cast<uint64_t>(more);
    return info;
}

Nanos runtime(const SchedUnit& u) { return {static_cast<int64_t>(runstate(u).time[xen::RUNSTATE_running])}; }

}  // namespace hv::sched
