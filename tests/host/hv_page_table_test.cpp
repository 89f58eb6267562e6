// SPDX-License-Identifier: Apache-2.0
// link: hvcore
// Page tables of PV guests: what a hostile one may not do with them, and what each change costs.
#include "hypervisor/guest/pv/pt_update.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "abi/xen/arch_x86.hpp"
#include "abi/xen/basic.hpp"
#include "abi/xen/memory.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/grant/guest_map.hpp"
#include "hypervisor/hypercall/table.hpp"
#include "tests/host/hv_paged_guest.hpp"

namespace {

using namespace hvtest;

struct PageTables : testing::Test {
    PageTables() { control_domain(); }
    Resources before;
};

TEST_F(PageTables, AnAddressFindsItsSlot) {
    PagedGuest g(1);
    EXPECT_EQ(find_l1_slot(g.l4, 0), &entry(g.l1, 0));
    EXPECT_EQ(find_l1_slot(g.l4, 0x7000), &entry(g.l1, 7));
    EXPECT_EQ(find_l1_slot(g.l4, uint64_t{1} << 30), nullptr);
}

// The root also holds the hypervisor's slots: one of them leads to the guest's descriptor window, others to the image and
// the direct map. A guest that could name them would own the machine.
TEST_F(PageTables, TheHypervisorsPartHasNoSlots) {
    PagedGuest g(1);
    ASSERT_TRUE(entry(g.l4, l4_slot_perdomain) & pte::present);
    for (unsigned slot = l4_slot_m2p; slot < l4_slot_end; ++slot)
        EXPECT_EQ(find_l1_slot(g.l4, 0xffff'0000'0000'0000 | uint64_t{slot} << 39), nullptr) << slot;
    EXPECT_EQ(find_l1_slot(g.l4, gdt_va(VcpuId(0))), nullptr);
    // The same slot by an address that is none.
    EXPECT_EQ(find_l1_slot(g.l4, gdt_va(VcpuId(0)) & 0x0000'ffff'ffff'ffff), nullptr);

    const uint64_t window = entry_of(g.data, data_bits);
    EXPECT_FALSE(hypercall(hypercall_handler(xen::HYPERVISOR_update_va_mapping), g.vcpu(), gdt_va(VcpuId(0)), window, 0));
    EXPECT_EQ(g.vcpu().pv->descriptor_l1[0], 0u);
    EXPECT_FALSE(pv_map_grant(g.vcpu(), gdt_va(VcpuId(0)), g.data, Access::read_write, false, 0));
    EXPECT_EQ(g.vcpu().pv->descriptor_l1[0], 0u);
}

// What an interrupted release left behind is finished later. Until then the page stays the guest's: if it could go to
// another domain, a table that domain has in work would be released under the wrong lock.
TEST_F(PageTables, ATableWhoseReleaseWaitsCannotChangeHands) {
    PagedGuest g(1);
    for (unsigned i = 1; i < 4; ++i) entry(g.l2, i) = 0;
    const Mfn l3 = g.page();
    const Mfn l2s[] = {g.page(), g.page(), g.page()};
    for (unsigned i = 0; i < 3; ++i) entry(l3, i) = entry_of(l2s[i], table_bits);
    const auto set_l4 = [&](uint64_t value) {
        Guard lock(g->pv->lock);
        return update_table(g.vcpu(), g, &entry(g.l4, 1), value, 4, KeepAccessed::no);
    };
    ASSERT_TRUE(set_l4(entry_of(l3, table_bits)));
    host::preempt_every(1);
    ASSERT_TRUE(set_l4(0));
    host::preempt_every(0);
    ASSERT_EQ(g.vcpu().pv->pending_put, &g.info(l3));

    // Another vCPU takes the table up and is done with it, and the guest gives the page away.
    ASSERT_TRUE(pin_table(g, l3, PageType::l3));
    ASSERT_TRUE(unpin_table(g, l3));
    const uint64_t free = heap::free_pages().n;
    ASSERT_TRUE(domain_release_page(g.info(l3)));
    EXPECT_EQ(g.info(l3).owner.load(), g->id.raw);
    EXPECT_EQ(heap::free_pages().n, free);
    EXPECT_TRUE(finish_pending_put(g.vcpu()));
    EXPECT_EQ(heap::free_pages().n, free + 1);
}

// A guest pins tables and gives their pages back. The last reference of each goes while the domain's end walks over its
// pages: all pins must go, and the walk must stay on this domain's list.
TEST_F(PageTables, PinnedPagesGivenBackGoWithTheDomain) {
    domains_reap();
    const Resources start;
    {
        Guest g(1);
        std::vector<uint64_t> frames;
        for (int i = 0; i < 8; ++i) {
            const Mfn m = g.page();
            ASSERT_TRUE(pin_table(g, m, PageType::l1));
            frames.push_back(m.raw);
        }
        xen::MemoryReservation r{};
        r.extent_start.addr = address(frames.data());
        r.nr_extents = frames.size();
        r.domid = xen::DOMID_SELF;
        host::become(1);
        this_cpu().current = &g.vcpu();
        EXPECT_EQ(must(hypercall(hypercall_handler(xen::HYPERVISOR_memory_op), g.vcpu(), xen::XENMEM_decrease_reservation,
                                 address(&r))),
                  8u);
        this_cpu().current = this_cpu().idle;
        host::become(0);
    }
    domains_reap();
    EXPECT_EQ(Resources(), start);
}

TEST_F(PageTables, UserModeNeedsUserPageTables) {
    PagedGuest g(1, 2);
    auto c = std::make_unique<Context>(g);
    c->flags = 0;
    EXPECT_EQ(pv_set_context(g.vcpu(1), *c).error(), Errc::inval);
    EXPECT_TRUE(g.vcpu(1).pv->in_kernel);
    EXPECT_FALSE(g.vcpu(1).initialised);
    c->ctrlreg[1] = c->ctrlreg[3];
    EXPECT_TRUE(pv_set_context(g.vcpu(1), *c));
}

// Without XSAVE the area for floating point registers has no header behind it.
TEST_F(PageTables, TheRegistersOfAContextFitTheirArea) {
    PagedGuest g(1, 2);
    ASSERT_FALSE(cpu_features.xsave);
    auto c = std::make_unique<Context>(g);
    c->flags |= xen::VGCF_i387_valid;
    std::vector<uint8_t> area(1024, 0xaa);
    uint8_t* const own = std::exchange(g.vcpu(1).state.fpu, area.data());
    EXPECT_TRUE(pv_set_context(g.vcpu(1), *c));
    g.vcpu(1).state.fpu = own;
    EXPECT_EQ(area[0], 0);
    EXPECT_EQ(std::count(area.begin() + 512, area.end(), 0xaa), 512);
}

/// A tree of its own beside the guest's: one L4 over two L3, with two L2 each, with three L1 each.
struct Tree {
    Mfn l4;
    std::vector<Mfn> pages, l2s, l1s;
    explicit Tree(PagedGuest& g) : l4(g.page()) {
        for (unsigned i = 0; i < 2; ++i) {
            const Mfn l3 = add(g, l4, 3 * i);
            for (unsigned j = 0; j < 2; ++j) {
                l2s.push_back(add(g, l3, j));
                for (unsigned k = 0; k < 3; ++k) l1s.push_back(add(g, l2s.back(), 7 * k));
            }
        }
        for (const Mfn l1 : l1s)
            for (unsigned i = 0; i < 512; ++i) entry(l1, i) = entry_of(g.data, data_bits);
        pages.push_back(l4);
    }
    /// Nothing of it is a table, or held by anything but its domain.
    void expect_plain() const {
        for (const Mfn m : pages) {
            EXPECT_EQ(page_of(m).count.load(), page::allocated | 1);
            EXPECT_EQ(page_of(m).type.load() & (page::users_mask | page::partial | page::pinned), 0u);
        }
    }

private:
    Mfn add(PagedGuest& g, Mfn above, unsigned index) {
        pages.push_back(g.page());
        entry(above, index) = entry_of(pages.back(), table_bits);
        return pages.back();
    }
};

/// Repeats what is interrupted; how often it was goes to `turns`.
template <class F>
Status insist(F f, unsigned& turns) {
    for (turns = 1;; ++turns) {
        Status s = f();
        if (s || s.error() != Errc::restart) return s;
    }
}

TEST_F(PageTables, EveryTableButTheLowestCanBeInterrupted) {
    PagedGuest g(1);
    const Tree t(g);
    const uint64_t data_before = g.info(g.data).count.load();
    unsigned turns = 0;
    host::preempt_every(1);
    EXPECT_TRUE(insist([&] { return pin_table(g, t.l2s[0], PageType::l2); }, turns));
    EXPECT_EQ(turns, 4u) << "one L1 a turn";
    EXPECT_TRUE(insist([&] { return pin_table(g, t.l4, PageType::l4); }, turns));
    EXPECT_GT(turns, 12u);
    EXPECT_EQ(g.info(g.data).count.load(), data_before + 12 * 512);
    EXPECT_TRUE(insist([&] { return unpin_table(g, t.l4); }, turns));
    EXPECT_GT(turns, 8u);
    EXPECT_TRUE(insist([&] { return unpin_table(g, t.l2s[0]); }, turns));
    EXPECT_EQ(turns, 3u);
    host::preempt_every(0);
    EXPECT_EQ(g.info(g.data).count.load(), data_before);
    t.expect_plain();
}

// The last entry of a large tree is not allowed: what all the others took is given back in as many steps.
TEST_F(PageTables, ATreeThatIsRefusedIsTakenApartInSteps) {
    for (unsigned bad = 0; bad < 3; ++bad) {
        PagedGuest g(1);
        const Tree t(g);
        const Mfn where[] = {t.l4, t.l2s.back(), t.l1s.back()};
        entry(where[bad], bad == 0 ? 511 : 200) = entry_of(Mfn(3), data_bits);
        const uint64_t data_before = g.info(g.data).count.load();
        unsigned turns = 0;
        host::preempt_every(1);
        EXPECT_EQ(insist([&] { return set_kernel_root(g.vcpu(), t.l4); }, turns).error(), Errc::inval);
        EXPECT_EQ(g.vcpu().pv->pending_put, &g.info(t.l4));
        EXPECT_GT(g.info(g.data).count.load(), data_before) << "not all at once";
        EXPECT_TRUE(insist([&] { return finish_pending_put(g.vcpu()); }, turns));
        EXPECT_GT(turns, 4u);
        host::preempt_every(0);
        EXPECT_EQ(g.info(g.data).count.load(), data_before);
        EXPECT_EQ(g.vcpu().pv->kernel_root, g.l4);
        t.expect_plain();
    }
}

// The same through an entry and through a pin, and a domain that ends in the middle of it.
TEST_F(PageTables, ARefusedTreeIsTheVcpusToFinish) {
    domains_reap();
    const Resources start;
    {
        PagedGuest g(1);
        const Tree t(g);
        entry(t.l1s.back(), 511) = entry_of(Mfn(3), data_bits);
        const Mfn last_l3 = t.pages[9];
        unsigned turns = 0;
        host::preempt_every(1);
        const auto link = [&] {
            Guard lock(g->pv->lock);
            return update_table(g.vcpu(), g, &entry(g.l4, 1), entry_of(last_l3, table_bits), 4, KeepAccessed::no);
        };
        EXPECT_EQ(insist(link, turns).error(), Errc::inval);
        EXPECT_EQ(g.vcpu().pv->pending_put, &g.info(last_l3));
        EXPECT_TRUE(insist([&] { return finish_pending_put(g.vcpu()); }, turns));
        t.expect_plain();

        EXPECT_EQ(insist([&] { return pin_table(g, t.l4, PageType::l4); }, turns).error(), Errc::intr);
        postpone_release(g.vcpu(), g, t.l4);
        EXPECT_EQ(g.vcpu().pv->pending_put, &g.info(t.l4));
        // The domain ends here.
    }
    host::preempt_every(0);
    domains_reap();
    EXPECT_EQ(heap::free_pages().n, start.pages);
}

// A domain that maps one page a few thousand million times gets no more references, before there are none for ourselves.
TEST_F(PageTables, TheLastReferencesArentTheGuests) {
    PagedGuest g(1);
    PageInfo& p = g.info(g.data);
    const uint64_t count = p.count.exchange(page::allocated | (page::count_limit - 1));
    EXPECT_TRUE(get_page(p, g->id));
    EXPECT_FALSE(get_page(p, g->id));
    get_page_again(p);
    p.count = count;
}

// Bits that no reference depends on change without any being taken.
TEST_F(PageTables, AnEntryChangesItsBitsWhereItIs) {
    PagedGuest g(1);
    PageInfo& p = g.info(g.data);
    uint64_t& slot = entry(g.l1, 0);
    const auto update = [&](uint64_t bits) {
        Guard lock(g->pv->lock);
        return update_l1(g, g, &slot, entry_of(g.data, bits), KeepAccessed::no);
    };
    const uint64_t count = p.count.exchange(page::allocated | page::count_limit);
    EXPECT_TRUE(update((data_bits & ~pte::user) | pte::avail | pte::global | pte::pcd));
    EXPECT_EQ(slot, entry_of(g.data, data_bits | pte::avail)) << "the cache type is ours, and so are user and global";
    EXPECT_FALSE(update(data_bits & ~pte::rw)) << "another use: a reference would be needed";
    p.count = count;
    EXPECT_TRUE(update(data_bits & ~pte::rw));
    EXPECT_EQ(p.type.load() & page::users_mask, 0u);
}

// Before a page becomes a table: the CPUs of its owner flush, and the control domain's; others need not.
TEST_F(PageTables, AChangeOfTypeFlushesWhoeverMayHaveTranslations) {
    PagedGuest g(1);
    const Mfn m = g.page();
    const auto flushes = [](unsigned cpu) { return host::record(cpu).tlb_flushes.load(); };
    uint64_t seen[test_cpus];
    const auto change = [&](unsigned owner_cpu, unsigned dom0_cpu) {
        ASSERT_TRUE(get_writable_type(g.info(m)));
        put_writable_type(g.info(m));
        for (unsigned c = 0; c < test_cpus; ++c) seen[c] = flushes(c);
        g->dirty_cpus.set(owner_cpu);
        dom0->dirty_cpus.set(dom0_cpu);
        ASSERT_TRUE(pin_table(g, m, PageType::l1));
        ASSERT_TRUE(unpin_table(g, m));
        g->dirty_cpus.clear(owner_cpu);
        dom0->dirty_cpus.clear(dom0_cpu);
    };
    change(2, 3);
    EXPECT_EQ(flushes(0), seen[0]);
    EXPECT_EQ(flushes(1), seen[1]);
    EXPECT_EQ(flushes(2), seen[2] + 1);
    EXPECT_EQ(flushes(3), seen[3] + 1);
}

// Between the end of the last use and the stamp the page is nobody's: who took it up then would trust the stamp before.
TEST_F(PageTables, APageIsNotTakenUpBeforeItIsStamped) {
    PagedGuest g(1);
    const Mfn m = g.page();
    PageInfo& p = g.info(m);
    ASSERT_TRUE(get_writable_type(p));
    put_writable_type(p);
    const uint64_t settled = p.type.load();
    EXPECT_EQ(settled & (page::leaving | page::users_mask), 0u);
    for (const bool as_table : {false, true}) {
        p.type = settled | page::leaving;
        std::atomic<bool> taken{false};
        std::thread other([&] {
            host::become(2);
            if (as_table) {
                EXPECT_TRUE(pin_table(g, m, PageType::l1));
                taken = true;
                EXPECT_TRUE(unpin_table(g, m));
            } else {
                EXPECT_TRUE(get_writable_type(p));
                taken = true;
                put_writable_type(p);
            }
        });
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        EXPECT_FALSE(taken.load());
        p.type = settled;
        other.join();
        EXPECT_TRUE(taken.load());
    }
}

// update_va_mapping flushes the vCPUs where they are after the update: one that starts to run while the call waits for the lock
// may have seen the old entry.
TEST_F(PageTables, WhomToFlushIsKnownAfterTheUpdate) {
    PagedGuest g(1, 2);
    alignas(8) const uint8_t second = 2;
    for (const uint64_t whom : {uint64_t{xen::UVMF_ALL}, address(&second)}) {
        const uint64_t seen = host::record(3).tlb_flushes.load();
        std::thread caller;
        {
            Guard wait(g->pv->lock);
            caller = std::thread([&] {
                host::become(2);
                EXPECT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_update_va_mapping), g.vcpu(), 0,
                                      entry_of(g.data, data_bits & ~pte::rw), xen::UVMF_TLB_FLUSH | whom));
            });
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
            g.vcpu(1).running_on = 3;
            g->dirty_cpus.set(3);
        }
        caller.join();
        EXPECT_EQ(host::record(3).tlb_flushes.load(), seen + 1);
        g.vcpu(1).running_on = -1;
        g->dirty_cpus.clear(3);
    }
}

// An instruction that the guest executes on an entry is one step: a dirty bit that the CPU sets in between is not lost.
TEST_F(PageTables, AnEntryIsExchangedOnlyForTheOneThatWasSeen) {
    PagedGuest g(1);
    const Mfn m = g.page();
    uint64_t& slot = entry(g.l1, 0);
    const uint64_t seen = slot & ~pte::dirty;
    Guard lock(g->pv->lock);
    for (const uint64_t wanted : {uint64_t{0}, entry_of(m, data_bits), seen & ~pte::rw, seen | pte::avail}) {
        const uint64_t counts[] = {g.info(m).count.load(), g.info(m).type.load(), g.info(g.data).count.load(),
                                   g.info(g.data).type.load()};
        EXPECT_EQ(exchange_l1(g, &slot, seen, wanted).error(), Errc::again);
        EXPECT_EQ(slot, seen | pte::dirty);
        EXPECT_EQ(g.info(m).count.load(), counts[0]);
        EXPECT_EQ(g.info(m).type.load() & page::users_mask, counts[1] & page::users_mask);
        EXPECT_EQ(g.info(g.data).count.load(), counts[2]);
        EXPECT_EQ(g.info(g.data).type.load(), counts[3]);
    }
    EXPECT_TRUE(exchange_l1(g, &slot, slot, slot | pte::avail));
    EXPECT_EQ(slot, entry_of(g.data, data_bits | pte::avail));
    EXPECT_TRUE(exchange_l1(g, &slot, slot, entry_of(m, data_bits)));
    EXPECT_EQ(g.info(g.data).count.load(), page::allocated | 1);
    EXPECT_EQ(g.info(m).count.load(), page::allocated | 2);
    EXPECT_TRUE(exchange_l1(g, &slot, slot, 0));
    EXPECT_EQ(g.info(m).count.load(), page::allocated | 1);
}

// A tool that pins a table of a domain that ends would keep it for ever.
TEST_F(PageTables, AnEndingDomainsTablesAreNotPinned) {
    PagedGuest g(1);
    const Mfn m = g.page();
    host::preempt_every(1);
    EXPECT_EQ(domain_kill(g).error(), Errc::restart);
    host::preempt_every(0);
    EXPECT_EQ(pin_table(g, m, PageType::l1).error(), Errc::inval);
}

}  // namespace
