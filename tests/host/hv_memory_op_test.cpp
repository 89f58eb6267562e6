// SPDX-License-Identifier: Apache-2.0
// link: hvcore
#include "abi/xen/memory.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/hypercall/machine_info.hpp"
#include "hypervisor/mm/tlb.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;
using Frames = std::vector<uint64_t>;

Result<uint64_t> memory_op(Vcpu& v, uint32_t cmd, void* arg, unsigned* turns = nullptr) {
    return hypercall(hypercall_handler(xen::HYPERVISOR_memory_op), v, cmd, address(arg), 0, turns);
}

xen::MemoryReservation reservation(Frames& f, unsigned order, uint16_t domid, uint32_t flags = 0) {
    return {{address(f.data())}, f.size(), order, flags, domid, {}};
}

Frames sequence(uint64_t n, uint64_t first = 0) {
    Frames f(n);
    std::iota(f.begin(), f.end(), first);
    return f;
}

class Memory : public ::testing::Test {
protected:
    Guest& dom0 = control_domain();
    Guest guest{11};
    uint64_t size() {
        xen::MemoryDomain self{xen::DOMID_SELF};
        return must(memory_op(guest.vcpu(), xen::XENMEM_current_reservation, &self));
    }
    /// n single pages with pseudo-physical numbers from `first`.
    Frames populate(uint64_t n, uint64_t first) {
        Frames f = sequence(n, first);
        auto r = reservation(f, 0, 11);
        EXPECT_EQ(must(memory_op(dom0.vcpu(), xen::XENMEM_populate_physmap, &r)), n);
        return f;
    }
};

// An extent is not interrupted: clearing a gigabyte would keep the CPU for a tenth of a second.
TEST_F(Memory, NobodyGetsMoreThanTwoMegabytesAtOnce) {
    Frames f{0x1000};
    auto r = reservation(f, 10, 11);
    EXPECT_EQ(must(memory_op(dom0.vcpu(), xen::XENMEM_populate_physmap, &r)), 0u);
    EXPECT_EQ(must(memory_op(dom0.vcpu(), xen::XENMEM_decrease_reservation, &r)), 0u);
    r.extent_order = 9;
    EXPECT_EQ(must(memory_op(dom0.vcpu(), xen::XENMEM_populate_physmap, &r)), 1u);
    EXPECT_EQ(size(), 512u);
}

TEST_F(Memory, PopulateGivesFramesAndNumbersThem) {
    Frames f = sequence(4, 0x1000);
    for (uint64_t& x : f) x = 0x1000 + (x - 0x1000) * 16;
    auto r = reservation(f, 4, 11);
    host::preempt_every(2);
    unsigned turns = 0;
    EXPECT_EQ(must(memory_op(dom0.vcpu(), xen::XENMEM_populate_physmap, &r, &turns)), 4u);
    host::preempt_every(0);
    EXPECT_GT(turns, 1u);
    EXPECT_EQ(size(), 64u);
    for (unsigned i = 0; i < 4; ++i)
        for (unsigned j = 0; j < 16; ++j) EXPECT_EQ(m2p(Mfn(f[i] + j)), 0x1000 + i * 16 + j);
}

TEST_F(Memory, LimitAndRightsAreKept) {
    guest->max_pages = 10;
    Frames f = sequence(20);
    auto r = reservation(f, 0, 11);
    EXPECT_EQ(must(memory_op(dom0.vcpu(), xen::XENMEM_populate_physmap, &r)), 10u);
    auto of_dom0 = reservation(f, 0, 0);
    EXPECT_EQ(memory_op(guest.vcpu(), xen::XENMEM_populate_physmap, &of_dom0).error(), Errc::perm);
    auto huge = reservation(f, 10, xen::DOMID_SELF);
    EXPECT_EQ(must(memory_op(guest.vcpu(), xen::XENMEM_populate_physmap, &huge)), 0u);
    EXPECT_EQ(must(hypercall(hypercall_handler(xen::HYPERVISOR_memory_op), guest.vcpu(), xen::XENMEM_populate_physmap, 16)), 0u)
        << "bad pointer";
    auto nobody = reservation(f, 0, 999);
    EXPECT_EQ(must(memory_op(dom0.vcpu(), xen::XENMEM_populate_physmap, &nobody)), 0u);
}

