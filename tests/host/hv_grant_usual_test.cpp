// SPDX-License-Identifier: Apache-2.0
// link: hvcore
// tsan
// The short ways of grants: mapped at addresses, in lists, and copied one at a time. Whatever way an element takes, what it took comes back.
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "abi/xen/grant_table.hpp"
#include "hypervisor/grant/usual.hpp"
#include "tests/host/hv_paged_guest.hpp"

namespace {

using namespace hvtest;

constexpr uint32_t first_ref = 8;

uint32_t references(Mfn m) { return static_cast<uint32_t>(page_of(m).count.load()); }
uint32_t type_users(Mfn m) { return static_cast<uint32_t>(page_of(m).type.load()); }

class UsualGrants : public ::testing::Test {
protected:
    void SetUp() override {
        machine();
        domains_reap();
        a = std::make_unique<Guest>(1);
        b = std::make_unique<PagedGuest>(2);
        for (unsigned i = 0; i < 4; ++i) pages.push_back(a->page());
        for (unsigned i = 0; i < 4; ++i) grant(first_ref + i, pages[i]);
    }
    void TearDown() override {
        for (unsigned i = 0; i < 4; ++i) {
            EXPECT_EQ(references(pages[i]), 1u) << i;
            EXPECT_EQ(type_users(pages[i]), 0u) << i;
        }
        EXPECT_EQ(grant_mappings(*b), 0u);
        b.reset();
        a.reset();
        domains_reap();
    }

    xen::GrantEntryV1& shared(uint32_t ref) { return map_mfn<xen::GrantEntryV1>(must(get_grant_frame(*a, 0)))[ref]; }
    uint16_t flags(uint32_t ref) { return __atomic_load_n(&shared(ref).flags, __ATOMIC_ACQUIRE); }
    void grant(uint32_t ref, Mfn m, uint16_t more = 0) {
        shared(ref) = {static_cast<uint16_t>(xen::GTF_permit_access | more), 2, static_cast<uint32_t>(m.raw)};
    }
    uint64_t& slot(unsigned n) { return entry(b->l1, n); }

    static xen::GnttabMapGrantRef wish(unsigned n, uint32_t ref, uint32_t flags = xen::GNTMAP_host_map, uint16_t dom = 1) {
        auto op = xen::zeroed<xen::GnttabMapGrantRef>();
        op.host_addr = n * page_size;
        op.flags = flags;
        op.ref = ref;
        op.dom = dom;
        return op;
    }
    template <class Op>
    bool call(uint32_t command, std::vector<Op>& ops) {
        const uint64_t args[6] = {command, address(ops.data()), ops.size()};
        return static_cast<bool>(hypercall_handler(xen::HYPERVISOR_grant_table_op)(b->vcpu(), args));
    }
    bool map(std::vector<xen::GnttabMapGrantRef>& ops) { return call(xen::GNTTABOP_map_grant_ref, ops); }
    std::vector<xen::GnttabUnmapGrantRef> unmap(const std::vector<xen::GnttabMapGrantRef>& maps) {
        std::vector<xen::GnttabUnmapGrantRef> ops;
        for (const auto& m : maps)
            if (m.status == xen::GNTST_okay) ops.push_back({m.host_addr, 0, m.handle, 99, 0});
        EXPECT_TRUE(call(xen::GNTTABOP_unmap_grant_ref, ops));
        return ops;
    }

