// SPDX-License-Identifier: Apache-2.0
/// Pausing, shutting down, crashing.
#include "abi/xen/sched.hpp"
#include "hypervisor/arch/x86/machine.hpp"
#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/domain/internal.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sched/scheduler.hpp"

namespace hv {

namespace {

template <class F>
void each_vcpu(Domain& d, F f) {
    for (uint32_t i = 0; d.vcpus && i < d.limits.max_vcpus; ++i)
        if (Vcpu* v = __atomic_load_n(&d.vcpus[i], __ATOMIC_ACQUIRE)) f(*v);
}

void wait_until_off(Domain& d) {
    Vcpu& self = current();
    each_vcpu(d, [&](Vcpu& v) {
        if (&v == &self) return;
        while (v.running_on.load(std::memory_order_acquire) >= 0) detail::spin_wait();
    });
}

/// The counts change under the lock, which vCPUs may be waiting for: so the wait for them comes after.
void pause(Domain& d) {
    {
        Guard g(d.lock);
        ++d.pause_count;
        each_vcpu(d, [](Vcpu& v) { sched::pause_nosync(v); });
    }
    wait_until_off(d);
}

void unpause(Domain& d) {
    Guard g(d.lock);
    --d.pause_count;
    each_vcpu(d, [](Vcpu& v) { sched::unpause(v); });
}

/// dom0's end is the machine's.
[[noreturn]] void end_machine(uint32_t reason) {
    switch (reason) {
        case xen::SHUTDOWN_poweroff: log(LogLevel::info, "Domain 0 shut down: powering off"); machine_power_off();
        case xen::SHUTDOWN_reboot: log(LogLevel::info, "Domain 0 shut down: rebooting"); machine_restart();
        case xen::SHUTDOWN_crash: machine_failed("Domain 0 crashed");
        case xen::SHUTDOWN_watchdog: machine_failed("Domain 0's watchdog expired");
        default: log(LogLevel::error, "Domain 0 shut down for unknown reason %u: rebooting", reason); machine_restart();
    }
}

}  // namespace

void domain_pause(Domain& d) { pause(d); }
void domain_unpause(Domain& d) { unpause(d); }

void domain_move(Domain& d, CpuPool& to) {
    CpuPool& from = *d.sched.pool.load(std::memory_order_relaxed);
    if (&from == &to) return;
    pause(d);
    sched::default_shares(d.sched);
    d.sched.pool.store(&to, std::memory_order_release);
    each_vcpu(d, [&](Vcpu& v) {
        from.policy->leave(v);
        v.affinity.store(CpuSet::any());
        v.soft_affinity.store(CpuSet::any());
        to.policy->adopt(v, v.id.raw + d.id.raw);
    });
    unpause(d);
}

Status domain_pause_by_controller(Domain& d) {
    constexpr uint32_t most = 255;
    {
        Guard g(d.lock);
        if (d.controller_pauses == most) return Err{Errc::overflow};
        if (d.controller_pauses++ != 0) return ok;
    }
    domain_pause(d);
    return ok;
}

Status domain_unpause_by_controller(Domain& d) {
    {
        Guard g(d.lock);
        if (d.controller_pauses == 0) return Err{Errc::inval};
        if (--d.controller_pauses != 0) return ok;
        d.creation_finished.store(true, std::memory_order_release);
    }
    domain_unpause(d);
    return ok;
}

void domain_shutdown(Domain& d, uint32_t reason) {
    if (&d == dom0) end_machine(reason);
    // No lock: callers may hold any.
    if (d.shutting_down.exchange(true, std::memory_order_acq_rel)) return;
    domain_console_flush(d);
    uint32_t none = ~0u;
    d.shutdown_code.compare_exchange_strong(none, reason, std::memory_order_acq_rel);
    each_vcpu(d, [](Vcpu& v) { sched::pause_nosync(v); });
    d.shut_down.store(true, std::memory_order_release);
    const uint32_t port = d.suspend_port.load(std::memory_order_acquire);
    if (d.shutdown_code.load(std::memory_order_acquire) == xen::SHUTDOWN_suspend && port) (void)event_send(d, Port(port));
    send_global_virq(xen::VIRQ_DOM_EXC);
}

void domain_resume(Domain& d) {
    domain_pause(d);
    if (d.shutting_down.exchange(false, std::memory_order_acq_rel)) {
        d.shut_down.store(false, std::memory_order_release);
        d.shutdown_code.store(~0u, std::memory_order_release);
        each_vcpu(d, [](Vcpu& v) { sched::unpause(v); });
    }
    domain_unpause(d);
}

void domain_report_crash() {
    Vcpu& v = current();
    if (!v.idle && v.domain.log_state.report_due.exchange(false, std::memory_order_acq_rel)) v.domain.kind.report_crash(v);
}

void domain_crash(Domain& d, const char* why, const char* file, int line) {
    static constinit base::RateLimit reports{4, Nanos::s(5)};
    if (d.shutting_down.load(std::memory_order_acquire)) return;
    domain_console_flush(d);
    if (reports.take(clock::now())) {
        if (const uint32_t more = reports.take_refused()) log(LogLevel::error, "%u crashes of domains not shown", more);
        log(LogLevel::error, "domain_crash called from %s:%d", file, line);
        log(LogLevel::error, "d%u crashed: %s", unsigned{d.id.raw}, why);
        const Vcpu* v = this_cpu().current;
        if (v && !v->idle && &v->domain == &d) {
            d.log_state.report_due.store(true, std::memory_order_release);
            // Callers may hold locks, and the stack is guest memory. With dom0 the machine ends: there is no later.
            if (&d == dom0) domain_report_crash();
            else this_cpu().raise(SoftIrq::report);
        }
    }
    domain_shutdown(d, xen::SHUTDOWN_crash);
}

}  // namespace hv