TEST_F(Memory, DecreaseStopsAtTheFirstBadFrame) {
    Frames f = populate(8, 0);
    f[5] = 3;  // somebody else's
    auto r = reservation(f, 0, xen::DOMID_SELF);
    EXPECT_EQ(must(memory_op(guest.vcpu(), xen::XENMEM_decrease_reservation, &r)), 5u);
    EXPECT_EQ(size(), 3u);
    Frames shared{mfn_of(guest->shared).raw};
    auto s = reservation(shared, 0, xen::DOMID_SELF);
    EXPECT_EQ(must(memory_op(guest.vcpu(), xen::XENMEM_decrease_reservation, &s)), 0u);
}

xen::MemoryExchange exchange_of(Frames& in, unsigned in_order, Frames& out, unsigned out_order, unsigned bits = 0) {
    return {reservation(in, in_order, xen::DOMID_SELF), reservation(out, out_order, xen::DOMID_SELF, bits), 0};
}

/// What Linux does to get a bounce buffer that devices can reach.
TEST_F(Memory, ExchangeMakesOneContiguousBlockBelowALimit) {
    Frames in = populate(512, 0x400);
    Frames out{0x400};
    auto x = exchange_of(in, 0, out, 9, 24);
    EXPECT_EQ(memory_op(dom0.vcpu(), xen::XENMEM_exchange, &x).error(), Errc::inval) << "not dom0's frames";
    ASSERT_TRUE(memory_op(guest.vcpu(), xen::XENMEM_exchange, &x));
    EXPECT_EQ(x.nr_exchanged, 512u);
    EXPECT_EQ(out[0] % 512, 0u);
    EXPECT_LE((out[0] + 512) << 12, 1u << 24);
    for (unsigned i = 0; i < 512; ++i) EXPECT_EQ(m2p(Mfn(out[0] + i)), 0x400u + i);
    for (uint64_t old : in)
        if (old < out[0] || old >= out[0] + 512) { EXPECT_EQ(m2p(Mfn(old)), invalid_m2p_entry); }
    EXPECT_EQ(size(), 512u);
    // And back into single pages, in several turns.
    Frames whole{out[0]};
    Frames single = sequence(512, 0x400);
    auto back = exchange_of(whole, 9, single, 0);
    ASSERT_TRUE(memory_op(guest.vcpu(), xen::XENMEM_exchange, &back));
    EXPECT_EQ(back.nr_exchanged, 1u);
    EXPECT_EQ(size(), 512u);
    for (unsigned i = 0; i < 512; ++i) EXPECT_EQ(m2p(Mfn(single[i])), 0x400u + i);
}

// A frame that an exchange takes and gives back forgets its type, which is what tells the next user to flush.
TEST_F(Memory, AFrameThatComesBackHasLeftTheTlbs) {
    Frames in = populate(1, 0);
    in.push_back(3);  // not the guest's: the exchange fails after it has taken the first
    PageInfo& p = page_of(Mfn(in[0]));
    ASSERT_TRUE(get_writable_type(p));  // mapped writable, and no more; the guest has not flushed
    put_writable_type(p);
    const uint64_t before = host::record(1).tlb_flushes.load();
    Frames out{0};
    auto x = exchange_of(in, 0, out, 1);
    EXPECT_FALSE(memory_op(guest.vcpu(), xen::XENMEM_exchange, &x));
    ASSERT_EQ(p.owner.load(), guest->id.raw);
    Guard g(guest->pv->lock);
    ASSERT_TRUE(get_page_type(guest, p, PageType::l1));
    EXPECT_GT(host::record(1).tlb_flushes.load(), before);
    ASSERT_TRUE(put_page_type(guest, p));
}

class MemoryBack : public Memory {
protected:
    static void fill(uint64_t m, uint8_t byte) { memset(map_mfn(Mfn(m)), byte, page_size); }
    static bool all_are(uint64_t m, uint8_t byte) {
        const uint8_t* p = map_mfn(Mfn(m));
        return std::all_of(p, p + page_size, [byte](uint8_t b) { return b == byte; });
    }
    static void give(Guest& g, uint64_t m) {
        Frames f{m};
        auto r = reservation(f, 0, xen::DOMID_SELF);
        EXPECT_EQ(must(memory_op(g.vcpu(), xen::XENMEM_decrease_reservation, &r)), 1u);
        EXPECT_EQ(m2p(Mfn(m)), invalid_m2p_entry);
    }
    static uint64_t take(Guest& g, unsigned bits = 0) {
        Frames f{0x77};
        auto r = reservation(f, 0, xen::DOMID_SELF, bits);
        EXPECT_EQ(must(memory_op(g.vcpu(), xen::XENMEM_populate_physmap, &r)), 1u);
        EXPECT_EQ(m2p(Mfn(f[0])), 0x77u);
        return f[0];
    }
};

