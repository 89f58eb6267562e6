// SPDX-License-Identifier: Apache-2.0
// link: hvcore
// tsan
// Version 2 of the grant table under random operations, and under guests that rewrite their entries all the time.
#include <random>
#include <thread>
#include <vector>

#include "tests/host/hv_grant_v2.hpp"

namespace {

using namespace hvtest;

TEST_F(GrantsV2, RandomOperations) {
    const Resources before;
    for (uint32_t seed = 1; seed <= 20; ++seed) {
        std::mt19937 random(seed);
        const auto any = [&] { return static_cast<uint32_t>(random()); };
        const auto below = [&](uint32_t n) { return any() % n; };
        Guest g[3]{Guest(1), Guest(2), Guest(3)};
        struct Mapping {
            unsigned by;
            xen::GnttabMapGrantRef op;
        };
        std::vector<Mapping> mappings;
        std::vector<Mfn> pages[3];
        for (unsigned i = 0; i < 3; ++i)
            for (int n = 0; n < 4; ++n) pages[i].push_back(g[i].page());
        host::preempt_every(seed % 4);
        for (int step = 0; step < 3000; ++step) {
            const unsigned at = below(3), other = (at + 1 + below(2)) % 3;
            const auto peer = static_cast<uint16_t>(other + 1);
            const uint32_t ref = below(24);
            const uint32_t version = grants_version(g[at]);
            switch (below(8)) {
                case 0:
                case 1: {
                    uint32_t words[4] = {0, 0, static_cast<uint32_t>(pages[below(4) ? at : other][below(4)].raw), 0};
                    const uint32_t flags = below(4) | (below(3) ? 0 : xen::GTF_readonly) | (below(3) ? 0 : xen::GTF_sub_page);
                    words[0] = flags | uint32_t{peer} << 16;
                    words[1] = below(2) ? any() : below(4) | below(8) << 16;
                    if (flags % 4 == 3) words[2] = below(24);
                    const auto table = get_grant_frame(g[at], 0);
                    ASSERT_TRUE(table) << "the first frame is always there";
                    if (version == 2) std::memcpy(map_mfn(table.value()) + ref * 16, words, 16);
                    if (version == 1) words[1] = words[2];
                    if (version == 1) std::memcpy(map_mfn(table.value()) + ref * 8, words, 8);
                    break;
                }
                case 2: {
                    const auto m = map(g[other], static_cast<uint16_t>(at + 1), ref, below(2));
                    if (m.status == xen::GNTST_okay) mappings.push_back({other, m});
                    break;
                }
                case 3: {
                    if (mappings.empty()) break;
                    const size_t n = below(static_cast<uint32_t>(mappings.size()));
                    EXPECT_EQ(unmap(g[mappings[n].by], mappings[n].op), xen::GNTST_okay);
                    mappings.erase(mappings.begin() + static_cast<long>(n));
                    break;
                }
                case 4: {
                    if (below(10)) break;
                    auto s = grants_set_version(g[at], 1 + below(2));
                    (void)s;
                    break;
                }
                case 5: (void)grant_swap(g[at], ref, below(24)); break;
                default:
                    (void)copy(g[other], static_cast<uint16_t>(at + 1), ref, pages[other][below(4)],
                               static_cast<uint16_t>(below(5000)), static_cast<uint16_t>(below(600)), below(2));
                    break;
            }
        }
        host::preempt_every(0);
        for (const Mapping& m : mappings) EXPECT_EQ(unmap(g[m.by], m.op), xen::GNTST_okay);
        for (unsigned i = 0; i < 3; ++i) {
            {
                Guard lock(g[i]->grants->lock);
                EXPECT_EQ(g[i]->grants->entries_in_use, 0u);
            }
            for (const Mfn m : pages[i]) {
                EXPECT_EQ(references(m), 1u);
                EXPECT_EQ(type_users(m), 0u);
            }
        }
    }
    domains_reap();
    EXPECT_EQ(Resources(), before);
}

// A mapping for host and device uses its grant twice, and the second use may be refused: the owner has begun to change
// versions, or, here, as many uses as can be counted are there.
TEST_F(GrantsV2, AMappingForTwoUsesGetsBothOrNone) {
    Guest2 a(1);
    Guest b(2);
    const Mfn m = a.page(), table = b.page();
    {
        Guard lock(b->pv->lock);
        ASSERT_TRUE(get_page_type(b, page_of(table), PageType::l1));
    }
    a.whole(8, 2, m);
    const auto first = map(b, 1, 8, true);
    ASSERT_EQ(first.status, xen::GNTST_okay);
    const auto set_readers = [&](uint32_t n) {
        GrantTable& t = *a->grants;
        Guard lock(t.lock);
        return std::exchange(grant::active_of(t, 8).readers, n);
    };
    constexpr uint32_t most = ~0u;
    set_readers(most - 1);
    auto op = xen::zeroed<xen::GnttabMapGrantRef>();
    op.dom = 1;
    op.ref = 8;
    op.flags = xen::GNTMAP_host_map | xen::GNTMAP_device_map | xen::GNTMAP_contains_pte | xen::GNTMAP_readonly;
    op.host_addr = table.address() + 40;
    EXPECT_TRUE(call(b.vcpu(), xen::GNTTABOP_map_grant_ref, &op));
    EXPECT_EQ(op.status, xen::GNTST_general_error);
    EXPECT_EQ(map_mfn<uint64_t>(table)[5], 0u);
    EXPECT_EQ(grant_mappings(b), 1u);
    EXPECT_EQ(set_readers(1), most - 1);
    EXPECT_EQ(unmap(b, first), xen::GNTST_okay);
    EXPECT_EQ(references(m), 1u);
    Guard lock(b->pv->lock);
    EXPECT_TRUE(put_page_type(b, page_of(table)));
}

TEST_F(GrantsV2, AGuestThatRewritesItsEntriesAllTheTime) {
    Guest2 a(1), b(2);
    const Mfn m = a.page();
    const uint32_t refs = references(m);
    a.whole(8, 2, m);
    b.pass_on(9, 3, 1, 8);
    std::atomic<bool> stop{false};
    auto* word = reinterpret_cast<uint32_t*>(&a.entry(8));
    auto* marks = &a.status(8);
    auto* passing = reinterpret_cast<uint32_t*>(&b.entry(9));
    std::thread hostile([&] {
        uint32_t x = 1;
        while (!stop) {
            x = x * 1664525 + 1013904223;
            __atomic_store_n(word, x >> 28 ? x : permit | 2u << 16, __ATOMIC_SEQ_CST);
            __atomic_store_n(word + 1, x, __ATOMIC_SEQ_CST);
            __atomic_store_n(word + 2, x & 1 ? x : static_cast<uint32_t>(m.raw), __ATOMIC_SEQ_CST);
            __atomic_store_n(word + 3, x & 6 ? 0 : x, __ATOMIC_SEQ_CST);
            __atomic_store_n(marks, static_cast<uint16_t>(x), __ATOMIC_SEQ_CST);
            __atomic_store_n(passing, x & 8 ? (x & 3) | 3u << 16 : x, __ATOMIC_SEQ_CST);
            __atomic_store_n(passing + 2, x & 16 ? 8u : x, __ATOMIC_SEQ_CST);
        }
    });
    const auto use = [&](int i) {
        const bool write = i & 1;
        const GrantPin p = grant_pin(a, DomId(2), 8, write, i & 2 ? GrantUse::map : GrantUse::copy);
        if (p.status == xen::GNTST_okay) grant_unpin(a, 8, write);
        const GrantPin q = grant_pin(b, DomId(3), 9, write, GrantUse::copy);
        if (q.status == xen::GNTST_okay) grant_unpin(b, 9, write);
    };
    std::thread second([&] {
        host::become(1);
        for (int i = 0; i < 20000; ++i) use(i);
    });
    for (int i = 0; i < 20000; ++i) use(i);
    stop = true;
    hostile.join();
    second.join();
    EXPECT_EQ(references(m), refs);
    EXPECT_EQ(type_users(m), 0u);
}

}  // namespace
