// SPDX-License-Identifier: Apache-2.0
// link: hvcore
#include "hypervisor/domain/domain.hpp"

#include <random>
#include <thread>

#include "abi/xen/sched.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/grant/grant.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;

// A reference is dropped once: it moves, and is not copied. A guest's number for a frame is no machine frame until translated.
static_assert(std::is_move_constructible_v<PageRef> && !std::is_copy_constructible_v<PageRef> &&
              !std::is_copy_assignable_v<PageRef>);
static_assert(std::is_move_constructible_v<WritableRef> && !std::is_copy_constructible_v<WritableRef>);
static_assert(!std::is_copy_assignable_v<WritableRef> && !std::is_copy_constructible_v<Result<WritableRef>>);
static_assert(!std::is_constructible_v<Mfn, Gfn> && !std::is_constructible_v<Gfn, Mfn>);
static_assert(!std::is_constructible_v<Gfn, base::Pfn> && !std::is_convertible_v<uint64_t, Gfn>);

void settle() {
    host::soft_interrupts();
    domains_reap();
}

uint64_t pages_of(Domain& d) {
    Guard guard(d.page_list_lock);
    return d.tot_pages;
}

TEST(Domain, TwoHundredLivesLeaveNothingBehind) {
    control_domain();
    std::mt19937 random(3);
    settle();
    { Guest warm_up(100, 2); }
    settle();
    const Resources before;
    for (unsigned round = 0; round < 200; ++round) {
        host::preempt_every(round % 7);
        {
            Guest g(static_cast<uint16_t>(1 + round % 50), 1 + static_cast<unsigned>(random() % 5));
            for (auto n = random() % 40; n; --n) g.page();
            if (round % 2) { ASSERT_TRUE(vcpu_map_info(g.vcpu(), gfn(g.page()), 64 * (round % 8))); }
            if (round % 3 == 0) g.start();
            (void)must(event_alloc_unbound(g, DomId(0)));
            (void)must(event_bind_ipi(g, VcpuId(0)));
            while (!get_grant_frame(g, round % 4)) {}
            if (round % 5 == 0) domain_shutdown(g, xen::SHUTDOWN_poweroff);
            if (round % 11 == 0) (void)domain_claim(g, 500);
        }
        host::preempt_every(0);
        settle();
        ASSERT_EQ(Resources(), before) << "round " << round;
        ASSERT_EQ(claimed_pages().n, 0u);
    }
}

// Past shared_info's 32 a vCPU has a place of its own, masked, until the guest registers one: it keeps what came before.
TEST(Domain, AVcpuPastTheSharedPageWaitsMasked) {
    control_domain();
    Guest g(71, 34);
    Vcpu& v = g.vcpu(33);
    const Port port = must(event_bind_ipi(g, VcpuId(33)));
    ASSERT_TRUE(event_send(g, port));
    EXPECT_EQ(v.info.load()->evtchn_upcall_pending, 1);
    EXPECT_FALSE(vcpu_upcall_due(v));
    auto context = xen::zeroed<xen::VcpuGuestContext>();
    EXPECT_EQ(
        hypercall(hypercall_handler(xen::HYPERVISOR_vcpu_op), g.vcpu(), xen::VCPUOP_initialise, 33, address(&context)).error(),
        Errc::inval);
    const Mfn page = g.page();
    ASSERT_TRUE(vcpu_map_info(v, gfn(page), 128));
    EXPECT_EQ(v.info.load(), reinterpret_cast<xen::VcpuInfo*>(map_mfn(page) + 128));
    EXPECT_EQ(v.info.load()->evtchn_upcall_mask, 1);
    EXPECT_EQ(v.info.load()->evtchn_upcall_pending, 1);
}

// Two vCPUs name a page for a third at the same moment: one wins, and the other's page is as it was before.
TEST(Domain, AVcpuGetsOneInfoPage) {
    control_domain();
    for (unsigned round = 0; round < 300; ++round) {
        Guest g(70);
        const Mfn pages[] = {g.page(), g.page()};
        std::atomic<unsigned> ready{0};
        bool won[2] = {};
        const auto race = [&](unsigned me) {
            host::become(1 + me);
            ++ready;
            while (ready < 2) {}
            won[me] = static_cast<bool>(vcpu_map_info(g.vcpu(), gfn(pages[me]), 0));
        };
        std::thread other(race, 1);
        race(0);
        other.join();
        host::become(0);
        ASSERT_NE(won[0], won[1]) << "round " << round;
        const PageInfo& lost = page_of(pages[won[0] ? 1 : 0]);
        ASSERT_EQ(lost.count.load(), page::allocated | 1) << "round " << round;
        ASSERT_EQ(lost.type.load() & page::users_mask, 0u) << "round " << round;
    }
}

