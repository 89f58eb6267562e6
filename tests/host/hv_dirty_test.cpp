// SPDX-License-Identifier: Apache-2.0
// link: hvmodel
/// Every write of the hypervisor's into memory of guests passes mm/dirty.hpp: hostile guests do what they can, and after each
/// part of each step memory is compared with what it was. What they seldom come to is done here by hand, and what must be named
/// though no byte changes (pages that others can write, numbers of frames) is demanded here.
#include "hypervisor/mm/dirty.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <regex>

#include <gtest/gtest.h>

#include "abi/xen/basic.hpp"
#include "abi/xen/domctl.hpp"
#include "abi/xen/grant_table.hpp"
#include "abi/xen/memory.hpp"
#include "abi/xenolith/copy_pages.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/domain/dirty_log.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/grant/grant.hpp"
#include "hypervisor/guest/pv/descriptors.hpp"
#include "hypervisor/guest/pv/emulate.hpp"
#include "hypervisor/guest/pv/kind.hpp"
#include "hypervisor/guest/pv/mirror.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/hypercall/table.hpp"
#include "tests/machine/host.hpp"
#include "tests/model/dirty_model.hpp"
#include "tests/model/world.hpp"

namespace {

using namespace hvmodel;
using Sites = std::set<DirtyModel::Site>;
using Frames = std::set<uint64_t>;

/// Worlds that are the same each time.
struct Play {
    Sites heard, needed;
    std::string wrong;

    void worlds(uint64_t count, const DirtyModel::Site& deaf_to = "") {
        for (uint64_t seed = 1; seed <= count && wrong.empty(); ++seed) {
            Random random(seed << 20 | 77);
            DirtyModel* model = nullptr;
            World w({0, false, [&] {
                         if (model) model->look();
                     }});
            DirtyModel listening(deaf_to);
            model = &listening;
            for (unsigned i = 0; i < 500 && listening.wrong().empty(); ++i) w.step(random.record());
            model = nullptr;
            keep(listening);
        }
    }
    void keep(const DirtyModel& m) {
        heard.insert(m.heard().begin(), m.heard().end());
        needed.insert(m.needed().begin(), m.needed().end());
        wrong = m.wrong();
    }
};

const Play& hostile_worlds() {
    static const Play play = [] {
        Play p;
        p.worlds(60);
        return p;
    }();
    return play;
}

/// Every line of the hypervisor's that names a page.
Sites sites_in_sources() {
    namespace fs = std::filesystem;
    Sites sites;
    const fs::path root = fs::path(XENOLITH_SOURCE_DIR) / "hypervisor";
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
        const std::string name = fs::relative(entry.path(), root).string();
        if (!entry.is_regular_file() || name.starts_with("host/") || name == "mm/dirty.hpp") continue;
        std::ifstream in(entry.path());
        std::string text;
        static const std::regex named("\\bdirtied(_shared|_by_others)?(<\\w+>)?\\(");
        for (int line = 1; std::getline(in, text); ++line)
            if (std::regex_search(text, named)) sites.insert(name + ":" + std::to_string(line));
    }
    return sites;
}

/// What the scenarios below have shown of lines that the worlds never come to alone.
Play by_hand;

class Dirty : public ::testing::Test {
protected:
    World world{{0, false, nullptr}};
    RealGuest a{11, 1, 40, {.max_grant_frames = 4}}, b{12, 1, 40};
    DirtyModel model;
    Choice choice{record_};

    ~Dirty() override {
        model.look();
        EXPECT_EQ(model.wrong(), "");
        by_hand.keep(model);
        host::become(0);
        run_idle_here();
    }
    /// The pages named since the last call, after a comparison of memory.
    Frames named() {
        const Frames frames = model.named();
        model.look();
        return frames;
    }
    /// The guest writes its own memory.
    static void guest_writes(void* at, uint64_t word) {
        *static_cast<uint64_t*>(at) = word;
        dirtied(at);
    }
    static xen::GrantEntryV1& entry_v1(RealGuest& g, uint32_t ref) {
        return map_mfn<xen::GrantEntryV1>(must(get_grant_frame(*g.d, ref / 512)))[ref % 512];
    }
    void grant(RealGuest& g, uint32_t ref, Mfn m) {
        auto& e = entry_v1(g, ref);
        e = {xen::GTF_permit_access, 12, static_cast<uint32_t>(m.raw)};
        dirtied(&e);
        (void)named();
    }

private:
    const Record record_{};
};

