// SPDX-License-Identifier: Apache-2.0
/// What the files of event/ share.
#pragma once

#include <type_traits>

#include "hypervisor/arch/x86/speculation.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/mm/dirty.hpp"

namespace hv::event {

// Words that guests share with us: every access is atomic. Sequentially consistent where a guest (or a poller) on another
// CPU writes one word and reads another while we do the opposite.
template <class Word>
Word word_or(Word* w, std::type_identity_t<Word> bits) {
    const Word old = __atomic_fetch_or(w, bits, __ATOMIC_SEQ_CST);
    dirtied_shared(w);
    return old;
}
template <class Word>
Word word_and(Word* w, std::type_identity_t<Word> bits) {
    const Word old = __atomic_fetch_and(w, bits, __ATOMIC_SEQ_CST);
    dirtied_shared(w);
    return old;
}
template <class Word>
Word word_load(const Word* w) {
    return __atomic_load_n(w, __ATOMIC_SEQ_CST);
}
inline void word_store(uint32_t* w, uint32_t v) {
    __atomic_store_n(w, v, __ATOMIC_SEQ_CST);
    dirtied_shared(w);
}
inline bool word_cas(uint32_t* w, uint32_t& expected, uint32_t desired) {
    const bool done = __atomic_compare_exchange_n(w, &expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    if (done) dirtied_shared(w);
    return done;
}

// -- ports.cpp --------------------------------------------------------------------------------------------------------
/// The port object with this number, whatever its state; null beyond what exists.
inline EventPort* find_port(EventChannels& e, uint32_t number) REQUIRES(e.lock) {
    const uint64_t count = uint64_t{e.bucket_count} * PortBucket::size;
    if (number >= count) return nullptr;
    const uint64_t n = clamp_index(number, count);
    return &e.buckets[n / PortBucket::size].ports[n % PortBucket::size];
}
/// The same for an open port. Errors: inval.
inline Result<EventPort*> open_port(EventChannels& e, uint32_t number) REQUIRES(e.lock) {
    EventPort* p = find_port(e, number);
    if (!p || p->state == PortState::free || p->state == PortState::reserved) return Err{Errc::inval};
    return p;
}
/// A free port, still in state free: the caller sets the state. Errors: nospc, nomem, inval when dying.
Result<EventPort*> alloc_port(Domain& d, EventChannels& e) REQUIRES(e.lock);
/// To be called with each port that alloc_port() gave, once its state is set.
void port_opened(EventChannels& e, EventPort& p, PortState s) REQUIRES(e.lock);
void free_port(Domain& d, EventChannels& e, EventPort& p) REQUIRES(e.lock);
/// Every lingering port is ready: the queues are gone.
void end_lingering(EventChannels& e) REQUIRES(e.lock);

// -- pending.cpp ------------------------------------------------------------------------------------------------------
/// Makes the port pending and tells its vCPU. Locks: one that keeps the port open (its own domain's, or the peer's).
void set_pending(Domain& d, EventPort& p);
/// Wakes every vCPU in SCHEDOP_poll, whatever it waits for: it looks again.
void wake_all_pollers(Domain& d);
void clear_pending(Domain& d, EventPort& p);
bool is_pending(Domain& d, EventPort& p);

// -- close.cpp --------------------------------------------------------------------------------------------------------
/// Closes all ports. Errors: restart.
Status close_all(Domain& d);
/// Gives up the global virqs that `d` handles.
void drop_virq_handlers(Domain& d);

// -- fifo.cpp ---------------------------------------------------------------------------------------------------------
void fifo_set_pending(Domain& d, FifoState& f, EventPort& p);
void fifo_clear_pending(FifoState& f, EventPort& p);
bool fifo_is_pending(FifoState& f, EventPort& p);
void fifo_unmask(Domain& d, FifoState& f, EventPort& p);
/// True while the guest has not taken a free port's word from its queue: the number cannot be used again yet.
bool fifo_port_busy(FifoState& f, const EventPort& p);
/// Frees everything; back to the two-level ABI. All ports are closed.
void fifo_destroy(Domain& d, EventChannels& e) REQUIRES(e.lock);

}  // namespace hv::event
