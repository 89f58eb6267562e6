// SPDX-License-Identifier: Apache-2.0
/// Page types and counts, and the flushes between one use of a page and the next, in every interleaving.
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/mm/tlb.hpp"
#include "tests/explore/world.hpp"

namespace {

using namespace explore;

constexpr char stale_write[] = "a CPU can write to a descriptor table or page table through a stale translation";
constexpr char stale_walk[] = "a CPU can translate through a page that is writable again";
constexpr char stale_owner[] = "a CPU of its former owner can write to another domain's page";

PageInfo* page;

/// A page of domain A, used writable `users` times.
void make_page(unsigned users) {
    Guest& a = world().a;
    page = &page_of(a.page());
    name(&page->type, 8, "type");
    name(&page->count, 8, "count");
    name(&page->stamp, 4, "stamp");
    name(&tlb_clock, 4, "tlb_clock");
    for (unsigned c = 0; c < world_cpus; ++c) {
        a->dirty_cpus.set(c);
        name(&cpus[c].tlb_time, 4, ("tlb_time of CPU " + std::to_string(c)).c_str());
        name(&cpus[c].flush_requested, 4, ("flushes asked of CPU " + std::to_string(c)).c_str());
        name(&cpus[c].flush_done, 4, ("flushes done by CPU " + std::to_string(c)).c_str());
    }
    for (unsigned i = 0; i < users; ++i) check(get_writable_type(*page), "setup");
}

/// Maps the page writable, writes to it and takes the mapping out again. The guest's translation stays in the TLB.
void use_writable() {
    note("maps the page writable");
    if (!get_writable_type(*page)) return;
    check(!tlb::anyone_may_walk(*page), stale_walk);
    in_guest();
    note("writes to it, and unmaps it");
    tlb::write_through(*page);
    put_writable_type(*page);
}

void unmap() {
    note("unmaps the page");
    put_writable_type(*page);
}

/// Makes it a descriptor table for a while.
void use_as_table(PageType t = PageType::segdesc) {
    Domain& d = world().a;
    note("makes it a table");
    {
        Guard g(d.pv->lock);
        if (!get_page_type(d, *page, t)) return;
        check(!tlb::anyone_may_write(*page), stale_write);
    }
    in_guest();
    check(!tlb::anyone_may_write(*page), stale_write);
    tlb::walk_through(*page);
    note("it is a table no more");
    Guard g(d.pv->lock);
    check(static_cast<bool>(put_page_type(d, *page)), "releasing the table");
}

void flush_here() {
    note("flushes its TLB");
    arch::flush_tlb_local();
}

/// All uses are gone, and the page has its one reference.
void is_idle() {
    check((page->type.load() & page::users_mask) == 0, "a use was lost or counted twice");
    check((page->count.load() & page::count_mask) == 1, "a reference was lost or counted twice");
}

TEST(Types, a_mapping_ends_while_another_cpu_uses_the_page) {
    Scenario s = on_world([] { make_page(1); }, {[] {
                                                     unmap();
                                                     use_as_table();
                                                 },
                                                 [] {
                                                     flush_here();
                                                     use_writable();
                                                 }});
    s.end = is_idle;
    expect_holds("unmap, table | flush, map, write, unmap", s, bounded(3));
}

std::atomic<bool> mapped;

/// The calling CPU's guest writes through another one's mapping, as long as that is there.
void write_if_mapped() {
    note("writes through the other's mapping");
    if (mapped.load(std::memory_order_seq_cst)) tlb::write_through(*page);
}

TEST(Types, a_mapping_ends_while_another_cpu_turns_to_its_other_mode) {
    Scenario s = on_world(
        [] {
            make_page(1);
            mapped.store(true);
        },
        {[] {
             mapped.store(false, std::memory_order_seq_cst);
             unmap();
             use_as_table();
         },
         [] {
             write_if_mapped();
             note("turns to its other mode");
             tlb::flush_in_passing();
             write_if_mapped();
             flush_here();
         },
         flush_here});
    s.end = is_idle;
    expect_holds("unmap, table | write, turn, write | flush", s, bounded(2));
}

TEST(Types, the_same_with_a_third_cpu_that_makes_it_a_table) {
    Scenario s = on_world([] { make_page(1); }, {unmap,
                                                 [] {
                                                     flush_here();
                                                     use_writable();
                                                 },
                                                 [] { use_as_table(); }});
    s.end = is_idle;
    expect_holds("unmap | flush, map, write, unmap | table", s, bounded(2));
}

TEST(Types, writable_and_table_by_turns) {
    Scenario s = on_world([] { make_page(0); }, {[] {
                                                     use_writable();
                                                     use_as_table();
                                                 },
                                                 [] {
                                                     use_as_table();
                                                     use_writable();
                                                 }});
    s.end = is_idle;
    expect_holds("writable, table | table, writable", s, bounded(2));
}

TEST(Types, three_cpus_map_and_unmap) {
    Scenario s = on_world([] { make_page(0); }, {use_writable, use_writable, [] { use_as_table(); }});
    s.end = is_idle;
    expect_holds("writable | writable | table", s, bounded(2));
}

TEST(Types, a_delayed_store_changes_nothing) {
    Scenario s = on_world([] { make_page(1); }, {[] {
                                                     unmap();
                                                     use_as_table();
                                                 },
                                                 [] {
                                                     flush_here();
                                                     use_writable();
                                                 }});
    s.end = is_idle;
    expect_holds("unmap, table | flush, map, write, unmap", s, bounded(2, 1));
}

TEST(Types, the_clock_stops_when_it_wraps) {
    Scenario s = on_world(
        [] {
            make_page(1);
            tlb_clock.store(~0u);
            page->stamp.store(~0u - 1);
        },
        {[] {
             unmap();
             use_as_table();
         },
         [] {
             flush_here();
             use_writable();
         }});
    s.end = is_idle;
    expect_holds("unmap, table | flush, map, ... at the clock's end", s, bounded(2));
}

// -- existence ----------------------------------------------------------------------------------------------------------

/// Uses the page if it still is domain A's, and lets go of it.
void use_if_there() {
    if (!get_page(*page, world().a->id)) return;
    check(page->owner.load() == world().a->id.raw, "a page changed its owner under a reference");
    use_writable();
    check(page->owner.load() == world().a->id.raw, "a page changed its owner under a reference");
    put_page(*page);
}

void give_up() {
    note("domain A gives the page up");
    domain_release_page(*page);
}

/// Domain B gets a page, perhaps this one.
void take_for_b() {
    note("domain B gets a page");
    const auto got = domain_alloc_pages(world().b, 0, 64);
    if (!got || &page_of(got.value()) != page) return;
    note("it is this one");
    check(!tlb::anyone_may_write(*page), stale_owner);
    check(!get_page(*page, world().a->id), "its former owner gets a reference to a page");
}

TEST(Frames, a_page_changes_hands) {
    Scenario s = on_world([] { make_page(0); }, {use_if_there, [] {
                                                     give_up();
                                                     take_for_b();
                                                 }});
    expect_holds("get, map, unmap, put | release, alloc", s, bounded(3));
}

TEST(Frames, a_page_changes_hands_between_three_cpus) {
    Scenario s = on_world([] { make_page(0); }, {use_if_there, give_up, take_for_b});
    expect_holds("get, map, unmap, put | release | alloc", s, bounded(2));
}

TEST(Frames, who_releases_it_is_one) {
    static unsigned released;
    Scenario s = on_world(
        [] {
            make_page(0);
            released = 0;
            get_page_again(*page);
        },
        {[] {
             if (domain_release_page(*page)) ++released;
             put_page(*page);
         },
         [] {
             if (domain_release_page(*page)) ++released;
         }});
    s.end = [] {
        check(released == 1, "a page was released twice or never");
        check(page->owner.load() == no_owner, "a page without references has an owner");
    };
    expect_holds("release, put | release", s, bounded(3));
}

}  // namespace
