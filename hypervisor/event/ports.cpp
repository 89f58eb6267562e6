// SPDX-License-Identifier: Apache-2.0
/// The ports of a domain: buckets made on demand, numbers given out lowest first.
///
/// Free ports stand in bit sets of two levels, so that finding one takes the same few steps however many there are, and
/// whatever a guest leaves in its event words: those that cannot be used again yet are set aside and looked at a few at a
/// time.
#include <bit>
#include <cstring>

#include "hypervisor/event/internal.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

namespace event {

namespace {

constexpr unsigned per_bucket = PortBucket::size;
constexpr uint32_t nothing = ~0u;
/// Event words that one search for a free port reads, of each kind.
constexpr unsigned most_looks = 16;

uint32_t last_port(const Domain& d, const EventChannels& e) {
    const uint32_t abi_last =
        (e.fifo.load(std::memory_order_acquire) ? xen::EVTCHN_FIFO_NR_CHANNELS : uint32_t{xen::EVTCHN_2L_NR_CHANNELS}) - 1;
    return d.limits.max_evtchn_port < abi_last ? d.limits.max_evtchn_port : abi_last;
}

Status grow_directory(EventChannels& e) REQUIRES(e.lock) {
    const uint32_t capacity = e.bucket_capacity ? e.bucket_capacity * 2 : 4;
    PortBucket* bigger = TRY(make_array<PortBucket>(capacity));
    if (e.bucket_count) std::memcpy(bigger, e.buckets, e.bucket_count * sizeof(PortBucket));
    destroy_array(e.buckets, e.bucket_capacity);
    e.buckets = bigger;
    e.bucket_capacity = capacity;
    return ok;
}

void set_bit(uint64_t* words, uint32_t n) { words[n / 64] |= uint64_t{1} << (n % 64); }
void clear_bit(uint64_t* words, uint32_t n) { words[n / 64] &= ~(uint64_t{1} << (n % 64)); }

/// The first set bit at or after `from`, below `end`.
uint32_t next_bit(const uint64_t* words, uint32_t from, uint32_t end) {
    for (uint32_t w = from / 64; w * 64 < end; ++w) {
        uint64_t bits = words[w];
        if (w == from / 64) bits &= ~uint64_t{0} << (from % 64);
        if (bits) return w * 64 + static_cast<uint32_t>(std::countr_zero(bits));
    }
    return nothing;
}

/// One of the two sets of free ports.
struct FreeSet {
    uint64_t (PortBucket::*bits)[per_bucket / 64];
    BucketSet EventChannels::*buckets;