    std::unique_ptr<Guest> a;
    std::unique_ptr<PagedGuest> b;
    std::vector<Mfn> pages;
};

TEST_F(UsualGrants, OneMappingHoldsTwoReferencesOfEachCount) {
    for (const bool write : {true, false}) {
        std::vector ops{wish(1, first_ref, xen::GNTMAP_host_map | (write ? 0 : xen::GNTMAP_readonly))};
        ASSERT_TRUE(map(ops));
        ASSERT_EQ(ops[0].status, xen::GNTST_okay);
        EXPECT_EQ(ops[0].dev_bus_addr, pages[0].address());
        EXPECT_EQ(slot(1) & (pte::frame_mask | pte::present), pages[0].address() | pte::present);
        EXPECT_EQ((slot(1) & pte::rw) != 0, write);
        EXPECT_EQ(references(pages[0]), 3u) << "the page's own, the grant's, the entry's";
        EXPECT_EQ(type_users(pages[0]), write ? 2u : 0u);
        EXPECT_EQ(flags(first_ref), xen::GTF_permit_access | xen::GTF_reading | (write ? xen::GTF_writing : 0));
        EXPECT_EQ(unmap(ops)[0].status, xen::GNTST_okay);
        EXPECT_EQ(slot(1), 0u);
        EXPECT_EQ(flags(first_ref), xen::GTF_permit_access);
        EXPECT_EQ(references(pages[0]), 1u);
    }
}

TEST_F(UsualGrants, ListsOfAllLengthsGiveBackWhatTheyTook) {
    for (const unsigned n : {2u, 16u, 31u, 32u, 33u, 64u, 65u, 100u}) {
        std::vector<xen::GnttabMapGrantRef> ops;
        for (unsigned i = 0; i < n; ++i)
            ops.push_back(wish(1 + i, first_ref + i % 4, xen::GNTMAP_host_map | (i % 3 == 2 ? xen::GNTMAP_readonly : 0)));
        ASSERT_TRUE(map(ops));
        for (unsigned i = 0; i < n; ++i) ASSERT_EQ(ops[i].status, xen::GNTST_okay) << i << " of " << n;
        EXPECT_EQ(grant_mappings(*b), n);
        for (const auto& op : unmap(ops)) ASSERT_EQ(op.status, xen::GNTST_okay);
        for (unsigned i = 0; i < 4; ++i) {
            ASSERT_EQ(references(pages[i]), 1u);
            ASSERT_EQ(flags(first_ref + i), xen::GTF_permit_access);
        }
    }
}

TEST_F(UsualGrants, ElementsOfAListThatAreNotUsualHaveTheirOwnAnswers) {
    grant(first_ref + 3, pages[3], xen::GTF_readonly);
    std::vector ops{wish(1, first_ref),
                    wish(2, first_ref, xen::GNTMAP_host_map | xen::GNTMAP_device_map),
                    wish(3, 400),
                    wish(4, first_ref + 1, xen::GNTMAP_host_map, 77),
                    wish(0, first_ref + 1),
                    wish(5, first_ref + 3),
                    wish(6, first_ref + 3, xen::GNTMAP_host_map | xen::GNTMAP_readonly),
                    wish(7, first_ref + 2, 0),
                    wish(8, 1 << 20),
                    wish(9, first_ref + 2)};
    ops[4].host_addr = uint64_t{1} << 40;  // no table there
    ASSERT_TRUE(map(ops));
    const int wanted[] = {xen::GNTST_okay,          xen::GNTST_okay,          xen::GNTST_general_error, xen::GNTST_bad_domain,
                          xen::GNTST_general_error, xen::GNTST_general_error, xen::GNTST_okay,          xen::GNTST_bad_gntref,
                          xen::GNTST_bad_gntref,    xen::GNTST_okay};
    for (unsigned i = 0; i < ops.size(); ++i) EXPECT_EQ(ops[i].status, wanted[i]) << i;
    EXPECT_EQ(flags(first_ref + 1), xen::GTF_permit_access) << "where the mapping did not come about";
    EXPECT_EQ(grant_mappings(*b), 4u);
    std::vector<xen::GnttabUnmapGrantRef> un;
    for (const unsigned i : {0u, 1u, 6u, 9u})
        un.push_back({ops[i].host_addr, i == 1 ? ops[i].dev_bus_addr : 0, ops[i].handle, 99, 0});
    un.insert(un.begin() + 1, {0x9000, 0, 12345, 99, 0});
    un.push_back(un[0]);
    ASSERT_TRUE(call(xen::GNTTABOP_unmap_grant_ref, un));
    const int answers[] = {xen::GNTST_okay, xen::GNTST_bad_handle, xen::GNTST_okay,
                           xen::GNTST_okay, xen::GNTST_okay,       xen::GNTST_bad_handle};
    for (unsigned i = 0; i < un.size(); ++i) EXPECT_EQ(un[i].status, answers[i]) << i;
}

TEST_F(UsualGrants, AnEntryThatTheGuestOverwrites) {
    std::vector ops{wish(1, first_ref), wish(2, first_ref)};
    ASSERT_TRUE(map(ops));
    {
        Guard lock((*b)->pv->lock);
        ASSERT_TRUE(update_l1(*b, *b, &slot(1), 0, KeepAccessed::no));
    }
    EXPECT_EQ(references(pages[0]), 3u) << "the page's own, the grant's, and the other entry's";
    EXPECT_EQ(type_users(pages[0]), 2u);
    const auto answers = unmap(ops);
    EXPECT_EQ(answers[0].status, xen::GNTST_general_error);
    EXPECT_EQ(answers[1].status, xen::GNTST_okay);
    EXPECT_EQ(references(pages[0]), 2u) << "the handle still holds the grant";
    b->stop();
    while (!grants_relinquish(*b)) {}
}

TEST_F(UsualGrants, WritersComeAndGoBetweenReaders) {
    std::vector reader{wish(1, first_ref, xen::GNTMAP_host_map | xen::GNTMAP_readonly)};
    std::vector writer{wish(2, first_ref)};
    ASSERT_TRUE(map(reader));
    ASSERT_TRUE(map(writer));
    ASSERT_EQ(writer[0].status, xen::GNTST_okay);
    EXPECT_EQ(flags(first_ref), xen::GTF_permit_access | xen::GTF_reading | xen::GTF_writing);
    EXPECT_EQ(unmap(writer)[0].status, xen::GNTST_okay);
    EXPECT_EQ(flags(first_ref), xen::GTF_permit_access | xen::GTF_reading);
    EXPECT_EQ(type_users(pages[0]), 0u);
    ASSERT_TRUE(map(writer));
    EXPECT_EQ(unmap(reader)[0].status, xen::GNTST_okay);
    EXPECT_EQ(flags(first_ref), xen::GTF_permit_access | xen::GTF_reading | xen::GTF_writing);
    EXPECT_EQ(unmap(writer)[0].status, xen::GNTST_okay);
    EXPECT_EQ(flags(first_ref), xen::GTF_permit_access);
}

TEST_F(UsualGrants, APageThatIsNotItsGrantersOrIsATable) {
    grant(first_ref + 1, b->data);
    grant(first_ref + 2, Mfn(0xfffffff0));
    {
        Guard lock((*a)->pv->lock);
        ASSERT_TRUE(get_page_type(*a, page_of(pages[3]), PageType::l1));
    }
    std::vector ops{wish(1, first_ref + 1), wish(2, first_ref + 2), wish(3, first_ref + 3)};
    ASSERT_TRUE(map(ops));
    for (unsigned i = 0; i < 3; ++i) {
        EXPECT_EQ(ops[i].status, xen::GNTST_general_error) << i;
        EXPECT_EQ(flags(first_ref + 1 + i), xen::GTF_permit_access) << i;
        EXPECT_EQ(slot(1 + i), 0u);
    }
    {
        Guard lock((*a)->pv->lock);
        ASSERT_TRUE(put_page_type(*a, page_of(pages[3])));
    }
}

TEST_F(UsualGrants, AListThatEndsInTheMiddleIsDoneUpToThere) {
    std::vector<xen::GnttabMapGrantRef> ops;
    for (unsigned i = 0; i < 40; ++i) ops.push_back(wish(1 + i, first_ref));
    for (const unsigned readable : {1u, 20u, 32u, 35u}) {
        host::guest_window(address(ops.data()), readable * sizeof ops[0] + 8);
        EXPECT_FALSE(map(ops));
        host::guest_window(page_size, ~uint64_t{0} - page_size);
        EXPECT_EQ(grant_mappings(*b), readable);
        unmap({ops.begin(), ops.begin() + readable});
        EXPECT_EQ(grant_mappings(*b), 0u);
    }
}

TEST_F(UsualGrants, TheOwnersLastReferencesAreItsMappings) {
    std::vector ops{wish(1, first_ref), wish(2, first_ref + 1), wish(3, first_ref + 2)};
    const uint32_t before = (*a)->references.load();
    ASSERT_TRUE(map(ops));
    EXPECT_EQ((*a)->references.load(), before + 3);
    unmap(ops);
    EXPECT_EQ((*a)->references.load(), before);
    std::vector one{wish(1, first_ref)};
    ASSERT_TRUE(map(one));
    EXPECT_EQ((*a)->references.load(), before + 1);
    unmap(one);
    EXPECT_EQ((*a)->references.load(), before);
}

TEST_F(UsualGrants, ACopyTakesAndGivesBackOneReference) {
    for (const bool mapped : {false, true}) {
        std::vector ops{wish(1, first_ref)};
        if (mapped) { ASSERT_TRUE(map(ops)); }
        const uint32_t refs = references(pages[0]);
        const uint32_t users = type_users(pages[0]);
        const uint32_t own = references(b->data);
        std::vector copy{xen::zeroed<xen::GnttabCopy>()};
        copy[0].source.u.ref = first_ref;
        copy[0].source.domid = 1;
        copy[0].source.offset = 16;
        copy[0].dest.u.gmfn = b->data.raw;
        copy[0].dest.domid = xen::DOMID_SELF;
        copy[0].dest.offset = 100;
        copy[0].len = 8;
        copy[0].flags = xen::GNTCOPY_source_gref;
        map_mfn<uint64_t>(pages[0])[2] = 0x1122334455667788;
        ASSERT_TRUE(call(xen::GNTTABOP_copy, copy));
        EXPECT_EQ(copy[0].status, xen::GNTST_okay);
        EXPECT_EQ(memcmp(map_mfn(b->data) + 100, map_mfn(pages[0]) + 16, 8), 0);
        std::swap(copy[0].source, copy[0].dest);
        copy[0].dest.offset = 200;
        copy[0].flags = xen::GNTCOPY_dest_gref;
        ASSERT_TRUE(call(xen::GNTTABOP_copy, copy));
        EXPECT_EQ(copy[0].status, xen::GNTST_okay);
        EXPECT_EQ(memcmp(map_mfn(pages[0]) + 200, map_mfn(pages[0]) + 16, 8), 0);
        EXPECT_EQ(references(pages[0]), refs);
        EXPECT_EQ(type_users(pages[0]), users);
        EXPECT_EQ(references(b->data), own);
        if (mapped) unmap(ops);
        EXPECT_EQ(flags(first_ref), xen::GTF_permit_access);
    }
}

TEST_F(UsualGrants, MappedAndUnmappedWhileTheOwnerTakesItBack) {
    std::atomic<bool> stop{false};
    std::thread owner([&] {
        host::become(0);
        while (!stop.load()) {
            uint16_t f = flags(first_ref);
            if (!(f & (xen::GTF_reading | xen::GTF_writing)))
                __atomic_compare_exchange_n(&shared(first_ref).flags, &f, uint16_t{0}, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
            __atomic_fetch_or(&shared(first_ref).flags, uint16_t{xen::GTF_permit_access}, __ATOMIC_ACQ_REL);
        }
    });
    unsigned mapped = 0;
    for (unsigned i = 0; i < 2000; ++i) {
        std::vector ops{wish(1, first_ref), wish(2, first_ref + 1),
                        wish(3, first_ref, xen::GNTMAP_host_map | xen::GNTMAP_readonly)};
        ASSERT_TRUE(map(ops));
        ASSERT_EQ(ops[1].status, xen::GNTST_okay);
        mapped += ops[0].status == xen::GNTST_okay;
        unmap(ops);
    }
    stop.store(true);
    owner.join();
    EXPECT_GT(mapped, 0u);
}

}  // namespace
