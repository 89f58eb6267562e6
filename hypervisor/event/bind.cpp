// SPDX-License-Identifier: Apache-2.0
/// Opening ports, moving them between vCPUs, asking about them.
#include "hypervisor/arch/x86/speculation.hpp"
#include "hypervisor/event/internal.hpp"
#include "hypervisor/irq/pirq.hpp"

namespace hv {

using event::alloc_port;
using event::open_port;
using event::port_opened;

bool virq_is_global(uint32_t virq) {
    switch (virq) {
        case xen::VIRQ_TIMER:
        case xen::VIRQ_DEBUG:
        case xen::VIRQ_XENOPROF:
        case xen::VIRQ_XENPMU: return false;
        default: return true;
    }
}

Result<Port> event_alloc_unbound(Domain& d, DomId remote) {
    EventChannels& e = *d.events;
    Guard g(e.lock);
    EventPort* p = TRY(alloc_port(d, e));
    p->unbound.remote_dom = remote;
    port_opened(e, *p, PortState::unbound);
    return Port(p->number);
}

Result<Port> event_bind_interdomain(Domain& d, Domain& remote, Port remote_port) {
    EventChannels& e = *d.events;
    EventChannels& r = *remote.events;
    Guard2 g(e.lock, r.lock);
    EventPort* rp = TRY(open_port(r, remote_port.raw));
    if (rp->state != PortState::unbound || rp->unbound.remote_dom != d.id) return Err{Errc::inval};
    if (remote.dying.load(std::memory_order_acquire) != DyingState::alive) return Err{Errc::inval};
    EventPort* p = TRY(alloc_port(d, e));
    p->remote = {&remote, rp};
    port_opened(e, *p, PortState::interdomain);
    rp->remote = {&d, p};
    rp->state = PortState::interdomain;
    // Sends to the unbound port were dropped: let the newcomer look once.
    event::set_pending(d, *p);
    return Port(p->number);
}

Result<Port> event_bind_virq(Domain& d, uint32_t virq, VcpuId vcpu) {
    if (virq >= xen::NR_VIRQS || (virq_is_global(virq) && vcpu.raw != 0)) return Err{Errc::inval};
    virq = static_cast<uint32_t>(clamp_index(virq, xen::NR_VIRQS));
    Vcpu* v = d.vcpu(vcpu);
    if (!v) return Err{Errc::noent};
    EventChannels& e = *d.events;
    Guard g(e.lock);
    if (v->virq_port[virq]) return Err{Errc::exist};
    EventPort* p = TRY(alloc_port(d, e));
    p->virq = virq;
    p->notify_vcpu.store(vcpu.raw, std::memory_order_relaxed);
    port_opened(e, *p, PortState::virq);
    __atomic_store_n(&v->virq_port[virq], p->number, __ATOMIC_RELEASE);
    return Port(p->number);
}

Result<Port> event_bind_ipi(Domain& d, VcpuId vcpu) {
    if (!d.vcpu(vcpu)) return Err{Errc::noent};
    EventChannels& e = *d.events;
    Guard g(e.lock);
    EventPort* p = TRY(alloc_port(d, e));
    p->notify_vcpu.store(vcpu.raw, std::memory_order_relaxed);
    port_opened(e, *p, PortState::ipi);
    return Port(p->number);
}

namespace {

/// Who drives the machine may have any interrupt, others what was mapped for them, as long as the right is theirs.
bool may_bind(Domain& d, uint32_t pirq) {
    if (d.privileged) return true;
    const auto number = pirq_machine_number(d.pirqs, pirq);
    return number && d.irqs.contains(number.value(), number.value());
}

}  // namespace

Result<Port> event_bind_pirq(Domain& d, uint32_t pirq) {
    if (pirq >= max_pirqs) return Err{Errc::inval};
    if (!may_bind(d, pirq)) return Err{Errc::perm};
    pirq = static_cast<uint32_t>(clamp_index(pirq, max_pirqs));
    EventChannels& e = *d.events;
    Guard g(e.lock);
    uint32_t*& chunk = e.pirq_ports[pirq / EventChannels::pirq_chunk];
    if (!chunk) chunk = TRY(make_array<uint32_t>(EventChannels::pirq_chunk));
    uint32_t& slot = chunk[pirq % EventChannels::pirq_chunk];
    if (slot) return Err{Errc::exist};
    EventPort* p = TRY(alloc_port(d, e));
    // An interrupt may come as soon as it is routed; it waits for our lock and then finds the port.
    // Old kernels of dom0 bind a GSI without mapping it first.
    TRY(pirq_bind(d.pirqs, pirq, d.privileged ? Unmapped::is_gsi : Unmapped::refuse));
    p->pirq = pirq;
    port_opened(e, *p, PortState::pirq);
    slot = p->number;
    return Port(p->number);
}

Status event_bind_vcpu(Domain& d, Port port, VcpuId vcpu) {
    if (!d.vcpu(vcpu)) return Err{Errc::noent};
    EventChannels& e = *d.events;
    Guard g(e.lock);
    EventPort* p = TRY(open_port(e, port.raw));
    switch (p->state) {
        case PortState::virq:
            if (!virq_is_global(p->virq)) return Err{Errc::inval};
            break;
        case PortState::unbound:
        case PortState::interdomain:
        case PortState::pirq: break;
        default: return Err{Errc::inval};
    }
    p->notify_vcpu.store(vcpu.raw, std::memory_order_relaxed);
    return ok;
}

Status event_status(Domain& d, Port port, xen::EvtchnStatus& out) {
    EventChannels& e = *d.events;
    Guard g(e.lock);
    EventPort* p = event::find_port(e, port.raw);
    if (!p) return Err{Errc::inval};
    out.vcpu = p->notify_vcpu.load(std::memory_order_relaxed);
    switch (p->state) {
        case PortState::free:
        case PortState::reserved: out.status = xen::EVTCHNSTAT_closed; break;
        case PortState::unbound:
            out.status = xen::EVTCHNSTAT_unbound;
            out.u.unbound.dom = p->unbound.remote_dom.raw;
            break;
        case PortState::interdomain:
            out.status = xen::EVTCHNSTAT_interdomain;
            out.u.interdomain.dom = p->remote.domain->id.raw;
            out.u.interdomain.port = p->remote.port->number;
            break;
        case PortState::pirq:
            out.status = xen::EVTCHNSTAT_pirq;
            out.u.pirq = p->pirq;
            break;
        case PortState::virq:
            out.status = xen::EVTCHNSTAT_virq;
            out.u.virq = p->virq;
            break;
        case PortState::ipi: out.status = xen::EVTCHNSTAT_ipi; break;
    }
    return ok;
}

}  // namespace hv
