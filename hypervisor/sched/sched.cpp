// SPDX-License-Identifier: Apache-2.0
/// The timers that end slices, and what does not depend on the policy.
#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/sched/pools.hpp"
#include "hypervisor/time/timer.hpp"
#include "hypervisor/trace/trace.hpp"

namespace hv::sched {

using base::Nanos;
using base::Status;

namespace {

Timer* slice_timers[max_cpus];

void slice_ended(void*) { this_cpu().raise(SoftIrq::schedule); }

/// Of a vCPU in records about scheduling: its domain first.
uint32_t domain_of(const SchedUnit& u) { return u.trace_name >> 16; }
uint32_t number_of(const SchedUnit& u) { return u.trace_name & 0xffff; }

HV_ASIDE void record(uint32_t event, const SchedUnit& u) { trace::event(event, domain_of(u), number_of(u)); }

constexpr uint32_t nanoseconds(Nanos t) { return static_cast<uint32_t>(t.n); }

/// Their run states have changed already.
HV_ASIDE void record_switch(const SchedUnit& prev, const SchedUnit& next, Nanos now, Nanos slice) {
    const Nanos ran = &prev == &next ? now - prev.runstate.since() : prev.runstate.last_lasted();
    const Nanos waited = next.runstate.last_lasted();
    if (&prev == &next) {
        trace::event(xen::TRC_SCHED_SWITCH_INFCONT, domain_of(next), number_of(next), nanoseconds(ran), nanoseconds(slice));
        trace::event(xen::TRC_SCHED_CONTINUE_RUNNING, next.trace_name);
        return;
    }
    trace::event(xen::TRC_SCHED_SWITCH_INFPREV, domain_of(prev), number_of(prev), nanoseconds(ran));
    trace::event(xen::TRC_SCHED_SWITCH_INFNEXT, domain_of(next), number_of(next), nanoseconds(waited), nanoseconds(slice));
    trace::event(xen::TRC_SCHED_SWITCH, domain_of(prev), number_of(prev), domain_of(next), number_of(next));
}

}  // namespace

Status init_slices(unsigned cpu) {
    if (slice_timers[cpu]) return base::ok;
    slice_timers[cpu] = TRY(make<Timer>(slice_ended, nullptr));
    slice_timers[cpu]->cpu.store(cpu, std::memory_order_relaxed);
    return base::ok;
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
    const SchedDecision d = policy_on(c.id).pick(c.id, prev, now);
    if (trace::on()) [[unlikely]]
        record_switch(prev, *d.next, now, d.slice);
    if (d.slice != Nanos::never()) timer::set(*slice_timers[c.id], now + d.slice, c.id);
    return *d.next;
}

void default_shares(SchedGroup& g) {
    g.weight.store(default_weight, std::memory_order_relaxed);
    g.cap.store(0, std::memory_order_relaxed);
}

void pause_nosync(SchedUnit& u) {
    // Also when others have paused it: they may not have come to this yet.
    u.pause_count.fetch_add(1, std::memory_order_seq_cst);
    if (trace::on()) [[unlikely]]
        record(xen::TRC_SCHED_SLEEP, u);
    policy_of(u).sleep(u);
}

void wake(SchedUnit& u) {
    if (trace::on()) [[unlikely]]
        record(xen::TRC_SCHED_WAKE, u);
    policy_of(u).wake(u);
}

void unpause(SchedUnit& u) {
    if (u.pause_count.fetch_sub(1, std::memory_order_seq_cst) == 1) wake(u);
}

/// An idle unit's is under the lock of its CPU's policy, which may change meanwhile.
[[gnu::noinline, gnu::cold]] static xen::VcpuRunstateInfo runstate_of_idle(const SchedUnit& u) {
    for (;;) {
        const Scheduler& policy = policy_on(u.cpu.load(std::memory_order_acquire));
        const xen::VcpuRunstateInfo info = policy.runstate_at_change(u);
        if (&policy == &policy_on(u.cpu.load(std::memory_order_acquire))) return info;
    }
}

xen::VcpuRunstateInfo runstate(const SchedUnit& u) {
    xen::VcpuRunstateInfo info = u.idle ? runstate_of_idle(u) : policy_of(u).runstate_at_change(u);
    const int64_t more = clock::now().n - static_cast<int64_t>(info.state_entry_time);
    if (more > 0) info.time[info.state & 3] += static_cast<uint64_t>(more);
    return info;
}

Nanos runtime(const SchedUnit& u) { return {static_cast<int64_t>(runstate(u).time[xen::RUNSTATE_running])}; }

}  // namespace hv::sched
