// SPDX-License-Identifier: Apache-2.0
/// Domains come to life, stop, die.
#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/hypercall/domctl/domctl.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv::domctl {

Status destroydomain(const Call& c) {
    const auto s = domain_kill(c.d);
    if (s) return ok;
    if (s.error() == Errc::restart) return c.again();
    return Err{s.error()};
}

Status pausedomain(const Call& c) { return domain_pause_by_controller(c.d); }

Status unpausedomain(const Call& c) { return domain_unpause_by_controller(c.d); }

Status resumedomain(const Call& c) {
    domain_resume(c.d);
    return ok;
}

Status max_vcpus(const Call& c) {
    // The number was fixed when the domain was made; this call makes them.
    if (c.op.u.max_vcpus.max != c.d.limits.max_vcpus || c.on_self()) return Err{Errc::inval};
    for (uint32_t i = 0; i < c.d.limits.max_vcpus; ++i) {
        if (c.d.vcpus[i]) continue;
        TRY(vcpu_create(c.d, VcpuId(i)));
        if (i + 1 < c.d.limits.max_vcpus && arch::preempt_wanted()) return c.again();
    }
    return ok;
}

Status setdomainhandle(const Call& c) {
    Guard g(c.d.lock);
    memcpy(c.d.handle, c.op.u.setdomainhandle.handle.bytes, sizeof c.d.handle);
    return ok;
}

Status setdebugging(const Call& c) {
    c.d.debugger_attached.store(c.op.u.setdebugging.enable != 0, std::memory_order_release);
    return ok;
}

Status settimeoffset(const Call& c) {
    c.d.time_offset_seconds = static_cast<uint64_t>(c.op.u.settimeoffset.time_offset_seconds);
    domain_update_wallclock(c.d);
    return ok;
}

/// An NMI; the buttons for power and sleep are those of machines with ACPI, and nobody can reset or initialise a processor from outside.
Status sendtrigger(const Call& c) {
    const xen::DomctlSendTrigger& t = c.op.u.sendtrigger;
    const auto found = c.vcpu(t.vcpu);
    if (!found) return Err{Errc::srch};
    Vcpu& v = *found.value();
    switch (t.trigger) {
        case xen::XEN_DOMCTL_SENDTRIGGER_NMI:
            c.d.kind.inject_nmi(v);
            vcpu_kick(v);
            return ok;
        case xen::XEN_DOMCTL_SENDTRIGGER_POWER:
        case xen::XEN_DOMCTL_SENDTRIGGER_SLEEP: return Err{Errc::inval};
        default: return Err{Errc::nosys};
    }
}

Status subscribe(const Call& c) {
    c.d.suspend_port.store(c.op.u.subscribe.port, std::memory_order_release);
    return ok;
}

Status tsc_info(const Call& c) {
    xen::DomctlTscInfo& t = c.op.u.tsc_info;
    if (c.op.cmd == xen::XEN_DOMCTL_gettscinfo) {
        t.tsc_mode = c.d.tsc_mode;
        t.gtsc_khz = static_cast<uint32_t>(clock::tsc_khz);
        t.incarnation = c.d.tsc_incarnation;
        t.elapsed_nsec = static_cast<uint64_t>(clock::now().n) + c.d.tsc_elapsed_before;
        t.pad = 0;
        return c.done();
    }
    if (c.on_self()) return Err{Errc::inval};
    // Modes: 0 as the hypervisor thinks right, 1 always emulated, 2 never. Guests read the TSC itself in all of them.
    constexpr uint32_t always_emulated = 1, never_emulated = 2;
    if (t.tsc_mode > never_emulated) return Err{Errc::inval};
    if (t.tsc_mode == always_emulated)
        guest_log(LogLevel::warning, "d%u: an emulated TSC was asked for; the machine's is used", unsigned{c.d.id.raw});
    Paused p(c);
    c.d.tsc_mode = t.tsc_mode;
    c.d.tsc_incarnation = t.incarnation + 1;  // of the domain that is made now
    c.d.tsc_elapsed_before = t.elapsed_nsec != 0 ? t.elapsed_nsec - static_cast<uint64_t>(clock::now().n) : 0;
    return ok;
}

}  // namespace hv::domctl
