// SPDX-License-Identifier: Apache-2.0
// link: hvcore
// tsan
#include "hypervisor/event/event.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include "abi/xen/event_channel.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "tests/host/hv_fixture.hpp"

namespace {

using namespace hvtest;

class Events : public ::testing::Test {
protected:
    void SetUp() override { machine(); }
};

/// Takes the upcall as a guest does: flag first, then the selector.
bool upcall(Vcpu& v) {
    xen::VcpuInfo* info = v.info.load();
    if (!__atomic_exchange_n(&info->evtchn_upcall_pending, uint8_t{0}, __ATOMIC_SEQ_CST)) return false;
    __atomic_store_n(&info->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
    return true;
}
bool bit(const uint64_t* words, uint32_t n) { return __atomic_load_n(&words[n / 64], __ATOMIC_SEQ_CST) >> (n % 64) & 1; }
bool pending(Domain& d, Port p) { return bit(d.shared->evtchn_pending, p.raw); }
Errc error_of(auto&& r) { return r ? Errc{} : r.error(); }

TEST_F(Events, InterdomainLife) {
    Guest a(1), b(2);
    const Port pa = must(event_alloc_unbound(a, DomId(2)));
    EXPECT_EQ(pa.raw, 1u);
    EXPECT_TRUE(event_send(a, pa)) << "nobody there: dropped";
    EXPECT_EQ(error_of(event_bind_interdomain(a, a, pa)), Errc::inval) << "it is for domain 2";
    const Port pb = must(event_bind_interdomain(b, a, pa));
    EXPECT_TRUE(pending(b, pb)) << "a send may have been lost";
    EXPECT_TRUE(upcall(b.vcpu()));
    EXPECT_EQ(error_of(event_bind_interdomain(b, a, pa)), Errc::inval) << "taken";

    ASSERT_TRUE(event_send(b, pb));
    EXPECT_TRUE(pending(a, pa));
    EXPECT_TRUE(upcall(a.vcpu()));
    ASSERT_TRUE(event_send(b, pb));
    EXPECT_FALSE(upcall(a.vcpu())) << "still pending: no second upcall";

    auto s = xen::zeroed<xen::EvtchnStatus>();
    ASSERT_TRUE(event_status(a, pa, s));
    EXPECT_EQ(s.status, xen::EVTCHNSTAT_interdomain);
    EXPECT_EQ(s.u.interdomain.dom, 2);
    EXPECT_EQ(s.u.interdomain.port, pb.raw);

    ASSERT_TRUE(event_close(b, pb));
    ASSERT_TRUE(event_status(a, pa, s));
    EXPECT_EQ(s.status, xen::EVTCHNSTAT_unbound);
    EXPECT_EQ(s.u.unbound.dom, 2);
    EXPECT_EQ(error_of(event_send(b, pb)), Errc::inval);
    EXPECT_EQ(error_of(event_close(b, pb)), Errc::inval);
    ASSERT_TRUE(event_close(a, pa));
    EXPECT_FALSE(pending(a, pa)) << "closing clears";
    EXPECT_EQ(events_in_use(a) + events_in_use(b), 0u);
}

TEST_F(Events, Loopback) {
    Guest a(1);
    const Port p = must(event_alloc_unbound(a, DomId(1)));
    const Port q = must(event_bind_interdomain(a, a, p));
    ASSERT_TRUE(event_send(a, p));
    EXPECT_TRUE(pending(a, q));
    ASSERT_TRUE(event_close(a, q));
    ASSERT_TRUE(event_close(a, p));
}

TEST_F(Events, MaskHoldsUpcallBackUntilUnmask) {
    Guest a(1, 2);
    const Port p = must(event_bind_ipi(a, VcpuId(1)));
    a->shared->evtchn_mask[0] |= 1u << p.raw;
    ASSERT_TRUE(event_send(a, p));
    EXPECT_TRUE(pending(a, p));
    EXPECT_FALSE(upcall(a.vcpu(1)));
    ASSERT_TRUE(event_unmask(a, p));
    EXPECT_EQ(a.vcpu(1).info.load()->evtchn_pending_sel, 1u);
    EXPECT_TRUE(upcall(a.vcpu(1)));
    EXPECT_FALSE(upcall(a.vcpu(0)));
}

TEST_F(Events, Virqs) {
    Guest a(1, 2);
    EXPECT_EQ(error_of(event_bind_virq(a, xen::NR_VIRQS, VcpuId(0))), Errc::inval);
    EXPECT_EQ(error_of(event_bind_virq(a, xen::VIRQ_TIMER, VcpuId(7))), Errc::noent);
    EXPECT_EQ(error_of(event_bind_virq(a, xen::VIRQ_DOM_EXC, VcpuId(1))), Errc::inval) << "global ones live on vCPU 0";
    const Port timer1 = must(event_bind_virq(a, xen::VIRQ_TIMER, VcpuId(1)));
    EXPECT_EQ(error_of(event_bind_virq(a, xen::VIRQ_TIMER, VcpuId(1))), Errc::exist);
    send_virq(a.vcpu(0), xen::VIRQ_TIMER);
    EXPECT_FALSE(pending(a, timer1));
    send_virq(a.vcpu(1), xen::VIRQ_TIMER);
    EXPECT_TRUE(pending(a, timer1));
    EXPECT_TRUE(upcall(a.vcpu(1)));
    EXPECT_EQ(error_of(event_bind_vcpu(a, timer1, VcpuId(0))), Errc::inval) << "per-vCPU virqs stay";

    const Port exc = must(event_bind_virq(a, xen::VIRQ_DOM_EXC, VcpuId(0)));
    ASSERT_TRUE(event_bind_vcpu(a, exc, VcpuId(1)));
    send_global_virq(a, xen::VIRQ_DOM_EXC);
    EXPECT_TRUE(upcall(a.vcpu(1)));
    ASSERT_TRUE(event_close(a, timer1));
    send_virq(a.vcpu(1), xen::VIRQ_TIMER);
    EXPECT_FALSE(pending(a, timer1));
    EXPECT_EQ(error_of(event_send(a, exc)), Errc::inval);
}

TEST_F(Events, LimitsAndReuse) {
    DomainLimits limits;
    limits.max_evtchn_port = 300;
    Guest a(1, 1, limits);
    std::vector<Port> ports;
    for (;;) {
        auto p = event_alloc_unbound(a, DomId(0));
        if (!p) {
            EXPECT_EQ(p.error(), Errc::nospc);
            break;
        }
        ports.push_back(p.value());
    }
    EXPECT_EQ(ports.size(), 300u);
    EXPECT_EQ(ports.back().raw, 300u);
    ASSERT_TRUE(event_close(a, Port(17)));
    ASSERT_TRUE(event_close(a, Port(5)));
    EXPECT_EQ(must(event_bind_ipi(a, VcpuId(0))).raw, 5u);
    EXPECT_EQ(must(event_bind_ipi(a, VcpuId(0))).raw, 17u);
    EXPECT_EQ(error_of(event_bind_ipi(a, VcpuId(0))), Errc::nospc);
    EXPECT_EQ(error_of(event_close(a, Port(0))), Errc::inval);
    EXPECT_EQ(error_of(event_close(a, Port(~0u))), Errc::inval);
    EXPECT_EQ(error_of(event_send(a, Port(100000))), Errc::inval);
}

TEST_F(Events, PeerDies) {
    Guest a(1);
    {
        Guest b(2);
        const Port pa = must(event_alloc_unbound(a, DomId(2)));
        (void)must(event_bind_interdomain(b, a, pa));
        EXPECT_EQ(events_in_use(a), 1u);
        b.destroy();
        auto s = xen::zeroed<xen::EvtchnStatus>();
        ASSERT_TRUE(event_status(a, pa, s));
        EXPECT_EQ(s.status, xen::EVTCHNSTAT_unbound);
        EXPECT_TRUE(event_send(a, pa));
    }
}

TEST_F(Events, NothingLeaks) {
    domains_reap();
    const size_t bytes = heap::bytes_in_use();
    const uint64_t pages = heap::free_pages().n;
    for (int round = 0; round < 3; ++round) {
        Guest a(1, 2), b(2);
        for (int i = 0; i < 500; ++i) (void)must(event_bind_interdomain(b, a, must(event_alloc_unbound(a, DomId(2)))));
        ASSERT_TRUE(event_init_control(a, VcpuId(0), gfn(a.page()), 0));
        ASSERT_TRUE(event_expand_array(a, gfn(a.page())));
        host::preempt_every(2);
        a.destroy();
        b.destroy();
        host::preempt_every(0);
    }
    domains_reap();
    EXPECT_EQ(heap::bytes_in_use(), bytes);
    EXPECT_EQ(heap::free_pages().n, pages);
}

// -- FIFO -------------------------------------------------------------------------------------------------------------

constexpr uint32_t f_pending = 1u << xen::EVTCHN_FIFO_PENDING, f_masked = 1u << xen::EVTCHN_FIFO_MASKED,
                   f_linked = 1u << xen::EVTCHN_FIFO_LINKED;

/// The guest's side of one vCPU's queues, written after the interface's documentation.
struct FifoGuest {
    xen::EvtchnFifoControlBlock* block;
    std::vector<uint32_t*> pages;
    uint32_t heads[16] = {};

    uint32_t* word(uint32_t port) { return pages[port / 1024] + port % 1024; }

    uint32_t take(uint32_t* w) {
        uint32_t old = __atomic_load_n(w, __ATOMIC_SEQ_CST);
        while (!__atomic_compare_exchange_n(w, &old, old & ~(f_linked | xen::EVTCHN_FIFO_LINK_MASK), false, __ATOMIC_SEQ_CST,
                                            __ATOMIC_SEQ_CST)) {}
        return old & xen::EVTCHN_FIFO_LINK_MASK;
    }
    /// Handles what is queued; `f(port)` for each event.
    template <class F>
    void drain(F f) {
        uint32_t ready = __atomic_exchange_n(&block->ready, 0, __ATOMIC_SEQ_CST);
        while (ready) {
            const auto q = static_cast<unsigned>(__builtin_ctz(ready));
            uint32_t port = heads[q] ? heads[q] : __atomic_load_n(&block->head[q], __ATOMIC_SEQ_CST);
            uint32_t* w = word(port);
            const uint32_t next = take(w);
            if (!next) ready &= ~(1u << q);
            heads[q] = next;
            if (!(__atomic_load_n(w, __ATOMIC_SEQ_CST) & f_masked) &&
                (__atomic_fetch_and(w, ~f_pending, __ATOMIC_SEQ_CST) & f_pending))
                f(port);
            ready |= __atomic_exchange_n(&block->ready, 0, __ATOMIC_SEQ_CST);
        }
    }
    std::vector<uint32_t> drained() {
        std::vector<uint32_t> got;
        drain([&](uint32_t p) { got.push_back(p); });
        return got;
    }
};

FifoGuest make_fifo(Guest& g, unsigned vcpu, const FifoGuest* share = nullptr) {
    const Mfn control = g.page();
    EXPECT_TRUE(event_init_control(g, VcpuId(vcpu), gfn(control), 64));
    FifoGuest f{reinterpret_cast<xen::EvtchnFifoControlBlock*>(map_mfn(control) + 64), {}, {}};
    if (share) {
        f.pages = share->pages;
    } else {
        const Mfn words = g.page();
        EXPECT_TRUE(event_expand_array(g, gfn(words)));
        f.pages.push_back(map_mfn<uint32_t>(words));
    }
    return f;
}

TEST_F(Events, FifoOrderWithinAQueueAndPriorities) {
    Guest a(1);
    FifoGuest f = make_fifo(a, 0);
    std::vector<uint32_t> ports;
    for (int i = 0; i < 5; ++i) ports.push_back(must(event_bind_ipi(a, VcpuId(0))).raw);
    for (int i : {3, 0, 4}) ASSERT_TRUE(event_send(a, Port(ports[static_cast<size_t>(i)])));
    EXPECT_TRUE(upcall(a.vcpu()));
    ASSERT_TRUE(event_send(a, Port(ports[3])));
    EXPECT_EQ(f.drained(), (std::vector<uint32_t>{ports[3], ports[0], ports[4]}));
    EXPECT_TRUE(f.drained().empty());

    ASSERT_TRUE(event_set_priority(a, Port(ports[4]), 0));
    for (int i : {1, 2, 4}) ASSERT_TRUE(event_send(a, Port(ports[static_cast<size_t>(i)])));
    EXPECT_EQ(f.drained(), (std::vector<uint32_t>{ports[4], ports[1], ports[2]}));
    EXPECT_EQ(error_of(event_set_priority(a, Port(ports[4]), 16)), Errc::inval);
}

TEST_F(Events, FifoMaskAndUnmask) {
    Guest a(1);
    FifoGuest f = make_fifo(a, 0);
    const Port p = must(event_bind_ipi(a, VcpuId(0)));
    __atomic_fetch_or(f.word(p.raw), f_masked, __ATOMIC_SEQ_CST);
    ASSERT_TRUE(event_send(a, p));
    EXPECT_FALSE(upcall(a.vcpu()));
    EXPECT_TRUE(must(event_port_pending(a, p)));
    ASSERT_TRUE(event_unmask(a, p));
    EXPECT_TRUE(upcall(a.vcpu()));
    EXPECT_EQ(f.drained(), std::vector<uint32_t>{p.raw});
}

TEST_F(Events, FifoMovesBetweenVcpus) {
    Guest a(1, 2), b(2);
    FifoGuest f0 = make_fifo(a, 0);
    FifoGuest f1 = make_fifo(a, 1, &f0);
    const Port p = must(event_alloc_unbound(a, DomId(2)));
    const Port q = must(event_bind_interdomain(b, a, p));
    ASSERT_TRUE(event_send(b, q));
    ASSERT_TRUE(event_bind_vcpu(a, p, VcpuId(1)));
    ASSERT_TRUE(event_send(b, q));
    EXPECT_EQ(f0.drained(), std::vector<uint32_t>{p.raw}) << "it was queued there before it moved";
    ASSERT_TRUE(event_send(b, q));
    EXPECT_EQ(f1.drained(), std::vector<uint32_t>{p.raw});
    EXPECT_TRUE(f0.drained().empty());
}

TEST_F(Events, FifoTakesOverWhatIsPending) {
    Guest a(1);
    const Port p = must(event_bind_ipi(a, VcpuId(0)));
    ASSERT_TRUE(event_send(a, p));
    FifoGuest f = make_fifo(a, 0);
    EXPECT_EQ(f.drained(), std::vector<uint32_t>{p.raw});
}

TEST_F(Events, FifoEventBeforeItsWordExists) {
    Guest a(1);
    FifoGuest f = make_fifo(a, 0);
    Port p{};
    while (p.raw < 1500) p = must(event_bind_ipi(a, VcpuId(0)));
    ASSERT_TRUE(event_send(a, p));
    EXPECT_TRUE(f.drained().empty());
    const Mfn more = a.page();
    ASSERT_TRUE(event_expand_array(a, gfn(more)));
    f.pages.push_back(map_mfn<uint32_t>(more));
    EXPECT_EQ(f.drained(), std::vector<uint32_t>{1500});
}

TEST_F(Events, FifoArguments) {
    Guest a(1), b(2);
    const Mfn page = a.page();
    EXPECT_EQ(error_of(event_expand_array(a, gfn(page))), Errc::nosys);
    EXPECT_EQ(error_of(event_init_control(a, VcpuId(0), gfn(page), 4096 - 64)), Errc::inval);
    EXPECT_EQ(error_of(event_init_control(a, VcpuId(0), gfn(page), 4)), Errc::inval);
    EXPECT_EQ(error_of(event_init_control(a, VcpuId(1), gfn(page), 0)), Errc::noent);
    EXPECT_EQ(error_of(event_init_control(a, VcpuId(0), gfn(b.page()), 0)), Errc::inval) << "another domain's page";
    EXPECT_EQ(error_of(event_init_control(a, VcpuId(0), Gfn(~uint64_t{0} >> 12), 0)), Errc::inval);
    ASSERT_TRUE(event_init_control(a, VcpuId(0), gfn(page), 0));
    EXPECT_EQ(error_of(event_init_control(a, VcpuId(0), gfn(page), 0)), Errc::inval) << "once";
    ASSERT_TRUE(event_reset(a));
    const Port p = must(event_bind_ipi(a, VcpuId(0)));
    ASSERT_TRUE(event_send(a, p));
    EXPECT_TRUE(pending(a, p)) << "two-level again";
}

TEST_F(Events, HostileWordsDoNoHarm) {
    Guest a(1);
    FifoGuest f = make_fifo(a, 0);
    std::vector<Port> ports;
    for (int i = 0; i < 8; ++i) ports.push_back(must(event_bind_ipi(a, VcpuId(0))));
    uint32_t x = 12345;
    for (int round = 0; round < 20000; ++round) {
        x = x * 1664525 + 1013904223;
        __atomic_store_n(f.word(x % 1024), x * 2654435761u, __ATOMIC_SEQ_CST);
        __atomic_store_n(&f.block->head[x >> 7 & 15], x, __ATOMIC_SEQ_CST);
        ASSERT_TRUE(event_send(a, ports[x >> 11 & 7]));
        ASSERT_TRUE(event_unmask(a, ports[x >> 14 & 7]));
    }
}

uint64_t words_looked_at(Domain& d) {
    Guard g(d.events->lock);
    return d.events->words_looked_at;
}

// A word that the guest leaves LINKED keeps its port's number from being used again: for ever, if it likes. It must not make
// each later port cost a look at all of them.
TEST_F(Events, WordsThatStayLinkedCostTheNextPortNothing) {
    Guest a(1);
    FifoGuest f = make_fifo(a, 0);
    constexpr uint32_t n = 8000;
    while (f.pages.size() * 1024 <= n) {
        const Mfn words = a.page();
        ASSERT_TRUE(event_expand_array(a, gfn(words)));
        f.pages.push_back(map_mfn<uint32_t>(words));
    }
    for (uint32_t i = 1; i < n; ++i) ASSERT_EQ(must(event_bind_ipi(a, VcpuId(0))).raw, i);
    for (uint32_t i = 1; i < n; ++i) __atomic_fetch_or(f.word(i), f_linked, __ATOMIC_SEQ_CST);
    for (uint32_t i = 1; i < n; ++i) ASSERT_TRUE(event_close(a, Port(i)));

    constexpr uint64_t few = 64;
    for (uint32_t i = 0; i < 100; ++i) {
        const uint64_t before = words_looked_at(a);
        EXPECT_EQ(must(event_bind_ipi(a, VcpuId(0))).raw, n + i) << "none of the old ones";
        ASSERT_LE(words_looked_at(a) - before, few);
    }
    // It takes them at last: all numbers come back, and none twice.
    for (uint32_t i = 1; i < n; ++i) __atomic_fetch_and(f.word(i), ~f_linked, __ATOMIC_SEQ_CST);
    std::vector<bool> seen(n);
    for (uint32_t found = 0, tries = 0; found + 1 < n; ++tries) {
        ASSERT_LT(tries, 2 * n);
        const uint64_t before = words_looked_at(a);
        const uint32_t port = must(event_bind_ipi(a, VcpuId(0))).raw;
        ASSERT_LE(words_looked_at(a) - before, few);
        if (port >= n) continue;
        ASSERT_FALSE(seen[port]);
        seen[port] = true;
        ++found;
    }
}

// The same of words that were never on a queue, of ports that were never open.
TEST_F(Events, WordsLinkedInAdvanceCostTheNextPortNothing) {
    Guest a(1);
    FifoGuest f = make_fifo(a, 0);
    for (uint32_t i = 0; i < 1000; ++i) __atomic_fetch_or(f.word(i), f_linked, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < 100; ++i) {
        const uint64_t before = words_looked_at(a);
        (void)event_bind_ipi(a, VcpuId(0));
        ASSERT_LE(words_looked_at(a) - before, 64u);
    }
    ASSERT_TRUE(event_reset(a));
    EXPECT_EQ(must(event_bind_ipi(a, VcpuId(0))).raw, 1u) << "there are no words any more";
}

TEST_F(Events, ClosingAllIsInterruptedBetweenFreePorts) {
    Guest a(1);
    constexpr uint32_t n = 2000;
    for (uint32_t i = 1; i <= n; ++i) ASSERT_TRUE(event_bind_ipi(a, VcpuId(0)));
    for (uint32_t i = 1; i < n; ++i) ASSERT_TRUE(event_close(a, Port(i)));
    host::preempt_every(1);
    unsigned turns = 1;
    while (!event_reset(a)) ++turns;
    host::preempt_every(0);
    EXPECT_GE(turns, n / 32);
    EXPECT_LE(turns, n / 32 + 2) << "each goes on where the last one stopped";
    EXPECT_EQ(events_in_use(a), 0u);
}

// -- threads ----------------------------------------------------------------------------------------------------------

/// Senders write a value and then send; the receiver handles events. The last value of each must have been seen.
TEST_F(Events, NoEventIsLostWithManySenders) {
    Guest rx(1), tx(2);
    FifoGuest f = make_fifo(rx, 0);
    constexpr unsigned ports = 6, rounds = 20000;
    std::vector<Port> in, out;
    for (unsigned i = 0; i < ports; ++i) {
        in.push_back(must(event_alloc_unbound(rx, DomId(2))));
        out.push_back(must(event_bind_interdomain(tx, rx, in[i])));
    }
    std::atomic<uint32_t> value[8] = {}, seen[8] = {};
    std::atomic<unsigned> running{3};
    std::vector<std::thread> senders;
    for (unsigned t = 0; t < 3; ++t) {
        senders.emplace_back([&, t] {
            host::become(t + 1);
            for (unsigned i = 0; i < rounds; ++i) {
                const unsigned p = t * 2 + i % 2;
                value[p].fetch_add(1);
                ASSERT_TRUE(event_send(tx, out[p]));
            }
            --running;
        });
    }
    auto handle = [&](uint32_t port) {
        for (unsigned p = 0; p < ports; ++p)
            if (in[p].raw == port) seen[p] = value[p].load();
    };
    while (running) {
        if (upcall(rx.vcpu())) f.drain(handle);
        // Now and then the guest masks and unmasks a port.
        __atomic_fetch_or(f.word(in[0].raw), f_masked, __ATOMIC_SEQ_CST);
        ASSERT_TRUE(event_unmask(rx, in[0]));
    }
    for (auto& s : senders) s.join();
    while (upcall(rx.vcpu())) f.drain(handle);
    for (unsigned p = 0; p < ports; ++p) EXPECT_EQ(seen[p].load(), value[p].load()) << p;
}

TEST_F(Events, BindSendCloseRace) {
    Guest a(1), b(2);
    std::atomic<bool> stop{false};
    std::atomic<uint32_t> open_port{0};
    std::thread binder([&] {
        host::become(1);
        while (!stop) {
            const Port p = must(event_alloc_unbound(a, DomId(2)));
            open_port = p.raw;
            (void)event_close(a, p);
        }
    });
    std::thread peer([&] {
        host::become(2);
        while (!stop) {
            auto q = event_bind_interdomain(b, a, Port(open_port.load()));
            if (!q) continue;
            (void)event_send(b, q.value());
            (void)event_close(b, q.value());
        }
    });
    std::thread virqs([&] {
        host::become(3);
        while (!stop) {
            auto v = event_bind_virq(a, xen::VIRQ_DEBUG, VcpuId(0));
            send_virq(a.vcpu(), xen::VIRQ_DEBUG);
            if (v) (void)event_close(a, v.value());
        }
    });
    for (int i = 0; i < 20000; ++i) (void)event_send(a, Port(static_cast<uint32_t>(i % 4) + 1));
    stop = true;
    binder.join();
    peer.join();
    virqs.join();
    host::become(0);
}

}  // namespace