TEST(Domain, FailedCreationGivesEverythingBack) {
    control_domain();
    settle();
    const Resources before;
    // Take memory away until creation fails, at each point where it can.
    std::vector<Mfn> taken;
    while (heap::free_pages().n > 60) taken.push_back(must(heap::alloc(0)));
    for (unsigned left = 60; left > 0; --left) {
        auto d = domain_create(DomId(7), pv_guest, {}, false);
        if (d) {
            (void)vcpu_create(*d.value(), VcpuId(0));  // success or not, nothing may be lost
            while (!domain_kill(*d.value())) {}
        }
        { DomainRef gone = d ? std::move(d).take() : DomainRef(); }
        settle();
        ASSERT_EQ(heap::free_pages().n, left);
        taken.push_back(must(heap::alloc(0)));
    }
    for (Mfn m : taken) heap::free(m, 0);
    EXPECT_EQ(Resources(), before);
    EXPECT_FALSE(lookup_domain(DomId(7)));
}

TEST(Domain, PagesAreClearedAndNumbered) {
    control_domain();
    Mfn first{0};
    {
        Guest g(3);
        const Mfn m = must(domain_alloc_pages(*g.d, 3, 64));
        std::memset(map_mfn(m), 0xaa, 8 * page_size);
        set_m2p(m, 5);
        EXPECT_EQ(pages_of(g), 8u);
        first = m;
    }
    settle();
    EXPECT_EQ(m2p(first), invalid_m2p_entry);
    Guest g(4);
    for (int i = 0; i < 2000; ++i) {
        const Mfn m = must(domain_alloc_pages(*g.d, 3, 64));
        for (unsigned b = 0; b < 8 * page_size; b += 512) ASSERT_EQ(map_mfn(m)[b], 0);
        if (m == first) break;
    }
    EXPECT_EQ(domain_alloc_pages(*g.d, 19, 64).error(), Errc::inval);
    g->max_pages = pages_of(g) + 3;
    EXPECT_EQ(domain_alloc_pages(*g.d, 2, 64).error(), Errc::toobig);
    EXPECT_TRUE(domain_alloc_pages(*g.d, 1, 64));
}

TEST(Domain, StaysAsZombieWhileAPageIsHeld) {
    control_domain();
    settle();
    const Resources before;
    PageInfo* held = nullptr;
    {
        Guest g(9);
        held = &page_of(g.page());
        ASSERT_TRUE(get_page(*held, DomId(9)));
        for (int i = 0; i < 10; ++i) g.page();
    }
    settle();
    {
        DomainRef d = lookup_domain(DomId(9));
        ASSERT_TRUE(d);
        EXPECT_EQ(d->dying.load(), DyingState::dead);
        EXPECT_EQ(pages_of(*d), 1u);
        EXPECT_TRUE(domain_kill(*d));
    }
    EXPECT_EQ(domain_create(DomId(9), pv_guest, {}, false).error(), Errc::exist);
    put_page(*held);
    EXPECT_FALSE(lookup_domain(DomId(9)));
    settle();
    EXPECT_EQ(Resources(), before);
}

TEST(Domain, SharedPagesOutliveItWithoutKeepingIt) {
    control_domain();
    settle();
    const Resources before;
    PageInfo* info = nullptr;
    {
        Guest g(9);
        info = &page_of(mfn_of(g->shared));
        ASSERT_TRUE(get_page(*info, DomId(9)));
        EXPECT_EQ(get_page(*info, DomId(8)), false);
    }
    settle();
    EXPECT_FALSE(lookup_domain(DomId(9)));
    EXPECT_EQ(heap::free_pages().n, before.pages - 1);
    EXPECT_FALSE(get_page(*info, DomId(9)));
    put_page(*info);
    EXPECT_EQ(Resources(), before);
}

TEST(Domain, TableFindsByIdAndInOrder) {
    control_domain();
    settle();
    Guest a(30), b(20), c(25);
    std::vector<uint16_t> ids;
    for (DomainRef d = next_domain(DomId(1)); d; d = next_domain(DomId::from_reg(d->id.raw + 1u))) ids.push_back(d->id.raw);
    EXPECT_EQ(ids, (std::vector<uint16_t>{20, 25, 30}));
    EXPECT_EQ(&*must(find_domain(DomId(25))), &*c.d);
    EXPECT_EQ(find_domain(DomId(26)).error(), Errc::srch);
    EXPECT_EQ(find_domain(DomId(0x7ff2)).error(), Errc::srch);
    EXPECT_EQ(domain_create(DomId(20), pv_guest, {}, false).error(), Errc::exist);
    EXPECT_FALSE(lookup_domain(must(domain_unused_id())));
}