TEST_F(Dirty, GrantsAreNamedWhenTheyCanBeWritten) {
    run_here(b.vcpu());
    const Mfn m = a.data[3];
    (void)named();
    ASSERT_TRUE(pv_map_grant(b.vcpu(), scratch_base, m, Access::read_only, false, 0));
    EXPECT_EQ(named(), Frames{b.scratch_l1.raw});
    ASSERT_TRUE(pv_unmap_grant(b.vcpu(), scratch_base, m, Access::read_only, false, 0));
    EXPECT_EQ(named(), Frames{b.scratch_l1.raw});
    model.must_name(m);
    ASSERT_TRUE(pv_map_grant(b.vcpu(), scratch_base, m, Access::read_write, false, 0));
    EXPECT_EQ(named(), (Frames{b.scratch_l1.raw, m.raw}));
    model.must_name(m);
    ASSERT_TRUE(pv_unmap_grant(b.vcpu(), scratch_base, m, Access::read_write, false, RealGuest::data_address(7)));
    EXPECT_EQ(named(), (Frames{b.scratch_l1.raw, b.linear_l1.raw, m.raw})) << "an entry came from another table";
}

TEST_F(Dirty, UsualGrantsAreNamedWhereTheyLeaveMarks) {
    run_here(b.vcpu());
    const Mfn m = a.data[3];
    const Mfn table = must(get_grant_frame(*a.d, 0));
    for (const bool write : {false, true}) {
        grant(a, 20, m);
        auto op = xen::zeroed<xen::GnttabMapGrantRef>();
        op.host_addr = scratch_base;
        op.flags = xen::GNTMAP_host_map | (write ? 0 : xen::GNTMAP_readonly);
        op.ref = 20;
        op.dom = 11;
        if (write) model.must_name(m);
        grant_map(b.vcpu(), &op, 1);
        ASSERT_EQ(op.status, GrantStatus(0));
        EXPECT_EQ(named(), write ? (Frames{b.scratch_l1.raw, table.raw, m.raw}) : (Frames{b.scratch_l1.raw, table.raw}));
        if (write) model.must_name(m);
        xen::GnttabUnmapGrantRef un{scratch_base, 0, op.handle, 0, 0};
        GrantUnmap pending;
        ASSERT_EQ(grant_unmap_begin(b.vcpu(), &un, 1, &pending), 1u);
        EXPECT_EQ(named(), write ? (Frames{b.scratch_l1.raw, m.raw}) : Frames{b.scratch_l1.raw});
        if (write) model.must_name(m);
        grant_unmap_finish(b, &pending, 1);
        EXPECT_EQ(named(), write ? (Frames{table.raw, m.raw}) : Frames{table.raw});
    }
}

TEST_F(Dirty, WhatASingleCopyWrites) {
    run_here(b.vcpu());
    grant(a, 20, a.data[3]);
    guest_writes(map_mfn(a.data[3]), 0x1234);
    (void)named();
    auto op = xen::zeroed<xen::GnttabCopy>();
    op.source.u.ref = 20;
    op.source.domid = 11;
    op.dest.u.gmfn = b.data[4].raw;
    op.dest.domid = xen::DOMID_SELF;
    op.len = 8;
    op.flags = xen::GNTCOPY_source_gref;
    ASSERT_TRUE(grant_copy_usual(b.vcpu(), op));
    EXPECT_TRUE(named().contains(b.data[4].raw));
}

