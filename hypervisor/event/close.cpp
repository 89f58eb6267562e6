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
        pirq_unbind(d.pirqs, p.pirq);
        e.pirq_ports[p.pirq / EventChannels::pirq_chunk][p.pirq % EventChannels::pirq_chunk] = 0;
    }
    if (p.state == PortState::virq) {
        // A global one is kept with vCPU 0, whichever it is sent to; the others never move.
        const VcpuId at(virq_is_global(p.virq) ? 0 : p.notify_vcpu.load(std::memory_order_relaxed));
        if (Vcpu* v = d.vcpu(at)) __atomic_store_n(&v->virq_port[p.virq], 0, __ATOMIC_RELEASE);
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

/// Errors: inval, restart (the peers bind and close as fast as we look).
Status close(Domain& d, uint32_t number) {
    EventChannels& e = *d.events;
    constexpr int most_attempts = 16;
    for (int attempt = 0; attempt < most_attempts; ++attempt) {
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
    return Err{Errc::restart};
}

}  // namespace

namespace {

/// The port that close_all() comes to next: 0 when it is not open, or when the round is over and a new one begins.
uint32_t next_to_close(EventChannels& e, bool& none_left) {
    Guard g(e.lock);
    none_left = e.in_use == 0;
    const uint32_t n = e.close_cursor++;
    const EventPort* p = find_port(e, n);
    if (!p || none_left) e.close_cursor = 1;
    return p && p->state != PortState::free ? n : 0;
}

}  // namespace

Status close_all(Domain& d) {
    EventChannels& e = *d.events;
    constexpr unsigned ports_per_step = 32;  // open or not
    for (unsigned looked = 1;; ++looked) {
        bool none_left = false;
        const uint32_t n = next_to_close(e, none_left);
        if (none_left) return ok;
        if (n) (void)close(d, n);  // when its peer was quicker it is unbound now: the next round takes it
        if (looked % ports_per_step == 0 && arch::preempt_wanted()) return Err{Errc::restart};
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
    if (to) send_global_virq(*to, virq);
    else if (dom0) send_global_virq(*dom0, virq);
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
