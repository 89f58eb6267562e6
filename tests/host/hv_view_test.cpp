// SPDX-License-Identifier: Apache-2.0
// link: hvcore
// Views of isolated guests: what their page tables show of the hypervisor, and that they follow the guest's L4.
#include "hypervisor/guest/pv/view.hpp"

#include <map>

#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/arch/x86/speculation_plan.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;

constexpr uint64_t table_bits = pte::present | pte::rw | pte::user | pte::accessed | pte::dirty;
constexpr uint64_t image = image_virt_base;

uint64_t& entry(Mfn table, unsigned i) { return map_mfn<uint64_t>(table)[i]; }
uint64_t entry_of(Mfn m, uint64_t bits) { return m.address() | bits; }

const VisiblePages& some_pages() {
    static VisiblePages list;
    // Neighbours, far apart, and in another L2 table than the first.
    if (!list.empty()) return list;
    for (const uint64_t offset : {0x101000u, 0x102000u, 0x3ff000u, 0x40000000u})
        EXPECT_TRUE(list.push({image + offset, offset | pte::present | pte::nx}));
    return list;
}

/// Every page that `table` maps, by its address.
void collect(const uint64_t* table, unsigned level, uint64_t base, std::map<uint64_t, uint64_t>& leaves) {
    for (uint64_t i = 0; i < 512; ++i) {
        if (!(table[i] & pte::present)) continue;
        uint64_t va = base | i << (12 + 9 * (level - 1));
        if (level == 4 && i >= 256) va |= 0xffff'0000'0000'0000;
        if (level == 1) leaves[va] = table[i];
        else collect(map_mfn<uint64_t>(Mfn::of_address(table[i] & pte::frame_mask)), level - 1, va, leaves);
    }
}

/// An isolated guest on CPU 1, whose L4 has one L3.
struct IsolatedGuest : Guest {
    Mfn l4, l3;
    explicit IsolatedGuest(uint16_t id) : Guest(id, 2), l4(page()), l3(page()) {
        entry(l4, 0) = entry_of(l3, table_bits);
        EXPECT_TRUE(set_kernel_root(vcpu(), l4));
        d->dirty_cpus.set(1);
        host::become(1);
        this_cpu().current = &vcpu();
        this_cpu().loaded_cr3 = l4.address();
        view_forget(1);
    }
    ~IsolatedGuest() {
        this_cpu().current = this_cpu().idle;
        this_cpu().loaded_cr3 = 0;
        host::become(0);
    }
    const uint64_t* view() { return map_mfn<uint64_t>(Mfn::of_address(pv_view_to_leave_with(vcpu()))); }
};

struct Views : testing::Test {
    Views() {
        control_domain();
        static const bool once = [] {
            for (unsigned c = 0; c < test_cpus; ++c) EXPECT_TRUE(view_create(c, some_pages()));
            return true;
        }();
        (void)once;
        speculation.isolate_domu = true;
        // Something in each of the hypervisor's slots, that every validated L4 gets.
        for (unsigned s = l4_slot_m2p; s < l4_slot_end; ++s) idle_l4[s] = secret_table().address() | pte::present;
    }
    ~Views() override {
        speculation.isolate_domu = false;
        for (unsigned s = l4_slot_m2p; s < l4_slot_end; ++s) idle_l4[s] = 0;
    }
    static Mfn secret_table() {
        static const Mfn m = mfn_of(must(heap::alloc_page_zeroed()));
        return m;
    }
};

TEST_F(Views, OnlyDomainsThatAreIsolatedHaveOne) {
    speculation.isolate_domu = false;
    IsolatedGuest g(1);
    EXPECT_EQ(pv_view_to_leave_with(g.vcpu()), 0u);
}

TEST_F(Views, OfTheHypervisorOnlyTheListedPagesAreMapped) {
    IsolatedGuest g(1);
    const uint64_t* view = g.view();
    for (unsigned s = l4_slot_m2p; s < l4_slot_end; ++s) {
        if (s == l4_slot_image) continue;
        const bool shown = s == l4_slot_m2p || s == l4_slot_perdomain;
        EXPECT_EQ(view[s], shown ? entry(g.l4, s) : 0) << "slot " << s;
    }
    std::map<uint64_t, uint64_t> seen, wanted;
    uint64_t image_only[512] = {};
    image_only[l4_slot_image] = view[l4_slot_image];
    collect(image_only, 4, 0, seen);
    for (const VisiblePage& p : some_pages()) wanted[p.va] = p.entry;
    EXPECT_EQ(seen, wanted);
    EXPECT_NE(view, map_mfn<uint64_t>(g.l4));
}