    void add(EventChannels& e, uint32_t n) const REQUIRES(e.lock) {
        set_bit(e.buckets[n / per_bucket].*bits, n % per_bucket);
        set_bit((e.*buckets).words, n / per_bucket);
    }
    void remove(EventChannels& e, uint32_t n) const REQUIRES(e.lock) {
        uint64_t* words = e.buckets[n / per_bucket].*bits;
        clear_bit(words, n % per_bucket);
        if (next_bit(words, 0, per_bucket) == nothing) clear_bit((e.*buckets).words, n / per_bucket);
    }
    /// The first port at or after `from`.
    uint32_t next(EventChannels& e, uint32_t from) const REQUIRES(e.lock) {
        uint32_t bucket = from / per_bucket;
        if (bucket >= e.bucket_count) return nothing;
        uint32_t n = next_bit(e.buckets[bucket].*bits, from % per_bucket, per_bucket);
        if (n == nothing) {
            bucket = next_bit((e.*buckets).words, bucket + 1, e.bucket_count);
            if (bucket == nothing) return nothing;
            n = next_bit(e.buckets[bucket].*bits, 0, per_bucket);
        }
        return bucket * per_bucket + n;
    }
};
constexpr FreeSet ready_ports{&PortBucket::ready, &EventChannels::ready};
constexpr FreeSet lingering_ports{&PortBucket::lingering, &EventChannels::lingering};

Status add_bucket(EventChannels& e) REQUIRES(e.lock) {
    if (e.bucket_count == e.bucket_capacity) TRY(grow_directory(e));
    void* memory = TRY(heap::alloc_bytes(per_bucket * sizeof(EventPort)));
    auto* ports = static_cast<EventPort*>(memory);
    const uint32_t first = e.bucket_count * per_bucket;
    for (unsigned i = 0; i < per_bucket; ++i) {
        ::new (&ports[i]) EventPort;
        ports[i].number = first + i;
    }
    e.buckets[e.bucket_count] = {};
    e.buckets[e.bucket_count++].ports = ports;
    for (unsigned i = 0; i < per_bucket; ++i) ready_ports.add(e, first + i);
    if (first == 0) {
        ports[0].state = PortState::reserved;  // port 0 means "none" in many guests' structures
        ready_ports.remove(e, 0);
    }
    return ok;
}

[[gnu::noinline]] bool word_busy(EventChannels& e, FifoState& f, uint32_t n) REQUIRES(e.lock) {
    ++e.words_looked_at;
    return fifo_port_busy(f, e.buckets[n / per_bucket].ports[n % per_bucket]);
}
/// True while the guest has not taken a free port's word from its queue.
bool busy(EventChannels& e, uint32_t n) REQUIRES(e.lock) {
    FifoState* f = e.fifo.load(std::memory_order_acquire);
    return f && word_busy(e, *f, n);
}

void begin_lingering(EventChannels& e, uint32_t n) REQUIRES(e.lock) {
    lingering_ports.add(e, n);
    ++e.lingerers;
}

/// Looks at the lingering ports whose turn it is.
[[gnu::noinline]] void look_at_lingering(EventChannels& e) REQUIRES(e.lock) {
    for (unsigned looks = 0; looks < most_looks; ++looks) {
        uint32_t n = lingering_ports.next(e, e.linger_cursor);
        if (n == nothing) n = lingering_ports.next(e, 0);
        if (n == nothing) return;
        e.linger_cursor = n + 1;
        if (busy(e, n)) continue;
        lingering_ports.remove(e, n);
        --e.lingerers;
        ready_ports.add(e, n);
    }
}

}  // namespace

Result<EventPort*> alloc_port(Domain& d, EventChannels& e) {
    if (d.dying.load(std::memory_order_acquire) != DyingState::alive) return Err{Errc::inval};
    const uint32_t last = last_port(d, e);
    if (e.lingerers != 0) look_at_lingering(e);
    for (unsigned looks = 0; looks < most_looks; ++looks) {
        uint32_t n = ready_ports.next(e, 0);
        if (n == nothing && e.bucket_count * per_bucket <= last) {
            TRY(add_bucket(e));
            n = ready_ports.next(e, 0);
        }
        if (n > last) break;
        if (!busy(e, n)) return &e.buckets[n / per_bucket].ports[n % per_bucket];
        // The guest says LINKED of a port that is on no queue: it waits for its turn like those that are.
        ready_ports.remove(e, n);
        begin_lingering(e, n);
    }
    return Err{Errc::nospc};
}

void port_opened(EventChannels& e, EventPort& p, PortState s) {
    p.state = s;
    ready_ports.remove(e, p.number);
    ++e.in_use;
}

void free_port(Domain& d, EventChannels& e, EventPort& p) {
    clear_pending(d, p);
    p.state = PortState::free;
    p.notify_vcpu.store(0, std::memory_order_relaxed);
    p.priority.store(xen::EVTCHN_FIFO_PRIORITY_DEFAULT, std::memory_order_relaxed);
    p.remote = {nullptr, nullptr};
    --e.in_use;
    if (busy(e, p.number)) begin_lingering(e, p.number);
    else ready_ports.add(e, p.number);
}

void end_lingering(EventChannels& e) {
    for (uint32_t b = 0; (b = next_bit(e.lingering.words, b, e.bucket_count)) != nothing; ++b) {
        PortBucket& bucket = e.buckets[b];
        for (unsigned w = 0; w < per_bucket / 64; ++w) bucket.ready[w] |= std::exchange(bucket.lingering[w], 0);
        set_bit(e.ready.words, b);
    }
    e.lingering = {};
    e.lingerers = 0;
    e.linger_cursor = 0;
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
    while (!event::close_all(d)) {}
    {
        Guard g(e->lock);
        event::fifo_destroy(d, *e);
        HV_ASSERT(e->in_use == 0);
        for (uint32_t i = 0; i < e->bucket_count; ++i)
            heap::free_bytes(e->buckets[i].ports, PortBucket::size * sizeof(EventPort));
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
