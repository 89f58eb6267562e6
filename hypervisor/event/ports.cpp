// SPDX-License-Identifier: Apache-2.0
/// The ports of a domain: buckets made on demand, numbers given out lowest first.
#include <cstring>

#include "hypervisor/event/internal.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

namespace event {

namespace {

constexpr unsigned per_bucket = EventChannels::bucket_ports;

uint32_t last_port(const Domain& d, const EventChannels& e) {
    const uint32_t abi_last =
        (e.fifo.load(std::memory_order_acquire) ? xen::EVTCHN_FIFO_NR_CHANNELS : uint32_t{xen::EVTCHN_2L_NR_CHANNELS}) - 1;
    return d.limits.max_evtchn_port < abi_last ? d.limits.max_evtchn_port : abi_last;
}

Status grow_directory(EventChannels& e) REQUIRES(e.lock) {
    const uint32_t capacity = e.bucket_capacity ? e.bucket_capacity * 2 : 4;
    EventPort** bigger = TRY(make_array<EventPort*>(capacity));
    if (e.bucket_count) std::memcpy(bigger, e.buckets, e.bucket_count * sizeof(EventPort*));
    destroy_array(e.buckets, e.bucket_capacity);
    e.buckets = bigger;
    e.bucket_capacity = capacity;
    return ok;
}

Status add_bucket(EventChannels& e) REQUIRES(e.lock) {
    if (e.bucket_count == e.bucket_capacity) TRY(grow_directory(e));
    void* memory = TRY(heap::alloc_bytes(per_bucket * sizeof(EventPort)));
    auto* ports = static_cast<EventPort*>(memory);
    const uint32_t first = e.bucket_count * per_bucket;
    for (unsigned i = 0; i < per_bucket; ++i) {
        ::new (&ports[i]) EventPort;
        ports[i].number = first + i;
    }
    if (first == 0) ports[0].state = PortState::reserved;  // port 0 means "none" in many guests' structures
    e.buckets[e.bucket_count++] = ports;
    return ok;
}

bool reusable(EventChannels& e, const EventPort& p) {
    if (p.state != PortState::free) return false;
    FifoState* f = e.fifo.load(std::memory_order_acquire);
    return !f || !fifo_port_busy(*f, p);
}

}  // namespace

Result<EventPort*> alloc_port(Domain& d, EventChannels& e) {
    if (d.dying.load(std::memory_order_acquire) != DyingState::alive) return Err{Errc::inval};
    const uint32_t last = last_port(d, e);
    uint32_t first_free = ~0u;  // lowest free port seen, reusable or not
    for (uint32_t n = e.first_maybe_free; n <= last; ++n) {
        if (n / per_bucket >= e.bucket_count) TRY(add_bucket(e));
        EventPort& p = e.buckets[n / per_bucket][n % per_bucket];
        if (p.state == PortState::free && first_free == ~0u) first_free = n;
        if (!reusable(e, p)) continue;
        e.first_maybe_free = first_free;
        return &p;
    }
    return Err{Errc::nospc};
}

void port_opened(EventChannels& e, EventPort& p, PortState s) {
    p.state = s;
    ++e.in_use;
    if (e.first_maybe_free == p.number) ++e.first_maybe_free;
}

void free_port(Domain& d, EventChannels& e, EventPort& p) {
    clear_pending(d, p);
    p.state = PortState::free;
    p.notify_vcpu.store(0, std::memory_order_relaxed);
    p.priority.store(xen::EVTCHN_FIFO_PRIORITY_DEFAULT, std::memory_order_relaxed);
    p.remote = {nullptr, nullptr};
    --e.in_use;
    if (p.number < e.first_maybe_free) e.first_maybe_free = p.number;
}

}  // namespace event

Status events_create(Domain& d) {
    d.events = TRY(make<EventChannels>());
    return ok;
}

Status events_relinquish(Domain& d) {
    if (!d.events) return ok;
    event::drop_virq_handlers(d);
    TRY(event::close_all(d));
    Guard g(d.events->lock);
    event::fifo_destroy(d, *d.events);
    return ok;
}

void events_destroy(Domain& d) {
    EventChannels* e = d.events;
    if (!e) return;
    event::drop_virq_handlers(d);
    while (!event::close_all(d)) {
    }
    {
        Guard g(e->lock);
        event::fifo_destroy(d, *e);
        HV_ASSERT(e->in_use == 0);
        for (uint32_t i = 0; i < e->bucket_count; ++i)
            heap::free_bytes(e->buckets[i], EventChannels::bucket_ports * sizeof(EventPort));
        destroy_array(e->buckets, e->bucket_capacity);
        e->bucket_count = e->bucket_capacity = 0;
        for (uint32_t*& chunk : e->pirq_ports) {
            destroy_array(chunk, EventChannels::pirq_chunk);
            chunk = nullptr;
        }
    }
    d.events = nullptr;
    destroy(e);
}

uint32_t events_in_use(Domain& d) {
    Guard g(d.events->lock);
    return d.events->in_use;
}

}  // namespace hv