// A domain gets back what it left in a page, and never what anybody else did.
TEST_F(MemoryBack, APageHasNothingInItOfOthers) {
    Guest other{12};
    const uint64_t m = take(guest);
    EXPECT_TRUE(all_are(m, 0));
    fill(m, 0x5a);
    give(guest, m);
    ASSERT_EQ(take(guest), m);
    EXPECT_TRUE(all_are(m, 0x5a)) << "nobody had it: it need not be cleared";
    give(guest, m);
    ASSERT_EQ(take(other), m);
    EXPECT_TRUE(all_are(m, 0)) << "another domain's page";
    fill(m, 0xa5);
    give(other, m);
    ASSERT_EQ(take(guest), m);
    EXPECT_TRUE(all_are(m, 0)) << "another domain has had it since";
    give(guest, m);
    void* ours = must(heap::alloc_page_zeroed());
    ASSERT_EQ(mfn_of(ours).raw, m);
    fill(m, 0xa5);
    heap::free_page(ours);
    ASSERT_EQ(take(guest), m);
    EXPECT_TRUE(all_are(m, 0)) << "the hypervisor has had it since";
}

// Who builds or moves a domain gives its pages back and takes others, and counts on clear ones.
TEST_F(MemoryBack, APageThatAnotherAsksForIsClear) {
    const uint64_t m = take(guest);
    fill(m, 0x5a);
    Frames f{m};
    auto r = reservation(f, 0, 11);
    ASSERT_EQ(must(memory_op(dom0.vcpu(), xen::XENMEM_decrease_reservation, &r)), 1u);
    ASSERT_EQ(must(memory_op(dom0.vcpu(), xen::XENMEM_populate_physmap, &r)), 1u);
    ASSERT_EQ(f[0], m);
    EXPECT_TRUE(all_are(m, 0));
}

TEST_F(MemoryBack, APageOfADomainThatHasEndedIsNobodys) {
    {
        Guest before{13};
        const uint64_t m = take(before);
        fill(m, 0x5a);
        give(before, m);
    }
    Guest after{13};
    for (unsigned i = 0; i < 64; ++i) EXPECT_TRUE(all_are(take(after), 0));
}

// Nobody flushes when a page comes back, so it must be told from a new one by who changes its use.
TEST_F(MemoryBack, APageIsFlushedBeforeItsUseChanges) {
    Guest other{12};
    guest->dirty_cpus.set(1);
    const uint64_t m = take(guest);
    PageInfo& p = page_of(Mfn(m));
    ASSERT_TRUE(get_writable_type(p));
    put_writable_type(p);
    const uint64_t before = host::record(1).tlb_flushes.load();
    give(guest, m);
    ASSERT_EQ(take(guest), m);
    EXPECT_EQ(host::record(1).tlb_flushes.load(), before);
    {
        Guard g(guest->pv->lock);
        ASSERT_TRUE(get_page_type(guest, p, PageType::l1));
        EXPECT_GT(host::record(1).tlb_flushes.load(), before);
        ASSERT_TRUE(put_page_type(guest, p));
    }
    give(guest, m);
    const uint64_t later = host::record(1).tlb_flushes.load();
    ASSERT_EQ(take(other), m);
    EXPECT_GT(host::record(1).tlb_flushes.load(), later) << "of another owner: at once";
    guest->dirty_cpus.clear(1);
}

