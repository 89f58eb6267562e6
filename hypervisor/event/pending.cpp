// SPDX-License-Identifier: Apache-2.0
/// From "something happened" to a pending port and a woken vCPU: sends, virqs, pirqs, unmask, pollers.
#include "hypervisor/domain/run.hpp"
#include "hypervisor/event/internal.hpp"
#include "hypervisor/irq/pirq.hpp"

namespace hv {

namespace event {

namespace {

/// A vCPU in SCHEDOP_poll wants to know even of masked ports, and need not be the port's own vCPU.
void wake_pollers(Domain& d, uint32_t number) {
    for (uint32_t i = 0; i < d.limits.max_vcpus; ++i) {
        Vcpu* v = d.vcpus[i];
        if (!v || !v->polling.load(std::memory_order_seq_cst)) continue;
        const uint32_t port = v->poll_port.load(std::memory_order_relaxed);
        if (port == number || port == ~0u) vcpu_unblock(*v);
    }
}

}  // namespace

void wake_all_pollers(Domain& d) {
    if (!d.pollers.load(std::memory_order_seq_cst)) return;
    for (uint32_t i = 0; i < d.limits.max_vcpus; ++i)
        if (Vcpu* v = d.vcpus[i]; v && v->polling.load(std::memory_order_seq_cst)) vcpu_unblock(*v);
}

namespace {

struct Bit {
    uint32_t word;
    uint64_t mask;
    explicit Bit(uint32_t n) : word(n / 64 % 64), mask(uint64_t{1} << (n % 64)) {}
};

/// The second half of "pending and not masked" in the two-level ABI.
void select_word(Domain& d, const EventPort& p, Bit b) {
    Vcpu* v = d.vcpu(VcpuId(p.notify_vcpu.load(std::memory_order_relaxed)));
    if (!v) return;
    xen::VcpuInfo* info = v->info.load(std::memory_order_acquire);
    const uint64_t sel = uint64_t{1} << b.word;
    if (!(word_or(&info->evtchn_pending_sel, sel) & sel)) vcpu_mark_events_pending(*v);
}

/// False when the port was pending before.
bool two_level_set_pending(Domain& d, EventPort& p) {
    xen::SharedInfo* s = d.shared;
    if (!s) return false;
    const Bit b(p.number);
    if (word_or(&s->evtchn_pending[b.word], b.mask) & b.mask) return false;
    if (!(word_load(&s->evtchn_mask[b.word]) & b.mask)) select_word(d, p, b);
    return true;
}

void two_level_unmask(Domain& d, EventPort& p) {
    xen::SharedInfo* s = d.shared;
    if (!s) return;
    const Bit b(p.number);
    const bool was_masked = word_and(&s->evtchn_mask[b.word], ~b.mask) & b.mask;
    if (was_masked && (word_load(&s->evtchn_pending[b.word]) & b.mask)) select_word(d, p, b);
}

}  // namespace

void set_pending(Domain& d, EventPort& p) {
    FifoState* f = d.events->fifo.load(std::memory_order_acquire);
    if (!f) {
        if (!two_level_set_pending(d, p)) return;
        // The domain may change to FIFO under our hands: whoever comes second carries the event over.
        f = d.events->fifo.load(std::memory_order_seq_cst);
    }
    if (f) fifo_set_pending(d, *f, p);
    if (d.pollers.load(std::memory_order_seq_cst)) [[unlikely]]
        wake_pollers(d, p.number);
}

void clear_pending(Domain& d, EventPort& p) {
    if (FifoState* f = d.events->fifo.load(std::memory_order_acquire)) return fifo_clear_pending(*f, p);
    const Bit b(p.number);
    if (d.shared) word_and(&d.shared->evtchn_pending[b.word], ~b.mask);
}

bool is_pending(Domain& d, EventPort& p) {
    if (FifoState* f = d.events->fifo.load(std::memory_order_acquire)) return fifo_is_pending(*f, p);
    const Bit b(p.number);
    return d.shared && (word_load(&d.shared->evtchn_pending[b.word]) & b.mask);
}

}  // namespace event

Status event_send(Domain& d, Port port) {
    EventChannels& e = *d.events;
    Guard g(e.lock);
    EventPort* p = event::find_port(e, port.raw);
    if (!p) return Err{Errc::inval};
    switch (p->state) {
        case PortState::interdomain: event::set_pending(*p->remote.domain, *p->remote.port); return ok;
        case PortState::ipi: event::set_pending(d, *p); return ok;
        case PortState::unbound: return ok;  // the peer is not there (yet): the signal goes nowhere
        default: return Err{Errc::inval};
    }
}

Status event_unmask(Domain& d, Port port) {
    EventChannels& e = *d.events;
    Guard g(e.lock);
    EventPort* p = TRY(event::open_port(e, port.raw));
    if (FifoState* f = e.fifo.load(std::memory_order_acquire)) event::fifo_unmask(d, *f, *p);
    else event::two_level_unmask(d, *p);
    return ok;
}

void send_virq(Vcpu& v, uint32_t virq) {
    if (virq >= xen::NR_VIRQS || !__atomic_load_n(&v.virq_port[virq], __ATOMIC_RELAXED)) return;
    Domain& d = v.domain;
    EventChannels& e = *d.events;
    Guard g(e.lock);
    EventPort* p = event::find_port(e, __atomic_load_n(&v.virq_port[virq], __ATOMIC_RELAXED));
    if (p && p->state == PortState::virq) event::set_pending(d, *p);
}

void send_global_virq(Domain& to, uint32_t virq) {
    Vcpu* v = to.vcpu(VcpuId(0));  // where bind_virq keeps the port of a global virq
    if (v && to.events) send_virq(*v, virq);
}

void send_pirq(Domain& d, uint32_t pirq) {
    if (pirq >= max_pirqs || !d.events) return;
    EventChannels& e = *d.events;
    Guard g(e.lock);
    const uint32_t* chunk = e.pirq_ports[pirq / EventChannels::pirq_chunk];
    EventPort* p = chunk ? event::find_port(e, chunk[pirq % EventChannels::pirq_chunk]) : nullptr;
    if (p && p->state == PortState::pirq) event::set_pending(d, *p);
}

Result<bool> event_port_pending(Domain& d, Port port) {
    EventChannels& e = *d.events;
    Guard g(e.lock);
    EventPort* p = TRY(event::open_port(e, port.raw));
    return event::is_pending(d, *p);
}

}  // namespace hv
