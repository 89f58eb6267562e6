// SPDX-License-Identifier: Apache-2.0
/// Grants taken into use and given back while the granting guest takes them back, in every interleaving.
#include "abi/xen/grant_table.hpp"
#include "hypervisor/grant/usual.hpp"
#include "tests/explore/world.hpp"

namespace {

using namespace explore;

constexpr uint32_t granted_ref = 9;
PageInfo* page;
bool revoked;

xen::GrantEntryV1& entry() NO_THREAD_SAFETY_ANALYSIS {
    return static_cast<xen::GrantEntryV1*>(world().a->grants->shared[0])[granted_ref];
}

/// Domain A grants a page of its own to domain B.
void grant_a_page() {
    page = &page_of(world().a.page());
    revoked = false;
    entry().frame = static_cast<uint32_t>(mfn_of(*page).raw);
    entry().domid = world().b->id.raw;
    __atomic_store_n(&entry().flags, uint16_t{xen::GTF_permit_access}, __ATOMIC_RELEASE);
    name(&page->type, 8, "type");
    name(&page->count, 8, "count");
    name(&entry(), 8, "grant entry");
}

void use(bool write) {
    note(write ? "pins to write" : "pins to read");
    const GrantPin pin = grant_pin(world().a, world().b->id, granted_ref, write);
    if (pin.status != 0) return;
    check(!revoked, "a grant was taken into use after its owner had taken it back");
    check(page->owner.load() == world().a->id.raw && (page->count.load() & page::count_mask) != 0, "a page in use is gone");
    check(!write || (page->type.load() & page::users_mask) != 0, "a page in use to write is not writable");
    in_guest();
    check(!revoked, "a grant was taken back while it was in use");
    note("unpins");
    grant_unpin(world().a, granted_ref, write);
}

/// The short way of a mapping: the references of the grant and of an entry at once.
template <bool write>
void use_with_entry() NO_THREAD_SAFETY_ANALYSIS {
    note(write ? "maps to write" : "maps to read");
    uint64_t frame = 0;
    Domain& owner = world().a;
    if (!grant::begin_usual<write, grant::Entry::mapped>(owner, granted_ref, world().b->id, frame)) return;
    check(!revoked, "a grant was mapped after its owner had taken it back");
    check(page->owner.load() == world().a->id.raw && (page->count.load() & page::count_mask) >= 2,
          "a page that is mapped is gone");
    check(!write || (page->type.load() & page::users_mask) >= 2, "a page that is mapped to write is not writable");
    in_guest();
    check(!revoked, "a grant was taken back while it was mapped");
    note("unmaps");
    Guard g(owner.grants->lock);
    grant::end_usual(*owner.grants, granted_ref, write);
}

/// The guest ends the grant as the ABI says: only while nobody uses it.
void take_back() {
    uint16_t f = __atomic_load_n(&entry().flags, __ATOMIC_ACQUIRE);
    while (!(f & (xen::GTF_reading | xen::GTF_writing))) {
        if (!__atomic_compare_exchange_n(&entry().flags, &f, uint16_t{0}, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) continue;
        note("domain A takes the grant back");
        revoked = true;
        return;
    }
}

void nobody_uses_it() {
    check(!(entry().flags & (xen::GTF_reading | xen::GTF_writing)), "a grant that nobody uses says it is in use");
    check((page->type.load() & page::users_mask) == 0, "a use was lost or counted twice");
    check((page->count.load() & page::count_mask) == 1, "a reference was lost or counted twice");
}

TEST(Grants, two_users_of_one_grant) {
    Scenario s = on_world(grant_a_page, {[] { use(true); }, [] { use(false); }});
    s.end = nobody_uses_it;
    expect_holds("pin to write, unpin | pin to read, unpin", s, bounded(3));
}

TEST(Grants, taken_back_while_others_begin) {
    Scenario s = on_world(grant_a_page, {[] { use(true); }, [] { use(false); }, take_back});
    s.end = nobody_uses_it;
    expect_holds("pin, unpin | pin, unpin | take back", s, bounded(2));
}

TEST(Grants, two_mappings_of_one_grant) {
    Scenario s = on_world(grant_a_page, {use_with_entry<true>, [] { use(false); }});
    s.end = nobody_uses_it;
    expect_holds("map to write, unmap | pin to read, unpin", s, bounded(3));
}

TEST(Grants, taken_back_while_mapped) {
    Scenario s = on_world(grant_a_page, {use_with_entry<true>, use_with_entry<true>, take_back});
    s.end = nobody_uses_it;
    expect_holds("map, unmap | map, unmap | take back", s, bounded(2));
}

TEST(Grants, given_up_while_mapped) {
    Scenario s = on_world(grant_a_page, {[] {
                                             use_with_entry<true>();
                                             use_with_entry<false>();
                                         },
                                         [] {
                                             note("domain A gives the page up");
                                             domain_release_page(*page);
                                         }});
    s.end = [] { check(page->owner.load() == no_owner, "a page without references has an owner"); };
    expect_holds("map, unmap, map, unmap | release", s, bounded(3));
}

TEST(Grants, given_up_while_in_use) {
    Scenario s = on_world(grant_a_page, {[] {
                                             use(true);
                                             use(false);
                                         },
                                         [] {
                                             note("domain A gives the page up");
                                             domain_release_page(*page);
                                         }});
    s.end = [] { check(page->owner.load() == no_owner, "a page without references has an owner"); };
    expect_holds("pin, unpin, pin, unpin | release", s, bounded(3));
}

}  // namespace