TEST_F(Dirty, ForeignMappingsAreNamedWhenTheyCanBeWritten) {
    uint64_t* slot = map_mfn<uint64_t>(b.scratch_l1);
    const uint64_t writable = a.data[3].address() | pte::present | pte::user | pte::rw;
    Guard g(b->pv->lock);
    (void)named();
    ASSERT_TRUE(update_l1(b, a, slot, writable & ~pte::rw, KeepAccessed::no));
    EXPECT_EQ(named(), Frames{b.scratch_l1.raw});
    model.must_name(a.data[3]);
    ASSERT_TRUE(update_l1(b, a, slot, writable, KeepAccessed::no));
    EXPECT_EQ(named(), (Frames{b.scratch_l1.raw, a.data[3].raw}));
    ASSERT_TRUE(update_l1(b, b, slot + 1, b.data[3].address() | pte::present | pte::user | pte::rw, KeepAccessed::no));
    EXPECT_EQ(named(), Frames{b.scratch_l1.raw}) << "its own page: what it writes there the CPU notes";
}

TEST_F(Dirty, NumbersOfFramesAreNamedOldAndNew) {
    run_here(a.vcpu());
    const xen::MmuUpdate u{a.data[3].address() | xen::MMU_MACHPHYS_UPDATE, 77};
    const uint64_t at = world.put(choice, u);
    (void)named();
    model.must_name(a.data[3], m2p(a.data[3]));
    model.must_name(a.data[3], 77);
    EXPECT_EQ(world.call(choice, xen::HYPERVISOR_mmu_update, at, 1, 0, xen::DOMID_SELF), 0);
    EXPECT_TRUE(named().contains(a.data[3].raw));
}

