// SPDX-License-Identifier: Apache-2.0
/// FIFO event channels against a guest that follows the protocol, in every interleaving: no event is lost, no queue breaks.
#include "abi/xen/event_channel.hpp"
#include "hypervisor/event/event.hpp"
#include "tests/explore/world.hpp"

namespace {

using namespace explore;

constexpr uint32_t w_pending = 1u << xen::EVTCHN_FIFO_PENDING;
constexpr uint32_t w_masked = 1u << xen::EVTCHN_FIFO_MASKED;
constexpr uint32_t w_linked = 1u << xen::EVTCHN_FIFO_LINKED;
constexpr uint32_t w_link = xen::EVTCHN_FIFO_LINK_MASK;
constexpr unsigned queues = xen::EVTCHN_FIFO_MAX_QUEUES;

/// Domain A, with control blocks for both vCPUs: two ports of its own, and one that domain B sends to.
struct FifoGuest {
    xen::EvtchnFifoControlBlock* block[2];
    uint32_t* words;
    uint32_t own[2];
    uint32_t from_b;
    Port of_b{0};

    FifoGuest() {
        Guest& a = world().a;
        for (unsigned v = 0; v < 2; ++v) {
            const Mfn m = a.page();
            block[v] = map_mfn<xen::EvtchnFifoControlBlock>(m);
            EXPECT_TRUE(event_init_control(a, VcpuId(v), Gfn(m.raw), 0));
        }
        const Mfn m = a.page();
        words = map_mfn<uint32_t>(m);
        EXPECT_TRUE(event_expand_array(a, Gfn(m.raw)));
        for (uint32_t& port : own) port = must(event_bind_ipi(a, VcpuId(0))).raw;
        from_b = must(event_alloc_unbound(a, world().b->id)).raw;
        of_b = must(event_bind_interdomain(world().b, a, Port(from_b)));
        for (unsigned v = 0; v < 2; ++v) a.vcpu(v).info.load()->evtchn_upcall_mask = 0;
    }
};
FifoGuest& guest() {
    static auto* g = new FifoGuest;
    return *g;
}

// -- the guest's side ---------------------------------------------------------------------------------------------------

uint32_t next_of_queue[2][queues];  ///< the guest's own copy of each head; 0: look at the control block
unsigned taken[8];

/// Takes the first word off its queue; returns its successor.
uint32_t unlink(uint32_t port) {
    uint32_t* word = &guest().words[port];
    uint32_t w = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    do {
        check(w & w_linked, "a queue leads to an event that is not linked");
    } while (!__atomic_compare_exchange_n(word, &w, w & ~(w_linked | w_link), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return w & w_link;
}

void handle(uint32_t port) {
    uint32_t* word = &guest().words[port];
    const uint32_t w = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    if (!(w & w_pending) || (w & w_masked)) return;
    __atomic_fetch_and(word, ~w_pending, __ATOMIC_SEQ_CST);
    note("the guest handles port %u", port);
    ++taken[port];
}

void consume(unsigned v) {
    xen::EvtchnFifoControlBlock* block = guest().block[v];
    uint32_t ready = __atomic_exchange_n(&block->ready, 0u, __ATOMIC_SEQ_CST);
    for (unsigned turns = 0; ready; ++turns) {
        check(turns < 40, "a queue has no end");
        const auto q = static_cast<unsigned>(__builtin_ctz(ready));
        uint32_t port = next_of_queue[v][q];
        if (!port) port = __atomic_load_n(&block->head[q], __ATOMIC_ACQUIRE);
        const uint32_t next = unlink(port);
        if (!next) ready &= ~(1u << q);
        next_of_queue[v][q] = next;
        handle(port);
        ready |= __atomic_exchange_n(&block->ready, 0u, __ATOMIC_SEQ_CST);
    }
}

/// What its event upcall does.
void upcall(unsigned v = 0) {
    uint8_t* pending = &world().a.vcpu(v).info.load()->evtchn_upcall_pending;
    while (__atomic_exchange_n(pending, uint8_t{0}, __ATOMIC_SEQ_CST)) consume(v);
}

// -- scenarios ----------------------------------------------------------------------------------------------------------

void name_all() {
    FifoGuest& g = guest();
    name(g.words, 4096, "word");
    for (uint32_t p = 1; p < 5; ++p) name(&g.words[p], 4, ("word " + std::to_string(p)).c_str());
    for (unsigned v = 0; v < 2; ++v) {
        name(g.block[v], sizeof *g.block[v], ("control block " + std::to_string(v)).c_str());
        name(&g.block[v]->ready, 4, ("ready of vCPU " + std::to_string(v)).c_str());
        name(g.block[v]->head, 64, ("head of vCPU " + std::to_string(v)).c_str());
        name(&world().a.vcpu(v).info.load()->evtchn_upcall_pending, 1, ("upcall flag of vCPU " + std::to_string(v)).c_str());
    }
}

/// What the guest was told of is handled, and then nothing waits.
void nothing_is_lost() {
    upcall(0);
    upcall(1);
    const FifoGuest& g = guest();
    for (uint32_t p = 1; p < 8; ++p) {
        const uint32_t w = g.words[p];
        check((w & (w_pending | w_masked)) != w_pending,
              "an event is lost: pending, not masked, on no queue that the guest was told of");
        check(!(w & w_linked), "a word stays linked on no queue");
    }
}

Scenario with_events(std::vector<Program> cpus) {
    guest();
    Scenario s = on_world(name_all, std::move(cpus));
    s.end = nothing_is_lost;
    return s;
}

void send(unsigned which) {
    note("sends to port %u", guest().own[which]);
    (void)event_send(world().a, Port(guest().own[which]));
}
void send_from_b() {
    note("domain B sends to port %u", guest().from_b);
    (void)event_send(world().b, guest().of_b);
}
void hypercall_unmask(unsigned which) { (void)event_unmask(world().a, Port(guest().own[which])); }
void mask(unsigned which) {
    note("the guest masks port %u", guest().own[which]);
    __atomic_fetch_or(&guest().words[guest().own[which]], w_masked, __ATOMIC_SEQ_CST);
}

TEST(Fifo, two_events_while_the_guest_takes_them) {
    const Scenario s = with_events({[] {
                                        send(0);
                                        send(1);
                                    },
                                    [] {
                                        upcall();
                                        upcall();
                                    }});
    expect_holds("send, send | upcall, upcall", s, bounded(3));
    expect_holds("send, send | upcall, upcall", s, bounded(2, 1));
}

TEST(Fifo, two_senders_and_the_guest) {
    const Scenario s = with_events({[] { send(0); }, send_from_b, [] { upcall(); }});
    expect_holds("send | send by another domain | upcall", s, bounded(2));
}

TEST(Fifo, the_same_event_again_and_again) {
    const Scenario s = with_events({[] {
                                        send(0);
                                        send(0);
                                    },
                                    send_from_b, [] { upcall(); }});
    expect_holds("send, send | send by another domain | upcall", s, bounded(2));
}

TEST(Fifo, a_port_changes_its_priority) {
    const Scenario s = with_events({[] {
                                        send(0);
                                        (void)event_set_priority(world().a, Port(guest().own[0]), 3);
                                        send(0);
                                        send(1);
                                    },
                                    [] {
                                        upcall();
                                        upcall();
                                    }});
    expect_holds("send, priority, send, send | upcall, upcall", s, bounded(3));
}

TEST(Fifo, a_port_is_masked_and_unmasked) {
    const Scenario s = with_events({[] {
                                        send(0);
                                        send(1);
                                    },
                                    [] {
                                        mask(0);
                                        upcall();
                                        hypercall_unmask(0);
                                        upcall();
                                    }});
    expect_holds("send, send | mask, upcall, unmask, upcall", s, bounded(3));
}

TEST(Fifo, a_port_moves_to_another_vcpu) {
    const Scenario s = with_events({[] {
                                        send_from_b();
                                        send_from_b();
                                    },
                                    [] {
                                        (void)event_bind_vcpu(world().a, Port(guest().from_b), VcpuId(1));
                                        upcall(1);
                                    },
                                    [] { upcall(0); }});
    expect_holds("send, send | bind to vCPU 1, upcall 1 | upcall 0", s, bounded(2));
}

TEST(Fifo, a_port_is_closed_and_opened_again) {
    const Scenario s = with_events({[] {
                                        (void)event_close(world().a, Port(guest().own[0]));
                                        const auto again = event_bind_ipi(world().a, VcpuId(0));
                                        if (again) (void)event_send(world().a, again.value());
                                    },
                                    [] {
                                        send(0);
                                        send_from_b();
                                    },
                                    [] { upcall(); }});
    expect_holds("close, bind, send | send, send | upcall", s, bounded(2));
}

}  // namespace
