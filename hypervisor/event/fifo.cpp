// SPDX-License-Identifier: Apache-2.0
/// The FIFO event ABI. Each port has an event word in pages that the guest gives; words that wait for the guest are linked
/// into one queue per (vCPU, priority), whose heads are in the vCPU's control block.
///
///      control block: ready bits, head[16]        word: P M L B | link (17 bits)
///                        |
///                        head[prio] -> word a -link-> word b (tail: known to us only)
///
/// The guest takes words from the head, clearing LINKED and link together; we append at the tail. When the tail's LINKED
/// is clear the guest has taken it, so the queue is empty and the head is ours to write.
#include <cstring>

#include "hypervisor/event/internal.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

namespace {
constexpr uint32_t w_pending = 1u << xen::EVTCHN_FIFO_PENDING;
constexpr uint32_t w_masked = 1u << xen::EVTCHN_FIFO_MASKED;
constexpr uint32_t w_linked = 1u << xen::EVTCHN_FIFO_LINKED;
constexpr uint32_t w_busy = 1u << xen::EVTCHN_FIFO_BUSY;
constexpr uint32_t w_link = xen::EVTCHN_FIFO_LINK_MASK;
constexpr uint32_t words_per_page = page_size / sizeof(uint32_t);
constexpr uint32_t max_pages = xen::EVTCHN_FIFO_NR_CHANNELS / words_per_page;
}  // namespace

/// A vCPU's queues; Vcpu::fifo.
struct FifoQueues {
    xen::EvtchnFifoControlBlock* block = nullptr;
    WritableRef page;
    uint32_t tail[xen::EVTCHN_FIFO_MAX_QUEUES] = {};
};

struct FifoState {
    Spinlock lock{Rank::evtchn_queue};  ///< queues of all vCPUs, tails, parked ports
    std::atomic<uint32_t*> words[max_pages] = {};
    WritableRef pages[max_pages] GUARDED_BY(lock);
    uint32_t page_count GUARDED_BY(lock) = 0;

    uint32_t* word(uint32_t port) {
        uint32_t* page = words[port / words_per_page % max_pages].load(std::memory_order_acquire);
        return page ? page + port % words_per_page : nullptr;
    }
};

namespace event {

namespace {

FifoQueues* queues_of(Domain& d, uint32_t vcpu) {
    Vcpu* v = d.vcpu(VcpuId(vcpu));
    return v ? static_cast<FifoQueues*>(v->fifo) : nullptr;
}

/// Makes `port` the successor of the word `tail`. False when the guest has taken the tail: the queue is empty.
/// A guest may change a linked word only by (un)masking it and by taking it; BUSY keeps well-behaved ones from doing the
/// former, so that a few attempts are enough. One that plays games loses its event.
bool append(uint32_t* tail, uint32_t port) {
    uint32_t w = word_load(tail);
    for (int attempt = 0; attempt < 5; ++attempt) {
        if (!(w & w_linked)) {
            if (w & w_busy) word_and(tail, ~w_busy);
            return false;
        }
        if (word_cas(tail, w, (w & ~(w_link | w_busy)) | port)) return true;
        w = word_or(tail, w_busy) | w_busy;
    }
    word_and(tail, ~w_busy);
    return true;
}

/// Puts a pending, unmasked word on its queue. Returns the vCPU to tell, if its queue was not ready before.
Vcpu* link(Domain& d, FifoState& f, EventPort& p, uint32_t* word) {
    Guard g(f.lock);
    const uint32_t vcpu = p.notify_vcpu.load(std::memory_order_relaxed);
    const uint8_t priority = p.priority.load(std::memory_order_relaxed);
    FifoQueues* q = queues_of(d, vcpu);
    if (!q) return nullptr;  // no control block: the word stays pending, nobody could read a queue
    if (word_or(word, w_linked) & w_linked) return nullptr;

    // The guest had taken this word. If it was the last of its queue, that queue is empty now, and appending to this word
    // would join two queues.
    if (FifoQueues* old = queues_of(d, p.queued_vcpu); old && old->tail[p.queued_priority] == p.number)
        old->tail[p.queued_priority] = 0;

    bool appended = false;
    if (uint32_t tail = q->tail[priority]) appended = append(f.word(tail), p.number);
    if (!appended) word_store(&q->block->head[priority], p.number);
    q->tail[priority] = p.number;
    p.queued_vcpu = vcpu;
    p.queued_priority = priority;
    if (appended) return nullptr;
    const uint32_t bit = 1u << priority;
    return word_or(&q->block->ready, bit) & bit ? nullptr : d.vcpu(VcpuId(vcpu));
}

void link_and_tell(Domain& d, FifoState& f, EventPort& p, uint32_t* word) {
    if (Vcpu* v = link(d, f, p, word)) vcpu_mark_events_pending(*v);
}

/// A page of the guest's that we and it write. Errors: inval.
Result<WritableRef> take_page(Domain& d, Gfn gfn) {
    auto page = guest_page_to_write(d, gfn);
    if (!page) return Err{Errc::inval};
    return page;
}

/// What was pending in the bitmaps becomes pending in words as soon as these exist.
void carry_over(Domain& d, EventChannels& e, FifoState& f) REQUIRES(e.lock) {
    Guard g(f.lock);
    for (uint32_t n = 1; n < xen::EVTCHN_2L_NR_CHANNELS; ++n) {
        EventPort* p = find_port(e, n);
        if (!p) return;
        p->priority.store(xen::EVTCHN_FIFO_PRIORITY_DEFAULT, std::memory_order_relaxed);
        p->queued_vcpu = 0;
        p->queued_priority = xen::EVTCHN_FIFO_PRIORITY_DEFAULT;
        if (d.shared && (word_load(&d.shared->evtchn_pending[n / 64]) >> (n % 64) & 1)) p->parked = true;
    }
}

}  // namespace

void fifo_set_pending(Domain& d, FifoState& f, EventPort& p) {
    uint32_t* word = f.word(p.number);
    if (!word) {
        Guard g(f.lock);
        word = f.word(p.number);
        if (!word) {
            p.parked = true;
            return;
        }
    }
    if (word_or(word, w_pending) & (w_masked | w_linked)) return;
    link_and_tell(d, f, p, word);
}

void fifo_clear_pending(FifoState& f, EventPort& p) {
    Guard g(f.lock);
    p.parked = false;
    if (uint32_t* word = f.word(p.number)) word_and(word, ~w_pending);
}

bool fifo_is_pending(FifoState& f, EventPort& p) {
    const uint32_t* word = f.word(p.number);
    return word && (word_load(word) & w_pending);
}

void fifo_unmask(Domain& d, FifoState& f, EventPort& p) {
    uint32_t* word = f.word(p.number);
    if (!word) return;
    const uint32_t old = word_and(word, ~w_masked);
    if ((old & w_pending) && !(old & w_linked)) link_and_tell(d, f, p, word);
}

bool fifo_port_busy(FifoState& f, const EventPort& p) {
    const uint32_t* word = f.word(p.number);
    return word && (word_load(word) & w_linked);
}

void fifo_destroy(Domain& d, EventChannels& e) {
    FifoState* f = e.fifo.exchange(nullptr, std::memory_order_acq_rel);
    if (!f) return;
    for (uint32_t i = 0; i < d.limits.max_vcpus; ++i) {
        Vcpu* v = d.vcpus[i];
        auto* q = v ? static_cast<FifoQueues*>(v->fifo) : nullptr;
        if (!q) continue;
        v->fifo = nullptr;
        dirtied(q->page.mfn());
        destroy(q);
    }
    {
        Guard fg(f->lock);
        for (uint32_t i = 0; i < f->page_count; ++i) dirtied(f->pages[i].mfn());
    }
    destroy(f);
    end_lingering(e);
}

}  // namespace event

