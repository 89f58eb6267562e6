// SPDX-License-Identifier: Apache-2.0
/// Closing ports, one or all, and who handles the global virqs.
#include "hypervisor/event/internal.hpp"
#include "hypervisor/irq/pirq.hpp"

namespace hv {

namespace event {

namespace {

/// Closes any port but an interdomain one.
void close_local(Domain& d, EventChannels& e, EventPort& p) REQUIRES(e.lock) {
    if (p.state == PortState::pirq) {
        pirq_unbind(d, p.pirq);
        e.pirq_ports[p.pirq / EventChannels::pirq_chunk][p.pirq % EventChannels::pirq_chunk] = 0;
    }
    if (p.state == PortState::virq) {
        for (uint32_t i = 0; i < d.limits.max_vcpus; ++i) {
            Vcpu* v = d.vcpus[i];
            if (v && v->virq_port[p.virq] == p.number) __atomic_store_n(&v->virq_port[p.virq], 0, __ATOMIC_RELEASE);
        }
    }
    free_port(d, e, p);
}

/// Under both locks: the peer's port waits for a new partner.
void close_interdomain(Domain& d, EventChannels& e, EventPort& p) REQUIRES(e.lock) {
    EventPort& peer = *p.remote.port;
    peer.state = PortState::unbound;
    peer.unbound.remote_dom = d.id;
    free_port(d, e, p);
}

Status close(Domain& d, uint32_t number) {
    EventChannels& e = *d.events;
    for (;;) {
        DomainRef remote;
        {
            Guard g(e.lock);
            EventPort* p = TRY(open_port(e, number));
            if (p->state != PortState::interdomain) {
                close_local(d, e, *p);
                return ok;
            }
            remote = DomainRef(*p->remote.domain);  // the binding keeps it alive until here
        }
        // Both locks are needed, in address order; the binding may have gone meanwhile.
        Guard2 g(e.lock, remote->events->lock);
        EventPort* p = TRY(open_port(e, number));
        if (p->state != PortState::interdomain || p->remote.domain != &*remote) continue;
        close_interdomain(d, e, *p);
        return ok;
    }
}

}  // namespace

Status close_all(Domain& d) {
    EventChannels& e = *d.events;
    unsigned closed = 0;
    for (uint32_t n = 1;; ++n) {
        {
            Guard g(e.lock);
            if (!e.in_use) return ok;
            EventPort* p = find_port(e, n);
            while (p && p->state == PortState::free) p = find_port(e, ++n);
            if (!p) n = 0;  // one opened behind us: once more from the start
        }
        if (!n) continue;
        if (!close(d, n)) continue;  // its peer was quicker
        if (++closed % 16 == 0 && arch::preempt_wanted()) return Err{Errc::restart};
    }
}

namespace {
Spinlock handlers_lock{Rank::irq};
Domain* handlers[xen::NR_VIRQS] GUARDED_BY(handlers_lock) = {};  // null: dom0; each entry holds a reference

/// Puts `to` in the place of `from` (null: of anyone); the old one's reference is returned.
DomainRef exchange_handler(uint32_t virq, const Domain* from, Domain* to) {
    Guard g(handlers_lock);
    Domain* old = handlers[virq];
    if (from && old != from) return {};
    if (to) to->references.fetch_add(1, std::memory_order_relaxed);
    handlers[virq] = to;
    return DomainRef::adopt(old);
}
}  // namespace

void drop_virq_handlers(Domain& d) {
    for (uint32_t virq = 0; virq < xen::NR_VIRQS; ++virq) exchange_handler(virq, &d, nullptr);
}

}  // namespace event

Status set_virq_handler(Domain& d, uint32_t virq) {
    if (virq >= xen::NR_VIRQS || !virq_is_global(virq)) return Err{Errc::inval};
    if (d.dying.load(std::memory_order_acquire) != DyingState::alive) return Err{Errc::inval};
    event::exchange_handler(virq, nullptr, &d == dom0 ? nullptr : &d);
    return ok;
}

void send_global_virq(uint32_t virq) {
    if (virq >= xen::NR_VIRQS) return;
    DomainRef to;
    {
        Guard g(event::handlers_lock);
        if (Domain* d = event::handlers[virq]) to = DomainRef(*d);
    }
    if (to)
        send_global_virq(*to, virq);
    else if (dom0)
        send_global_virq(*dom0, virq);
}

Status event_close(Domain& d, Port port) { return event::close(d, port.raw); }

Status event_reset(Domain& d) {
    TRY(event::close_all(d));
    EventChannels& e = *d.events;
    Guard g(e.lock);
    if (e.in_use) return Err{Errc::again};  // the guest opens ports while it resets: its other vCPU must stop first
    event::fifo_destroy(d, e);
    return ok;
}

}  // namespace hv