TEST(Domain, ClaimsKeepMemoryForTheirOwner) {
    control_domain();
    settle();
    Guest a(1), b(2);
    const uint64_t free = heap::free_pages().n;
    ASSERT_TRUE(domain_claim(a, free - 10));
    EXPECT_EQ(claimed_pages().n, free - 10);
    EXPECT_EQ(domain_claim(a, 5).error(), Errc::inval);  // one claim at a time
    EXPECT_EQ(domain_claim(b, 20).error(), Errc::nomem);
    EXPECT_EQ(domain_alloc_pages(*b.d, 4, 64).error(), Errc::nomem);
    ASSERT_TRUE(domain_alloc_pages(*a.d, 4, 64));
    EXPECT_EQ(claimed_pages().n, free - 26);
    EXPECT_EQ(a->outstanding_claim.load(), free - 26);
    ASSERT_TRUE(domain_alloc_pages(*b.d, 3, 64));
    ASSERT_TRUE(domain_claim(a, 0));
    EXPECT_EQ(claimed_pages().n, 0u);
    ASSERT_TRUE(domain_alloc_pages(*b.d, 4, 64));
}

TEST(Domain, PageInUseCannotBeStolen) {
    control_domain();
    Guest g(5);
    const Mfn m = g.page();
    PageInfo& p = page_of(m);
    EXPECT_EQ(PageRef::acquire(m, DomId(6)).error(), Errc::perm);
    EXPECT_EQ(PageRef::acquire(Mfn(max_frame), DomId(5)).error(), Errc::inval);
    PageRef ref = must(PageRef::acquire(m, DomId(5)));
    ASSERT_TRUE(get_writable_type(p));
    EXPECT_EQ(domain_steal_page(*g.d, p).error(), Errc::busy);
    put_writable_type(p);
    {
        PageRef other = must(PageRef::acquire(m, DomId(5)));
        EXPECT_EQ(domain_steal_page(*g.d, p).error(), Errc::busy);
    }
    ASSERT_TRUE(domain_steal_page(*g.d, p));
    (void)ref.release();
    EXPECT_EQ(pages_of(g), 0u);
    EXPECT_FALSE(get_page(p, DomId(5)));
    ASSERT_TRUE(domain_assign_page(*g.d, p));
    EXPECT_EQ(pages_of(g), 1u);
}

TEST(Domain, PausesAreCounted) {
    control_domain();
    Guest g(6, 2);
    g.start();
    EXPECT_TRUE(g.vcpu().runnable());
    domain_pause(g);
    domain_pause(g);
    EXPECT_FALSE(g.vcpu(1).runnable());
    domain_unpause(g);
    EXPECT_FALSE(g.vcpu().runnable());
    domain_unpause(g);
    EXPECT_TRUE(g.vcpu().runnable());
    host::soft_interrupts();
    domain_shutdown(g, xen::SHUTDOWN_suspend);
    EXPECT_FALSE(g.vcpu().runnable());
    EXPECT_EQ(g->shutdown_code, xen::SHUTDOWN_suspend);
    domain_shutdown(g, xen::SHUTDOWN_crash);
    EXPECT_EQ(g->shutdown_code, xen::SHUTDOWN_suspend);
    for (unsigned c = 0; c < test_cpus; ++c) {
        host::become(c);
        host::soft_interrupts();
    }
    host::become(0);
    domain_resume(g);
    EXPECT_TRUE(g.vcpu().runnable());
    g.stop();
    for (unsigned c = 0; c < test_cpus; ++c) {
        host::become(c);
        host::soft_interrupts();
    }
    host::become(0);
}

TEST(Domain, TimeIsPublishedWithEvenVersions) {
    control_domain();
    Guest g(6);
    const xen::VcpuTimeInfo& t = g.vcpu().info.load()->time;
    vcpu_update_time(g.vcpu());
    EXPECT_EQ(t.version % 2, 0u);
    EXPECT_NE(t.version, 0u);
    EXPECT_NE(t.tsc_to_system_mul, 0u);
    g->time_offset_seconds = 100;
    domain_update_wallclock(g);
    EXPECT_EQ(g->shared->wc_version % 2, 0u);
}

}  // namespace
