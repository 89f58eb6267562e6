// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// Machine interrupts and who gets them: numberings of several domains, rights, one target at a time, and its end.
#include <atomic>
#include <bit>
#include <chrono>
#include <thread>

#include "hypervisor/irq/internal.hpp"
#include "tests/host/hv_interrupts.hpp"

namespace {

using namespace hvtest;

constexpr uint32_t edge_gsi = 5, level_gsi = 20;

class Interrupts : public InterruptTest {
protected:
    void give_back() {
        for (const uint32_t gsi : {edge_gsi, level_gsi}) (void)unmap(dom0, 0, gsi);
    }
};

TEST_F(Interrupts, ASecondDomainGetsAnInterrupt) {
    Guest g(1);
    ASSERT_EQ(map(dom0, 1, edge_gsi), Errc{});
    EXPECT_EQ(number, int32_t{edge_gsi});
    EXPECT_TRUE(masked(edge_gsi)) << "nobody listens yet";
    ASSERT_EQ(bind(g, edge_gsi), Errc{});
    EXPECT_FALSE(masked(edge_gsi));
    EXPECT_FALSE(pending(g, port));
    interrupt(edge_gsi);
    EXPECT_TRUE(pending(g, port));
    clear(g, port);
    ASSERT_TRUE(event_close(g, port));
    EXPECT_TRUE(masked(edge_gsi));
    EXPECT_EQ(unmap(dom0, 1, edge_gsi), Errc{});
    EXPECT_EQ(unmap(dom0, 1, edge_gsi), Errc::inval);
}

TEST_F(Interrupts, ItsNumberNeedNotBeTheMachines) {
    Guest g(1);
    ASSERT_EQ(map(dom0, 1, edge_gsi, 700), Errc{});
    EXPECT_EQ(number, 700);
    EXPECT_EQ(map(dom0, 1, edge_gsi, 700), Errc{}) << "the same again";
    EXPECT_EQ(map(dom0, 1, edge_gsi), Errc{});
    EXPECT_EQ(number, 700) << "mapped already";
    EXPECT_EQ(map(dom0, 1, edge_gsi, 701), Errc::exist);
    EXPECT_EQ(map(dom0, 1, level_gsi, 700), Errc::exist);
    EXPECT_EQ(map(dom0, 1, edge_gsi, PirqTable::capacity), Errc::inval);
    EXPECT_EQ(map(dom0, 1, ioapic::gsi_count()), Errc::inval);
    EXPECT_EQ(map(dom0, 2, edge_gsi), Errc::srch);
    ASSERT_EQ(bind(g, 700), Errc{});
    interrupt(edge_gsi);
    EXPECT_TRUE(pending(g, port));
}

TEST_F(Interrupts, WithoutARightThereIsNone) {
    Guest g(1);
    EXPECT_EQ(map(g, xen::DOMID_SELF, edge_gsi), Errc::perm);
    EXPECT_EQ(unmap(g, xen::DOMID_SELF, edge_gsi), Errc::perm);
    EXPECT_EQ(bind(g, edge_gsi), Errc::perm) << "not mapped";
    ASSERT_EQ(map(dom0, 1, edge_gsi), Errc{});
    ASSERT_EQ(permit(1, edge_gsi, false), Errc{});
    EXPECT_EQ(bind(g, edge_gsi), Errc::perm) << "mapped, and the right taken away";
    EXPECT_TRUE(masked(edge_gsi));
    ASSERT_EQ(permit(1, edge_gsi, true), Errc{});
    EXPECT_EQ(bind(g, edge_gsi), Errc{});
    EXPECT_EQ(bind(g, edge_gsi), Errc::exist);
    ASSERT_EQ(unmap(dom0, 1, edge_gsi), Errc{}) << "also while it is bound";
    EXPECT_TRUE(masked(edge_gsi));
    interrupt(edge_gsi);
    EXPECT_FALSE(pending(g, port));
    EXPECT_EQ(permit(1, 1000, true), Errc::perm) << "no interrupt of the caller's";
    EXPECT_EQ(permit(1, PirqTable::capacity, true), Errc::inval);
}

TEST_F(Interrupts, OneTargetAtATime) {
    Guest g(1);
    ASSERT_EQ(map(dom0, 0, edge_gsi), Errc{});
    ASSERT_EQ(map(dom0, 1, edge_gsi), Errc{}) << "dom0 that has it mapped is no obstacle";
    ASSERT_EQ(bind(g, edge_gsi), Errc{});
    const Port of_guest = port;
    EXPECT_EQ(bind(dom0, edge_gsi), Errc::busy);
    ASSERT_EQ(unmap(dom0, 0, edge_gsi), Errc{});
    EXPECT_FALSE(masked(edge_gsi)) << "who has it bound keeps it";
    interrupt(edge_gsi);
    EXPECT_TRUE(pending(g, of_guest));
    EXPECT_EQ(bind(dom0, edge_gsi), Errc::busy) << "nor does an old caller that maps nothing get it";
}

TEST_F(Interrupts, OnlyTheTargetEndsALevelInterrupt) {
    Guest g(1);
    ASSERT_EQ(map(dom0, 0, level_gsi), Errc{});
    ASSERT_EQ(map(dom0, 1, level_gsi), Errc{});
    ASSERT_EQ(bind(g, level_gsi), Errc{});
    EXPECT_TRUE(entry(level_gsi) & x86::ioapic_entry::level);
    interrupt(level_gsi);
    EXPECT_TRUE(pending(g, port));
    EXPECT_TRUE(masked(level_gsi)) << "until the guest has seen to its device";
    xen::PhysdevEoi e{level_gsi};
    EXPECT_EQ(physdev(dom0, xen::PHYSDEVOP_eoi, &e), Errc{});
    EXPECT_TRUE(masked(level_gsi));
    EXPECT_EQ(physdev(g, xen::PHYSDEVOP_eoi, &e), Errc{});
    EXPECT_FALSE(masked(level_gsi));
    give_back();
}

TEST_F(Interrupts, ADomainThatDiesGivesItsInterruptsBack) {
    domains_reap();
    const Resources before;
    {
        Guest g(1);
        ASSERT_EQ(map(dom0, 1, edge_gsi), Errc{});
        ASSERT_EQ(map(dom0, 1, level_gsi), Errc{});
        ASSERT_EQ(bind(g, edge_gsi), Errc{});
        ASSERT_EQ(bind(g, level_gsi), Errc{});
        const DomainRef kept(*g.d);  // somebody still refers to it: its lines are free all the same
        g.destroy();
        EXPECT_FALSE(pirq_machine_number(kept->pirqs, edge_gsi));
        EXPECT_TRUE(masked(edge_gsi));
        EXPECT_TRUE(masked(level_gsi));
        interrupt(edge_gsi);
        for (const uint32_t gsi : {edge_gsi, level_gsi}) {
            ASSERT_EQ(map(dom0, 0, gsi), Errc{});
            ASSERT_EQ(bind(dom0, gsi), Errc{});
            interrupt(gsi);
            EXPECT_TRUE(pending(dom0, port));
            clear(dom0, port);
            ASSERT_TRUE(event_close(dom0, port));
        }
    }
    domains_reap();
    give_back();
    Guest again(1);  // what dom0 has made for itself stays
    again.destroy();
    domains_reap();
    EXPECT_EQ(Resources().pages, before.pages);
}

TEST_F(Interrupts, AnInterruptOnItsWayKeepsADomainFromBeingFreed) {
    static std::atomic<int> turns;
    turns = 0;
    Guest g(1);
    ASSERT_EQ(map(dom0, 1, edge_gsi), Errc{});
    ASSERT_EQ(bind(g, edge_gsi), Errc{});
    // The other CPU stands between looking at the target and telling it.
    static IrqLine* line;
    line = g->pirqs.chunks[0][edge_gsi];
    line->deliveries = 1;
    host::on_spin = [] {
        if (++turns == 3) line->deliveries = 0;
    };
    g.destroy();
    EXPECT_EQ(turns, 0) << "ending it does not wait";
    domains_reap();
    host::on_spin = nullptr;
    EXPECT_EQ(turns, 3);
}

TEST_F(Interrupts, MostDomainsHaveNoNumbering) {
    const auto bytes_of_one = [this](bool interrupts) {
        domains_reap();
        const size_t before = heap::bytes_in_use();
        Guest g(1);
        if (interrupts) { EXPECT_EQ(map(dom0, 1, edge_gsi), Errc{}); }
        return heap::bytes_in_use() - before;
    };
    (void)bytes_of_one(false);  // what stays behind for the next one
    const size_t without = bytes_of_one(false);
    const size_t rights = std::bit_ceil(sizeof(RangeSet));  // made with the first one, in a slab of its size
    EXPECT_EQ(bytes_of_one(true) - without, PirqTable::chunk * sizeof(void*) + rights);
}

TEST_F(Interrupts, AcpiSaysHowALineBehaves) {
    constexpr uint32_t gsi = 9;
    const auto set_up = [&](uint8_t level, uint8_t low) {
        xen::PhysdevSetupGsi p{gsi, level, low, 0};
        return physdev(dom0, xen::PHYSDEVOP_setup_gsi, &p);
    };
    ASSERT_EQ(map(dom0, 0, gsi), Errc{});
    EXPECT_FALSE(entry(gsi) & (x86::ioapic_entry::level | x86::ioapic_entry::low)) << "as ISA's are";
    ASSERT_EQ(set_up(1, 1), Errc{});
    EXPECT_EQ(entry(gsi) & x86::ioapic_entry::level, x86::ioapic_entry::level);
    EXPECT_EQ(entry(gsi) & x86::ioapic_entry::low, x86::ioapic_entry::low);
    EXPECT_TRUE(masked(gsi));
    ASSERT_EQ(bind(dom0, gsi), Errc{});
    ASSERT_EQ(set_up(1, 0), Errc{});
    EXPECT_FALSE(masked(gsi)) << "who listens goes on listening";
    xen::PhysdevIrqStatusQuery q{gsi, 0};
    EXPECT_EQ(physdev(dom0, xen::PHYSDEVOP_irq_status_query, &q), Errc{});
    EXPECT_EQ(q.flags, xen::XENIRQSTAT_needs_eoi);
    xen::PhysdevIrq v{gsi, 0};
    EXPECT_EQ(physdev(dom0, xen::PHYSDEVOP_alloc_irq_vector, &v), Errc{});
    EXPECT_EQ(v.vector, entry(gsi) & 0xff);
    ASSERT_TRUE(event_close(dom0, port));
    ASSERT_EQ(unmap(dom0, 0, gsi), Errc{});
    ASSERT_EQ(bind(dom0, gsi), Errc{}) << "old kernels map nothing first";
    constexpr uint64_t level_high = x86::ioapic_entry::level, mode = level_high | x86::ioapic_entry::low;
    EXPECT_EQ(entry(gsi) & mode, level_high) << "what was said last holds when nobody had it mapped in between";
    ASSERT_TRUE(event_close(dom0, port));
    ASSERT_EQ(unmap(dom0, 0, gsi), Errc{});
    ASSERT_EQ(set_up(0, 0), Errc{}) << "also said while nobody has it mapped";
    ASSERT_EQ(map(dom0, 0, gsi), Errc{});
    EXPECT_EQ(entry(gsi) & mode, 0u);
    ASSERT_EQ(unmap(dom0, 0, gsi), Errc{});
}

TEST_F(Interrupts, AGsiHasOneNumberInATable) {
    ASSERT_EQ(map(dom0, 0, edge_gsi, 700), Errc{});
    EXPECT_EQ(bind(dom0, edge_gsi), Errc::exist) << "an old kernel's bind finds it under another number";
    EXPECT_FALSE(pirq_machine_number(dom0->pirqs, edge_gsi));
    EXPECT_TRUE(masked(edge_gsi));
    ASSERT_EQ(bind(dom0, 700), Errc{});
    interrupt(edge_gsi);
    EXPECT_TRUE(pending(dom0, port));
    clear(dom0, port);
    ASSERT_TRUE(event_close(dom0, port));
    ASSERT_EQ(unmap(dom0, 0, 700), Errc{});
    EXPECT_EQ(unmap(dom0, 0, edge_gsi), Errc::inval) << "no second one is left";
    ASSERT_EQ(bind(dom0, edge_gsi), Errc{}) << "and now it is its own number";
    ASSERT_TRUE(event_close(dom0, port));
    ASSERT_EQ(unmap(dom0, 0, edge_gsi), Errc{});
}

TEST_F(Interrupts, ADomainWaitsForThoseOnTheirWay) {
    static IrqLine* line;
    const MessageComposer as_ever = compose_message;
    compose_message = [](const IrqLine& l) {
        line = const_cast<IrqLine*>(&l);
        return x86::InterruptMessage{0xfee00000, l.vector};
    };
    domains_reap();
    const Domain* d = nullptr;
    {
        Guest g(1);
        d = &*g.d;
        ASSERT_EQ(map(dom0, 1, edge_gsi), Errc{});
        ASSERT_EQ(bind(g, edge_gsi), Errc{});
        ++line->deliveries;  // one has found its target, and looks at its event channels now
    }
    compose_message = as_ever;
    std::thread other_cpu([] {
        host::become(1);
        domains_reap();
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_NE(d->events, nullptr);
    --line->deliveries;
    other_cpu.join();
}

/// Two vCPUs of the control domain map for the same domain.
TEST_F(Interrupts, RightsAreGivenAndTakenSideBySide) {
    Guest g(1);
    std::atomic<unsigned> lost{0};
    const auto change = [&](unsigned cpu, uint32_t gsi) {
        host::become(cpu);
        const auto call = [&](uint64_t op, auto argument) {
            const uint64_t args[6] = {op, address(&argument)};
            EXPECT_TRUE(hypercall_handler(xen::HYPERVISOR_physdev_op)(dom0.vcpu(), args));
        };
        auto m = xen::zeroed<xen::PhysdevMapPirq>();
        m.domid = 1;
        m.type = xen::MAP_PIRQ_TYPE_GSI;
        m.index = m.pirq = static_cast<int32_t>(gsi);
        for (unsigned i = 0; i < 300000; ++i) {
            if (i % 2 == 0) call(xen::PHYSDEVOP_map_pirq, m);
            else call(xen::PHYSDEVOP_unmap_pirq, xen::PhysdevUnmapPirq{1, 0, m.pirq});
            Guard held(g.d->lock);
            if (g.d->irqs.contains(gsi, gsi) != (i % 2 == 0)) ++lost;
        }
    };
    std::thread first(change, 1, edge_gsi), second(change, 2, level_gsi);
    first.join();
    second.join();
    EXPECT_EQ(lost, 0u);
}

/// An EOI or a new target on another CPU would otherwise come between the mark and the mask: masked, and nobody knows. And I/O APICs
/// are written through an index, which one CPU at a time may use.
TEST_F(Interrupts, ALevelInterruptIsMaskedUnderTheLock) {
    ASSERT_EQ(map(dom0, 0, level_gsi), Errc{});
    ASSERT_EQ(bind(dom0, level_gsi), Errc{});
    const auto vector = static_cast<uint8_t>(entry(level_gsi));
    std::atomic<bool> begun{false};
    std::thread other_cpu;
    {
        Guard g(irq::lock);
        other_cpu = std::thread([&] {
            host::become(1);
            begun = true;
            irq_dispatch(vector);
        });
        while (!begun) std::this_thread::yield();
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        EXPECT_FALSE(masked(level_gsi));
    }
    other_cpu.join();
    EXPECT_TRUE(masked(level_gsi));
    EXPECT_TRUE(pending(dom0, port));
    ASSERT_TRUE(event_close(dom0, port));
    give_back();
}

TEST_F(Interrupts, TheHypervisorsOwnIsNobodyElses) {
    constexpr uint32_t gsi = 4;
    static int came;
    came = 0;
    ASSERT_TRUE(irq_claim(gsi, false, false, [] { ++came; }));
    EXPECT_EQ(irq_claim(gsi, false, false, [] {}).error(), Errc::busy);
    interrupt(gsi);
    EXPECT_EQ(came, 1);
    xen::PhysdevSetupGsi p{gsi, 1, 1, 0};
    EXPECT_EQ(physdev(dom0, xen::PHYSDEVOP_setup_gsi, &p), Errc{}) << "dom0 need not know";
    EXPECT_FALSE(entry(gsi) & x86::ioapic_entry::level);
    EXPECT_EQ(map(dom0, 0, gsi), Errc{}) << "it may be named";
    EXPECT_EQ(bind(dom0, gsi), Errc::busy);
    irq_dispatch(0xee);  // nobody's: it is acknowledged, and that is all
}

TEST_F(Interrupts, TheyAreComposedInOnePlace) {
    Guest g(1);
    const MessageComposer as_ever = compose_message;
    compose_message = [](const IrqLine& line) { return x86::InterruptMessage{0xfee00000 | 0x155 << 4, line.vector | 0x100u}; };
    ASSERT_EQ(map(dom0, 1, level_gsi), Errc{});
    compose_message = as_ever;
    EXPECT_EQ(entry(level_gsi) >> 48, 0x155u);
    EXPECT_EQ(entry(level_gsi) & 0x700, 0x100u);
    ASSERT_EQ(map(dom0, 1, edge_gsi), Errc{});
    EXPECT_EQ(entry(edge_gsi) >> 48, 0u) << "to the boot CPU";
}

TEST(InterruptMessages, AreWhatApicsTake) {
    constexpr auto m = x86::message_to_cpu(0x41, 7);
    EXPECT_EQ(m.address, 0xfee07000u);
    EXPECT_EQ(m.data, 0x41u);
    EXPECT_EQ(x86::ioapic_entry_for(m, true, true), uint64_t{7} << 56 | 1u << 16 | 1u << 15 | 1u << 13 | 0x41);
    EXPECT_EQ(x86::ioapic_entry_for(m, false, false), uint64_t{7} << 56 | 1u << 16 | 0x41);
    EXPECT_EQ(x86::ioapic_entry_for({0xfee00004, 0}, false, false), 1u << 16 | 1u << 11) << "a logical destination";
}

}  // namespace