TEST_F(MemoryBack, LimitsHoldForAPageThatComesBack) {
    const uint64_t m = take(guest);
    give(guest, m);
    const uint64_t free = heap::free_pages().n;
    guest->max_pages = 0;
    Frames f{0x77};
    auto r = reservation(f, 0, xen::DOMID_SELF);
    EXPECT_EQ(must(memory_op(guest.vcpu(), xen::XENMEM_populate_physmap, &r)), 0u);
    EXPECT_EQ(heap::free_pages().n, free);
    guest->max_pages = 4;
    const auto bits = static_cast<unsigned>(page_shift + std::bit_width(m) - 1);
    const uint64_t low = take(guest, bits);
    EXPECT_LT(low << page_shift, uint64_t{1} << bits) << "not what it left: that lies too high";
    EXPECT_EQ(take(guest), m);
    // A guest may ask for any number of bits: none of memory has so few, and more than an address has are no limit.
    give(guest, m);
    for (const unsigned few : {1U, 11U, 12U}) {
        auto too_low = reservation(f, 0, xen::DOMID_SELF, few);
        EXPECT_EQ(must(memory_op(guest.vcpu(), xen::XENMEM_populate_physmap, &too_low)), 0u) << few;
    }
    for (const unsigned many : {64U, 76U, 188U, 255U}) {
        ASSERT_EQ(take(guest, many), m) << many;
        give(guest, m);
    }
    ASSERT_EQ(take(guest), m);
    // Promised to others, whoever had it.
    give(guest, m);
    Guest builder{12};
    builder->max_pages = heap::free_pages().n;
    ASSERT_TRUE(domain_claim(builder, heap::free_pages().n));
    EXPECT_EQ(must(memory_op(guest.vcpu(), xen::XENMEM_populate_physmap, &r)), 0u);
    ASSERT_TRUE(domain_claim(builder, 0));
}

// Whoever still refers to a page keeps it for the time, as ever.
TEST_F(MemoryBack, APageInUseIsFreedWithItsLastReference) {
    const uint64_t m = take(guest);
    PageRef used = must(PageRef::acquire(Mfn(m), guest->id));
    Frames f{m};
    auto r = reservation(f, 0, xen::DOMID_SELF);
    EXPECT_EQ(must(memory_op(guest.vcpu(), xen::XENMEM_decrease_reservation, &r)), 1u);
    EXPECT_EQ(must(memory_op(guest.vcpu(), xen::XENMEM_decrease_reservation, &r)), 0u) << "given back already";
    EXPECT_EQ(page_of(Mfn(m)).owner.load(), guest->id.raw);
    EXPECT_NE(take(guest), m);
    used.reset();
    EXPECT_EQ(page_of(Mfn(m)).owner.load(), no_owner);
    EXPECT_EQ(take(guest), m);
}

TEST_F(Memory, ExchangeContinuesWhereItStopped) {
    Frames in = populate(64, 0);
    Frames out{0, 16, 32, 48};
    auto x = exchange_of(in, 0, out, 4);
    host::preempt_every(1);
    unsigned turns = 0;
    auto r = hypercall(hypercall_handler(xen::HYPERVISOR_memory_op), guest.vcpu(), xen::XENMEM_exchange, address(&x), 0, &turns);
    host::preempt_every(0);
    ASSERT_TRUE(r);
    EXPECT_EQ(turns, 4u);
    EXPECT_EQ(x.nr_exchanged, 64u);
    EXPECT_EQ(size(), 64u);
}

TEST_F(Memory, ExchangeOfAPageInUseChangesNothing) {
    Frames in = populate(16, 0x50);
    PageRef used = must(PageRef::acquire(Mfn(in[7]), DomId(11)));
    Frames out{0x50};
    auto x = exchange_of(in, 0, out, 4);
    EXPECT_EQ(memory_op(guest.vcpu(), xen::XENMEM_exchange, &x).error(), Errc::inval);
    EXPECT_EQ(x.nr_exchanged, 0u);
    EXPECT_EQ(size(), 16u);
    for (unsigned i = 0; i < 16; ++i) {
        EXPECT_EQ(m2p(Mfn(in[i])), 0x50u + i);
        EXPECT_TRUE(PageRef::acquire(Mfn(in[i]), DomId(11)));
    }
}

