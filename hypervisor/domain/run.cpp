// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/domain/run.hpp"

#include "hypervisor/domain/domain.hpp"
#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/sched/scheduler.hpp"
#include "hypervisor/trace/trace.hpp"

namespace hv {

namespace {

/// A guest's periodic timer ticks only while its vCPU runs.
void stop_ticks(Vcpu& v) {
    if (!v.idle && v.period.n > 0) timer::stop(v.periodic);
}
void start_ticks(Vcpu& v, unsigned cpu) {
    if (!v.idle && v.period.n > 0) timer::set(v.periodic, v.periodic_last + v.period, cpu);
}

HV_ASIDE void record_of_current(uint32_t event) {
    const Vcpu& v = current();
    trace::event(event, uint32_t{v.domain.id.raw}, uint32_t{v.id.raw});
}

}  // namespace

void vcpu_block_current() {
    Vcpu& v = current();
    v.pause_flags.fetch_or(vpf_blocked, std::memory_order_seq_cst);
    // An event that came before the flag was set did not wake us.
    if (vcpu_upcall_due(v)) v.pause_flags.fetch_and(~uint32_t{vpf_blocked}, std::memory_order_seq_cst);
    else this_cpu().raise(SoftIrq::schedule);
    if (trace::on()) [[unlikely]]
        record_of_current(xen::TRC_SCHED_BLOCK);
}

void vcpu_yield_current() {
    if (trace::on()) [[unlikely]]
        record_of_current(xen::TRC_SCHED_YIELD);
    sched::policy_of(current()).yield(current());
}

void vcpu_unblock(Vcpu& v) {
    if (v.polling.load(std::memory_order_relaxed) && v.polling.exchange(false, std::memory_order_seq_cst))
        v.domain.pollers.fetch_sub(1, std::memory_order_seq_cst);
    if (!(v.pause_flags.load(std::memory_order_seq_cst) & vpf_blocked)) return;
    if (v.pause_flags.fetch_and(~uint32_t{vpf_blocked}, std::memory_order_seq_cst) & vpf_blocked) sched::wake(v);
}

void schedule() {
    Cpu& c = this_cpu();
    Vcpu& prev = *c.current;
    Vcpu& next = static_cast<Vcpu&>(sched::pick_next(prev));
    if (&next == &prev) return;

    stop_ticks(prev);
    if (!prev.idle) guest_write_runstate(prev);
    arch::switch_to(prev, next);
    sched::policy_of(prev).switched_out(prev);  // from here on prev may run anywhere else
    start_ticks(next, c.id);
    if (next.idle) return;
    vcpu_update_time(next);
    guest_write_runstate(next);
}

}  // namespace hv
