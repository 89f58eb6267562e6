// SPDX-License-Identifier: Apache-2.0
/// The scheduler's glue: blocking, pausing, switching, and how long vCPUs were in each run state.
#include <cstring>

#include "abi/xen/basic.hpp"
#include "hypervisor/domain/domain.hpp"
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

/// A guest's periodic timer ticks only while its vCPU runs.
void stop_ticks(Vcpu& v) {
    if (!v.idle && v.period.n > 0) timer::stop(v.periodic);
}
void start_ticks(Vcpu& v, unsigned cpu) {
    if (!v.idle && v.period.n > 0) timer::set(v.periodic, v.periodic_last + v.period, cpu);
}

}  // namespace

void init(const char* name) {
    if (name && *name && !equal(name, "credit2") && !equal(name, "fair"))
        log(LogLevel::warning, "Unknown scheduler \"%s\": using credit2", name);
    log(LogLevel::info, "Using scheduler: %s", the_scheduler.name());
}

void init_cpu(unsigned cpu) {
    the_scheduler.init_cpu(cpu);
    if (slice_timers[cpu]) return;
    auto t = make<Timer>(slice_ended, nullptr);
    if (!t) panic("No memory for the scheduler of CPU %u", cpu);
    slice_timers[cpu] = std::move(t).take();
    slice_timers[cpu]->cpu.store(cpu, std::memory_order_relaxed);
}

Scheduler& scheduler() { return the_scheduler; }
FairScheduler& fair() { return the_scheduler; }

void end_slice_at(unsigned cpu, Nanos t) { timer::set(*slice_timers[cpu], t, cpu); }

void reschedule(unsigned cpu) {
    constexpr auto bit = static_cast<uint32_t>(SoftIrq::schedule);
    Cpu& c = cpus[cpu];
    if (c.pending.fetch_or(bit, std::memory_order_seq_cst) & bit) return;  // it has been told
    if (&c != &this_cpu()) arch::kick(cpu);
}

// -- block, pause -----------------------------------------------------------------------------------------------------

void block_current() {
    Vcpu& v = current();
    v.pause_flags.fetch_or(vpf_blocked, std::memory_order_seq_cst);
    // An event that came before the flag was set did not wake us.
    if (vcpu_upcall_due(v))
        v.pause_flags.fetch_and(~uint32_t{vpf_blocked}, std::memory_order_seq_cst);
    else
        this_cpu().raise(SoftIrq::schedule);
}

void yield_current() { the_scheduler.yield(current()); }

void unblock(Vcpu& v) {
    if (v.polling.load(std::memory_order_relaxed) && v.polling.exchange(false, std::memory_order_seq_cst))
        v.domain.pollers.fetch_sub(1, std::memory_order_seq_cst);
    if (!(v.pause_flags.load(std::memory_order_seq_cst) & vpf_blocked)) return;
    if (v.pause_flags.fetch_and(~uint32_t{vpf_blocked}, std::memory_order_seq_cst) & vpf_blocked) the_scheduler.wake(v);
}

void pause_nosync(Vcpu& v) {
    if (v.pause_count.fetch_add(1, std::memory_order_seq_cst) == 0) the_scheduler.sleep(v);
}

void pause(Vcpu& v) {
    HV_DEBUG_ASSERT(&v != &current());
    pause_nosync(v);
    while (v.running_on.load(std::memory_order_acquire) >= 0) detail::spin_wait();
}

void unpause(Vcpu& v) {
    if (v.pause_count.fetch_sub(1, std::memory_order_seq_cst) == 1) the_scheduler.wake(v);
}

void affinity_changed(Vcpu& v) { the_scheduler.affinity_changed(v); }

uint32_t ratelimit_us() { return the_scheduler.ratelimit_us.load(std::memory_order_relaxed); }
void set_ratelimit_us(uint32_t us) { the_scheduler.ratelimit_us.store(us, std::memory_order_relaxed); }

// -- the switch -------------------------------------------------------------------------------------------------------

void schedule() {
    Cpu& c = this_cpu();
    c.pending.fetch_and(~static_cast<uint32_t>(SoftIrq::schedule), std::memory_order_seq_cst);
    Vcpu& prev = *c.current;
    const Nanos now = clock::now();
    const SchedDecision d = the_scheduler.pick(c.id, prev, now);
    if (d.slice != Nanos::never()) timer::set(*slice_timers[c.id], now + d.slice, c.id);
    Vcpu& next = *d.next;
    if (&next == &prev) return;

    stop_ticks(prev);
    if (!prev.idle) update_guest_runstate(prev);
    arch::switch_to(prev, next);
    the_scheduler.switched_out(prev);  // from here on prev may run anywhere else
    start_ticks(next, c.id);
    if (next.idle) return;
    vcpu_update_time(next);
    update_guest_runstate(next);
}

// -- run states -------------------------------------------------------------------------------------------------------

xen::VcpuRunstateInfo runstate_at_change(const Vcpu& v) { return the_scheduler.snapshot(v); }

xen::VcpuRunstateInfo runstate(const Vcpu& v) {
    xen::VcpuRunstateInfo info = the_scheduler.snapshot(v);
    const int64_t more = clock::now().n - static_cast<int64_t>(info.state_entry_time);
    if (more > 0) info.time[info.state & 3] += static_cast<uint64_t>(more);
    return info;
}

Nanos runtime(const Vcpu& v) { return {static_cast<int64_t>(runstate(v).time[xen::RUNSTATE_running])}; }

}  // namespace hv::sched