TEST_F(Views, ItHasTheGuestsOwnEntriesAndFollowsThem) {
    IsolatedGuest g(1);
    EXPECT_EQ(g.view()[0], entry(g.l4, 0));
    EXPECT_EQ(g.view()[300], 0u);
    const Mfn more = g.page();
    Guard lock(g->pv->lock);
    ASSERT_TRUE(update_table(g.vcpu(), g, &entry(g.l4, 300), entry_of(more, table_bits), 4, KeepAccessed::no));
    EXPECT_EQ(g.view()[300], entry_of(more, table_bits));
    ASSERT_TRUE(update_table(g.vcpu(), g, &entry(g.l4, 300), 0, 4, KeepAccessed::no));
    EXPECT_EQ(g.view()[300], 0u);
}

TEST_F(Views, NothingIsCopiedTwice) {
    IsolatedGuest g(1);
    const uint64_t* view = g.view();
    cpu_views[1].roots[1].table[7] = 0x1000;  // would be overwritten
    EXPECT_EQ(g.view(), view);
    EXPECT_EQ(view[7], 0x1000u);
    view_forget(1);
    EXPECT_EQ(g.view()[7], 0u);
}

TEST_F(Views, KernelAndUserHaveCopiesOfTheirOwn) {
    IsolatedGuest g(1);
    const Mfn user = g.page();
    ASSERT_TRUE(set_user_root(g.vcpu(), user));
    const uint64_t* kernel_view = g.view();
    g.vcpu().pv->in_kernel = false;
    this_cpu().loaded_cr3 = user.address();
    EXPECT_NE(g.view(), kernel_view);
    EXPECT_EQ(g.view()[0], 0u);
    EXPECT_EQ(kernel_view[0], entry(g.l4, 0));
    g.vcpu().pv->in_kernel = true;
    this_cpu().loaded_cr3 = g.l4.address();
}

TEST_F(Views, ARootUsedAgainIsCopiedAgain) {
    IsolatedGuest g(1);
    const Mfn other = g.page();
    g.view();
    // The L4 becomes an ordinary page, is written, and is a root again.
    ASSERT_TRUE(set_kernel_root(g.vcpu(), other));
    entry(g.l4, 0) = 0;
    ASSERT_TRUE(set_kernel_root(g.vcpu(), g.l4));
    EXPECT_EQ(g.view()[0], 0u);
}

TEST_F(Views, AnotherCpuOnTheSameRootIsTold) {
    IsolatedGuest g(1);
    g->dirty_cpus.set(2);
    g->dirty_cpus.set(3);
    cpus[2].loaded_cr3 = g.l4.address();
    const Mfn more = g.page();  // flushes too: the frame may have been another's
    const uint64_t before2 = host::record(2).tlb_flushes, before3 = host::record(3).tlb_flushes;
    {
        Guard lock(g->pv->lock);
        ASSERT_TRUE(update_table(g.vcpu(), g, &entry(g.l4, 300), entry_of(more, table_bits), 4, KeepAccessed::no));
    }
    EXPECT_EQ(host::record(2).tlb_flushes, before2 + 1);
    EXPECT_EQ(host::record(3).tlb_flushes, before3) << "it runs on another table";
    cpus[2].loaded_cr3 = 0;
    g->dirty_cpus.clear(2);
    g->dirty_cpus.clear(3);
}

TEST_F(Views, ALinearPageTableDoesNotLeadToTheHypervisor) {
    IsolatedGuest g(1);
    const Mfn other = g.page();
    ASSERT_TRUE(pin_table(g, other, PageType::l4));
    // As if the guest had been allowed them: through one of these, the hypervisor's slots would be tables of a lower level.
    entry(g.l4, 5) = entry_of(g.l4, pte::present | pte::user);
    entry(g.l4, 6) = entry_of(other, pte::present | pte::user);
    view_forget(1);
    const uint64_t* view = g.view();
    EXPECT_EQ(view[5], mfn_of(view).address() | pte::present | pte::user);
    EXPECT_EQ(view[6], 0u);
    entry(g.l4, 5) = entry(g.l4, 6) = 0;
    ASSERT_TRUE(unpin_table(g, other));
}

}  // namespace