Status event_init_control(Domain& d, VcpuId vcpu, Gfn page, uint32_t offset) {
    if (offset > page_size - sizeof(xen::EvtchnFifoControlBlock) || offset % 8) return Err{Errc::inval};
    Vcpu* v = d.vcpu(vcpu);
    if (!v) return Err{Errc::noent};
    EventChannels& e = *d.events;
    Guard g(e.lock);
    if (v->fifo || d.dying.load(std::memory_order_acquire) != DyingState::alive) return Err{Errc::inval};
    Owned<FifoState> fresh;
    FifoState* f = e.fifo.load(std::memory_order_acquire);
    if (!f) {
        fresh = Owned<FifoState>(TRY(make<FifoState>()));
        f = fresh.get();
    }
    Owned<FifoQueues> q(TRY(make<FifoQueues>()));
    q->page = TRY(event::take_page(d, page));
    q->block = reinterpret_cast<xen::EvtchnFifoControlBlock*>(q->page.data() + offset);
    event::word_store(&q->block->ready, 0);
    for (uint32_t& head : q->block->head) event::word_store(&head, 0);
    {
        Guard fg(f->lock);
        v->fifo = q.release();
    }
    if (fresh) {
        e.fifo.store(fresh.release(), std::memory_order_seq_cst);
        event::carry_over(d, e, *f);  // after the store: see set_pending()
    }
    return ok;
}

Status event_expand_array(Domain& d, Gfn page) {
    EventChannels& e = *d.events;
    Guard g(e.lock);
    FifoState* f = e.fifo.load(std::memory_order_acquire);
    if (!f) return Err{Errc::nosys};
    uint32_t index = 0;
    {
        Guard fg(f->lock);
        if (f->page_count >= max_pages) return Err{Errc::nospc};
        WritableRef words = TRY(event::take_page(d, page));
        index = f->page_count++;
        f->words[index].store(map_mfn<uint32_t>(words.mfn()), std::memory_order_release);
        f->pages[index] = std::move(words);
    }
    for (uint32_t n = index * words_per_page; n < (index + 1) * words_per_page; ++n) {
        EventPort* p = event::find_port(e, n);
        if (!p) break;
        bool parked = false;
        {
            Guard fg(f->lock);
            parked = std::exchange(p->parked, false);
        }
        if (parked && p->state != PortState::free) event::fifo_set_pending(d, *f, *p);
    }
    // Once, not for each port: there may be as many vCPUs waiting as there are ports.
    event::wake_all_pollers(d);
    return ok;
}

Status event_set_priority(Domain& d, Port port, uint32_t priority) {
    EventChannels& e = *d.events;
    Guard g(e.lock);
    EventPort* p = TRY(event::open_port(e, port.raw));
    if (!e.fifo.load(std::memory_order_acquire)) return Err{Errc::nosys};
    if (priority > xen::EVTCHN_FIFO_PRIORITY_MIN) return Err{Errc::inval};
    p->priority.store(static_cast<uint8_t>(priority), std::memory_order_relaxed);
    return ok;
}

void event_each_page(Domain& d, void (*visit)(void* context, Mfn), void* context) {
    if (!d.events) return;
    Guard g(d.events->lock);
    FifoState* f = d.events->fifo.load(std::memory_order_acquire);
    if (!f) return;
    for (uint32_t i = 0; i < d.limits.max_vcpus; ++i)
        if (d.vcpus[i] && d.vcpus[i]->fifo) visit(context, static_cast<FifoQueues*>(d.vcpus[i]->fifo)->page.mfn());
    Guard fg(f->lock);
    for (uint32_t i = 0; i < f->page_count; ++i) visit(context, f->pages[i].mfn());
}

}  // namespace hv