TEST_F(Dirty, DescriptorsThatAreRaisedToRing3) {
    const Mfn m = a.data[5];
    uint64_t* slot = map_mfn<uint64_t>(a.linear_l1) + RealGuest::table_pages + 5;
    Guard g(a->pv->lock);
    ASSERT_TRUE(update_l1(a, a, slot, m.address() | pte::present | pte::user, KeepAccessed::no));
    guest_writes(map_mfn<uint64_t>(m) + 9, 0x00cf'9a00'0000'ffff);
    guest_writes(map_mfn<uint64_t>(m) + 10, 0x0000'8900'0000'0067);
    (void)named();
    EXPECT_FALSE(get_page_type(a, page_of(m), PageType::segdesc)) << "a TSS, behind one that has been raised already";
    EXPECT_EQ(named(), Frames{m.raw});
}

TEST_F(Dirty, DescriptorTablesThatAreUsedNoMore) {
    const Mfn m = a.data[5];
    {
        uint64_t* slot = map_mfn<uint64_t>(a.linear_l1) + RealGuest::table_pages + 5;
        Guard g(a->pv->lock);
        ASSERT_TRUE(update_l1(a, a, slot, m.address() | pte::present | pte::user, KeepAccessed::no));
    }
    ASSERT_TRUE(pv_set_gdt(a.vcpu(), &m, 1));
    (void)named();
    model.must_name(m);
    ASSERT_TRUE(pv_set_gdt(a.vcpu(), &m, 0));
    EXPECT_EQ(named(), Frames{m.raw}) << "CPUs have marked what they loaded";
}

TEST_F(Dirty, PagesThatBecomeTablesAndAreNoneAgain) {
    const Mfn m = a.data[5];
    Guard g(a->pv->lock);
    uint64_t* slot = map_mfn<uint64_t>(a.linear_l1) + RealGuest::table_pages + 5;
    ASSERT_TRUE(update_l1(a, a, slot, m.address() | pte::present | pte::user, KeepAccessed::no));
    (void)named();
    model.must_name(m);
    ASSERT_TRUE(get_page_type(a, page_of(m), PageType::l1));
    EXPECT_EQ(named(), Frames{m.raw});
    model.must_name(m);
    ASSERT_TRUE(put_page_type(a, page_of(m)));
    EXPECT_EQ(named(), Frames{m.raw});
}

TEST_F(Dirty, TablesThatArePinned) {
    (void)named();
    model.must_name(a.l2);
    ASSERT_TRUE(pin_table(a, a.l2, PageType::l2));
    EXPECT_EQ(named(), Frames{a.l2.raw});
    model.must_name(a.l2);
    ASSERT_TRUE(unpin_table(a, a.l2));
    EXPECT_EQ(named(), Frames{a.l2.raw});
}

TEST_F(Dirty, PagesThatGrantsExposed) {
    grant(a, 20, a.data[3]);
    ASSERT_EQ(grant_pin(a, DomId(12), 20, true).status, GrantStatus(0));
    (void)named();
    model.must_name(a.data[3]);
    grant_unpin(*a.d, 20, true);
    EXPECT_TRUE(named().contains(a.data[3].raw));
}

TEST_F(Dirty, PagesThatComeUnderTheirNumber) {
    run_here(a.vcpu());
    uint64_t list[1] = {77};
    const auto ask = [&](uint64_t cmd) {
        auto r = xen::zeroed<xen::MemoryReservation>();
        r.nr_extents = 1;
        r.domid = xen::DOMID_SELF;
        r.extent_start.addr = RealGuest::data_address(1);
        EXPECT_TRUE(arch::copy_to_guest(r.extent_start.addr, list, sizeof list));
        EXPECT_TRUE(arch::copy_to_guest(RealGuest::data_address(2), &r, sizeof r));
        (void)named();
        EXPECT_EQ(world.call(choice, xen::HYPERVISOR_memory_op, cmd, RealGuest::data_address(2)), 1);
        EXPECT_TRUE(arch::copy_from_guest(list, r.extent_start.addr, sizeof list));
    };
    ask(xen::XENMEM_populate_physmap);
    model.must_name(Mfn(list[0]), 77);
    EXPECT_TRUE(named().contains(list[0]));

    auto x = xen::zeroed<xen::MemoryExchange>();
    x.in.nr_extents = x.out.nr_extents = 1;
    x.in.domid = x.out.domid = xen::DOMID_SELF;
    x.in.extent_start.addr = RealGuest::data_address(1);
    x.out.extent_start.addr = RealGuest::data_address(3);
    const uint64_t number = 78;
    EXPECT_TRUE(arch::copy_to_guest(x.out.extent_start.addr, &number, sizeof number));
    EXPECT_TRUE(arch::copy_to_guest(RealGuest::data_address(2), &x, sizeof x));
    (void)named();
    EXPECT_EQ(world.call(choice, xen::HYPERVISOR_memory_op, xen::XENMEM_exchange, RealGuest::data_address(2)), 0);
    uint64_t fresh = 0;
    EXPECT_TRUE(arch::copy_from_guest(&fresh, x.out.extent_start.addr, sizeof fresh));
    model.must_name(Mfn(fresh), 78);
    EXPECT_TRUE(named().contains(fresh));
}

TEST_F(Dirty, BitsThatAreSetForTheCpu) {
    uint64_t* slot = map_mfn<uint64_t>(a.linear_l1) + RealGuest::table_pages + 3;
    guest_writes(slot, *slot & ~(pte::accessed | pte::dirty));
    ASSERT_TRUE(dirty_log_start(a));
    run_here(a.vcpu());
    (void)named();
    uint32_t error = 6;
    ASSERT_TRUE(mirror_fault(a.vcpu(), RealGuest::data_address(3), error));
    EXPECT_EQ(named(), Frames{a.linear_l1.raw});
    run_idle_here();
    EXPECT_TRUE(dirty_log_stop(a));
}

TEST_F(Dirty, CopiesThatWalkTheTables) {
    run_here(a.vcpu());
    a->pv->linear_l4 = true;
    uint64_t* slot = map_mfn<uint64_t>(a.linear_l1) + RealGuest::table_pages + 3;
    guest_writes(slot, *slot & ~(pte::accessed | pte::dirty));
    (void)named();
    const uint64_t word = 77;
    ASSERT_EQ(arch::walked_write(RealGuest::data_address(3), &word, sizeof word), arch::Walked::done);
    EXPECT_EQ(named(), (Frames{a.linear_l1.raw, a.data[3].raw}));
    uint64_t back = 0;
    ASSERT_EQ(arch::walked_read(&back, RealGuest::data_address(3), sizeof back), arch::Walked::done);
    EXPECT_EQ(back, word);
    EXPECT_FALSE(named().contains(a.data[3].raw)) << "reading is no writing";
}

TEST_F(Dirty, PagesOfHypercallStubs) {
    ASSERT_TRUE(pv_write_msr(a.vcpu(), 0x40000000, a.data[3].address()));
    EXPECT_EQ(named(), Frames{a.data[3].raw});
    run_here(*dom0->vcpus[0]);
    auto op = xen::zeroed<xen::Domctl>();
    op.cmd = xen::XEN_DOMCTL_hypercall_init;
    op.interface_version = xen::XEN_DOMCTL_INTERFACE_VERSION;
    op.domain = 11;
    op.u.hypercall_init.gmfn = a.data[4].raw;
    const uint64_t at = world.put(choice, op);
    (void)named();
    EXPECT_EQ(world.call(choice, xen::HYPERVISOR_domctl, at), 0);
    EXPECT_TRUE(named().contains(a.data[4].raw));
}

TEST_F(Dirty, PagesThatAToolWrites) {
    guest_writes(map_mfn(a.data[4]), 5);
    run_here(*dom0->vcpus[0]);
    struct {
        xenolith::CopyPages list;
        uint64_t frames[2];
        uint8_t states[2];
    } call{};
    // All of it stands at the beginning of one page, which is also what is written.
    const uint64_t at = world.put(choice, call);
    call.list.domid = 11;
    call.list.count = 2;
    call.list.frames.addr = at + offsetof(decltype(call), frames);
    call.list.states.addr = at + offsetof(decltype(call), states);
    call.list.pages.addr = at;
    call.frames[0] = a.data[3].raw;
    call.frames[1] = a.data[4].raw;
    call.states[1] = xenolith::COPY_PAGES_ZEROS;
    ASSERT_EQ(world.put(choice, call), at);
    (void)named();
    EXPECT_EQ(world.call(choice, xenolith::HYPERVISOR_copy_pages, xenolith::COPY_PAGES_write, at, 0), 0);
    const Frames now = named();
    EXPECT_TRUE(now.contains(call.frames[0]) && now.contains(call.frames[1]) && !now.contains(a.data[5].raw));
}

TEST_F(Dirty, GrantTablesAndTheirMarks) {
    const uint64_t first = must(get_grant_frame(*a.d, 0)).raw, second = must(get_grant_frame(*a.d, 1)).raw;
    grant(a, 20, a.data[3]);
    EXPECT_EQ(grant_swap(*a.d, 20, 600), GrantStatus(0));
    EXPECT_EQ(named(), (Frames{first, second}));
    grant(a, 0, a.data[5]);
    ASSERT_EQ(grant_pin(a, DomId(12), 0, false).status, GrantStatus(0));
    EXPECT_EQ(named(), Frames{first}) << "the mark that it is read";
    // To version 2 and back, with a look after each step.
    for (const uint32_t version : {2u, 1u}) {
        guest_writes(map_mfn(Mfn(second)) + 64, 5);
        host::preempt_every(1);
        Status s = Err{Errc::restart};
        for (unsigned turns = 0; !s && turns < 20; ++turns) {
            s = grants_set_version(*a.d, version);
            (void)named();
            EXPECT_TRUE(s || s.error() == Errc::restart);
        }
        host::preempt_every(0);
        ASSERT_TRUE(s);
        if (version == 1) break;
        const uint64_t marks = must(get_status_frame(*a.d, 0)).raw;
        (void)named();
        grant_unpin(*a.d, 0, false);
        EXPECT_EQ(named(), Frames{marks});
        ASSERT_EQ(grant_pin(a, DomId(12), 0, false).status, GrantStatus(0));
        EXPECT_EQ(named(), Frames{marks});
        grant_unpin(*a.d, 0, false);
    }
}

TEST_F(Dirty, EventsInTheirWords) {
    Vcpu& v = a.vcpu();
    ASSERT_TRUE(vcpu_map_info(v, Gfn(a.data[3].raw), 0) || &v != &current());
    auto* shared = a->shared;
    const Port port = must(event_bind_ipi(*a.d, VcpuId(0)));
    (void)named();
    guest_writes(&shared->evtchn_pending[0], ~uint64_t{0});
    (void)named();
    ASSERT_TRUE(event_close(*a.d, port));
    EXPECT_TRUE(named().contains(mfn_of(shared).raw));

    auto* control = map_mfn<uint64_t>(a.data[6]);
    for (unsigned i = 0; i < 9; ++i) guest_writes(control + i, ~uint64_t{0});
    (void)named();
    ASSERT_TRUE(event_init_control(*a.d, VcpuId(0), Gfn(a.data[6].raw), 0));
    EXPECT_TRUE(named().contains(a.data[6].raw));
    ASSERT_TRUE(event_expand_array(*a.d, Gfn(a.data[8].raw)));
    const Port queued = must(event_bind_ipi(*a.d, VcpuId(0)));
    (void)named();
    xen::VcpuInfo* info = v.info.load();
    guest_writes(reinterpret_cast<uint64_t*>(info), 0);
    (void)named();
    ASSERT_TRUE(event_send(*a.d, queued));
    EXPECT_TRUE(named().contains(mfn_of(info).raw));
    const Port behind_it = must(event_bind_ipi(*a.d, VcpuId(0)));
    (void)named();
    ASSERT_TRUE(event_send(*a.d, behind_it));
    EXPECT_TRUE(named().contains(a.data[8].raw)) << "the first one's word links to it";

    // One whose word is in another page than the queue's last.
    ASSERT_TRUE(event_expand_array(*a.d, Gfn(a.data[9].raw)));
    Port far = behind_it;
    while (far.raw < page_size / 4) far = must(event_bind_ipi(*a.d, VcpuId(0)));
    (void)named();
    ASSERT_TRUE(event_send(*a.d, far));
    const Frames linked = named();
    EXPECT_TRUE(linked.contains(a.data[8].raw) && linked.contains(a.data[9].raw));
}

TEST_F(Dirty, PagesOfEventQueuesThatTheGuestGetsBack) {
    ASSERT_TRUE(event_init_control(*a.d, VcpuId(0), Gfn(a.data[6].raw), 0));
    ASSERT_TRUE(event_expand_array(*a.d, Gfn(a.data[8].raw)));
    (void)named();
    model.must_name(a.data[6]);
    model.must_name(a.data[8]);
    while (!event_reset(*a.d)) {}
    const Frames frames = named();
    EXPECT_TRUE(frames.contains(a.data[6].raw) && frames.contains(a.data[8].raw));
}

TEST_F(Dirty, AHypervisorsPageLeavesWhileItIsMapped) {
    void* shared = a->shared;
    PageInfo& p = page_of(mfn_of(shared));
    ASSERT_TRUE(get_page(p, DomId(11)));
    a.end();
    (void)named();
    domains_reap();
    EXPECT_EQ(p.owner.load(), dom_xen->id.raw);
    put_page(p);
}

TEST(DirtyWorlds, EveryPageThatChangesIsNamed) { EXPECT_EQ(hostile_worlds().wrong, ""); }

/// The control: for each line there is a page, in these worlds or above, which it is the only one to name as it must be named.
TEST(DirtyWorlds, EveryLineIsNeeded) {
    const Play& play = hostile_worlds();
    const Sites all = sites_in_sources();
    std::printf("dirty: %zu lines name pages, %zu were heard in the worlds, %zu of them alone\n", all.size(), play.heard.size(),
                play.needed.size());
    for (const auto& site : all) {
        const auto colon = site.find(':');
        std::ifstream in(std::filesystem::path(XENOLITH_SOURCE_DIR) / "hypervisor" / site.substr(0, colon));
        std::string text;
        for (int n = std::stoi(site.substr(colon + 1)); n > 0; --n) std::getline(in, text);
        const bool reached = play.heard.contains(site) || by_hand.heard.contains(site);
        EXPECT_TRUE(reached) << site << " is never reached";
        EXPECT_TRUE(play.needed.contains(site) || by_hand.needed.contains(site)) << site << " names nothing alone: " << text;
    }
}

TEST(DirtyWorlds, ASilentLineIsFound) {
    Play deaf;
    deaf.worlds(1, "all");
    EXPECT_NE(deaf.wrong, "");
    for (const char* file : {"guest/pv/pt_update.hpp:", "domain/vcpu_info.cpp:", "grant/copy.cpp:"}) {
        const auto& all = hostile_worlds().needed;
        const auto site = std::find_if(all.begin(), all.end(), [&](const auto& s) { return s.starts_with(file); });
        ASSERT_NE(site, all.end()) << file;
        Play silent;
        silent.worlds(60, *site);
        EXPECT_NE(silent.wrong, "") << *site;
    }
}

}  // namespace