TEST_F(Memory, ExchangeArgumentsAreChecked) {
    Frames in = populate(16, 0);
    Frames out{0};
    auto x = exchange_of(in, 0, out, 3);
    EXPECT_EQ(memory_op(guest.vcpu(), xen::XENMEM_exchange, &x).error(), Errc::inval) << "16 pages for 8";
    x = exchange_of(in, 0, out, 10);
    EXPECT_EQ(memory_op(guest.vcpu(), xen::XENMEM_exchange, &x).error(), Errc::perm) << "too large for a guest";
    x = exchange_of(in, 0, out, 4);
    x.nr_exchanged = 17;
    EXPECT_EQ(memory_op(guest.vcpu(), xen::XENMEM_exchange, &x).error(), Errc::inval);
    x = exchange_of(in, 0, out, 4);
    x.out.domid = 0;
    EXPECT_EQ(memory_op(guest.vcpu(), xen::XENMEM_exchange, &x).error(), Errc::inval);
    x = exchange_of(in, 0, out, 4);
    x.in.nr_extents = ~uint64_t{0};
    EXPECT_EQ(memory_op(guest.vcpu(), xen::XENMEM_exchange, &x).error(), Errc::inval);
    x = exchange_of(in, 0, out, 4, 13);
    EXPECT_EQ(memory_op(guest.vcpu(), xen::XENMEM_exchange, &x).error(), Errc::nomem);
    EXPECT_EQ(size(), 16u);
}

TEST_F(Memory, MapsAreStoredAndTold) {
    parse::E820Entry entries[2] = {{0, 0x100000, 1}, {0x100000, 0x1000, 2}};
    xen::ForeignMemoryMap set{11, {}, {2, 0, {address(entries)}}};
    parse::E820Entry told[8] = {};
    xen::MemoryMap get{8, 0, {address(told)}};
    EXPECT_EQ(memory_op(guest.vcpu(), xen::XENMEM_memory_map, &get).error(), Errc::nosys);
    ASSERT_TRUE(memory_op(dom0.vcpu(), xen::XENMEM_set_memory_map, &set));
    ASSERT_TRUE(memory_op(guest.vcpu(), xen::XENMEM_memory_map, &get));
    EXPECT_EQ(get.nr_entries, 2u);
    EXPECT_EQ(told[1].type, 2u);
    machine_info.memory_map[0] = {0, 4096, 1};
    machine_info.memory_map_entries = 1;
    xen::MemoryMap host{8, 0, {address(told)}};
    EXPECT_EQ(memory_op(guest.vcpu(), xen::XENMEM_machine_memory_map, &host).error(), Errc::perm);
    ASSERT_TRUE(memory_op(dom0.vcpu(), xen::XENMEM_machine_memory_map, &host));
    EXPECT_EQ(host.nr_entries, 1u);
}

TEST_F(Memory, GrantFramesAreAResource) {
    Frames list(3);
    xen::MemAcquireResource r{};
    r.domid = 11;
    r.type = xen::XENMEM_resource_grant_table;
    r.id = xen::XENMEM_resource_grant_table_id_shared;
    ASSERT_TRUE(memory_op(dom0.vcpu(), xen::XENMEM_acquire_resource, &r));
    EXPECT_EQ(r.nr_frames, 64u);
    r.nr_frames = 3;
    r.frame_list = {address(list.data())};
    ASSERT_TRUE(memory_op(dom0.vcpu(), xen::XENMEM_acquire_resource, &r));
    for (uint64_t f : list) EXPECT_TRUE(PageRef::acquire(Mfn(f), DomId(11)));
    EXPECT_EQ(memory_op(guest.vcpu(), xen::XENMEM_acquire_resource, &r).error(), Errc::perm);
    r.frame = 63;
    EXPECT_EQ(memory_op(dom0.vcpu(), xen::XENMEM_acquire_resource, &r).error(), Errc::inval);
}

TEST_F(Memory, ClaimsComeThroughTheCall) {
    xen::MemoryReservation r{{}, 100, 0, 0, 11, {}};
    EXPECT_EQ(memory_op(guest.vcpu(), xen::XENMEM_claim_pages, &r).error(), Errc::perm);
    ASSERT_TRUE(memory_op(dom0.vcpu(), xen::XENMEM_claim_pages, &r));
    EXPECT_EQ(claimed_pages().n, 100u);
    populate(60, 0);
    EXPECT_EQ(claimed_pages().n, 40u);
    r.nr_extents = 0;
    ASSERT_TRUE(memory_op(dom0.vcpu(), xen::XENMEM_claim_pages, &r));
    EXPECT_EQ(claimed_pages().n, 0u);
}

}  // namespace
