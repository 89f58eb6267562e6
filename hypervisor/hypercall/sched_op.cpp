// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_sched_op and HYPERVISOR_set_timer_op: decode, authorise, act.
#include "abi/xen/sched.hpp"

#include "hypervisor/domain/run.hpp"
#include "hypervisor/domain/watchdog.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/row.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/trace/trace.hpp"

namespace hv {

namespace {

constexpr uint32_t max_poll_ports = 128;

void yield(Vcpu&, AnyGuestPtr) { vcpu_yield_current(); }

/// Lets events in and waits for one.
void block(Vcpu& v, AnyGuestPtr) {
    xen::VcpuInfo* info = v.info.load(std::memory_order_acquire);
    __atomic_store_n(&info->evtchn_upcall_mask, uint8_t{0}, __ATOMIC_SEQ_CST);
    dirtied_shared(info);
    vcpu_block_current();
}

Status poll(Vcpu& v, GuestPtr<xen::SchedPoll> p) {
    const auto op = TRY(p.fetch());
    if (op.nr_ports > max_poll_ports) return Err{Errc::inval};
    uint32_t ports[max_poll_ports];
    if (op.nr_ports) TRY(GuestPtr<uint32_t>::of(op.ports).fetch_many(ports, op.nr_ports));

    // First say that we wait, then look: an event that comes between the two finds us waiting.
    v.poll_port.store(op.nr_ports == 1 ? ports[0] : ~0u, std::memory_order_relaxed);
    v.pause_flags.fetch_or(vpf_blocked, std::memory_order_seq_cst);
    v.polling.store(true, std::memory_order_seq_cst);
    v.domain.pollers.fetch_add(1, std::memory_order_seq_cst);

    bool wait = !vcpu_upcall_due(v);
    for (uint32_t i = 0; wait && i < op.nr_ports; ++i) {
        auto pending = event_port_pending(v.domain, Port(ports[i]));
        if (pending && !pending.value()) continue;
        wait = false;
        if (!pending) {
            vcpu_unblock(v);
            return Err{pending.error()};
        }
    }
    if (!wait) {
        vcpu_unblock(v);
        return ok;
    }
    // A time before boot, as a signed one, is over like any other in the past.
    const auto timeout = static_cast<int64_t>(op.timeout);
    if (timeout) timer::set(v.poll_timer, Nanos{timeout < 0 ? 0 : timeout}, this_cpu().id);
    else timer::stop(v.poll_timer);
    this_cpu().raise(SoftIrq::schedule);
    return ok;
}

void record(uint32_t event, const Vcpu& v, uint32_t reason) {
    trace::event(event, uint32_t{v.domain.id.raw}, uint32_t{v.id.raw}, reason);
}

void shut_down(Vcpu& v, uint32_t reason) {
    guest_log(LogLevel::info, "d%u: shuts down, reason %u", unsigned{v.domain.id.raw}, reason);
    record(xen::TRC_SCHED_SHUTDOWN, v, reason);
    domain_shutdown(v.domain, reason & 0xff);
}

Status shutdown(Vcpu& v, GuestPtr<xen::SchedShutdown> p) {
    shut_down(v, TRY(p.fetch()).reason);
    return ok;
}

Status remote_shutdown(Vcpu& v, GuestPtr<xen::SchedRemoteShutdown> p) {
    const auto op = TRY(p.fetch());
    if (!authorised(v.domain, Who::control)) return Err{Errc::perm};
    DomainRef d = TRY(find_domain(DomId(op.domain_id)));
    domain_shutdown(*d, op.reason & 0xff);
    return ok;
}

/// Says what a later SCHEDOP_shutdown will have meant; the first word counts.
Status shutdown_code(Vcpu& v, GuestPtr<xen::SchedShutdown> p) {
    const auto op = TRY(p.fetch());
    record(xen::TRC_SCHED_SHUTDOWN_CODE, v, op.reason);
    Guard g(v.domain.lock);
    uint32_t none = ~0u;
    v.domain.shutdown_code.compare_exchange_strong(none, op.reason & 0xff, std::memory_order_acq_rel);
    return ok;
}

Answer watchdog(Vcpu& v, GuestPtr<xen::SchedWatchdog> p) {
    const auto op = TRY(p.fetch());
    return domain_watchdog(v.domain, op.id, op.timeout);
}

/// `refused`: we keep no second affinity for a vCPU to come back to.
// clang-format off
using OnSched = Operations<
    Op<xen::SCHEDOP_yield,           yield>,
    Op<xen::SCHEDOP_block,           block>,
    Op<xen::SCHEDOP_shutdown,        shutdown>,
    Op<xen::SCHEDOP_poll,            poll>,
    Op<xen::SCHEDOP_remote_shutdown, remote_shutdown>,
    Op<xen::SCHEDOP_shutdown_code,   shutdown_code>,
    Op<xen::SCHEDOP_watchdog,        watchdog>,
    Op<xen::SCHEDOP_pin_override,    refused<Errc::inval>, Who::control>>;
// clang-format on

}  // namespace

Answer hypercall_sched_op(Vcpu& v, uint64_t cmd, AnyGuestPtr arg) { return OnSched::run("sched_op", cmd, v, arg); }

/// The first version of the interface: the argument is a value, not a pointer.
Answer hypercall_sched_op_compat(Vcpu& v, uint64_t cmd, uint64_t arg) {
    switch (cmd) {
        case xen::SCHEDOP_yield: vcpu_yield_current(); return 0;
        case xen::SCHEDOP_block: block(v, AnyGuestPtr::from_reg(arg)); return 0;
        case xen::SCHEDOP_shutdown: shut_down(v, static_cast<uint32_t>(arg)); return 0;
        default: return Err{Errc::nosys};
    }
}

Answer hypercall_set_timer_op(Vcpu& v, int64_t timeout) {
    if (timeout == 0) {
        timer::stop(v.singleshot);
        return 0;
    }
    // Some guests pass wrapped times when work is due, others when there is none for ever: neither "at once" nor "never"
    // is right for both, so both hear back soon.
    const Nanos now = clock::now();
    const bool wrapped = timeout < 0 || (timeout > now.n && (timeout - now.n) >> 50);
    timer::set(v.singleshot, wrapped ? now + Nanos::ms(100) : Nanos{timeout}, this_cpu().id);
    return 0;
}

}  // namespace hv
