// SPDX-License-Identifier: Apache-2.0
// link: hvcore
// Version 2 of the grant table: marks in frames of their own, parts of pages, grants passed on, and the way between versions.
#include "tests/host/hv_grant_v2.hpp"

namespace {

using namespace hvtest;

TEST_F(GrantsV2, AGuestChoosesItsVersion) {
    Guest a(1);
    EXPECT_EQ(grants_version(a), 1u);
    EXPECT_EQ(set_version(a, 3), 22);
    EXPECT_EQ(set_version(a, 2), 0);
    EXPECT_EQ(set_version(a, 2), 0);
    xen::GnttabGetVersion get{xen::DOMID_SELF, 0, 0};
    EXPECT_TRUE(call(a.vcpu(), xen::GNTTABOP_get_version, &get));
    EXPECT_EQ(get.version, 2u);
    EXPECT_EQ(set_version(a, 1), 0);

    DomainLimits first_only;
    first_only.grant_version = 1;
    Guest b(2, 1, first_only);
    EXPECT_EQ(set_version(b, 2), 38);
    EXPECT_EQ(set_version(b, 1), 0);
    get.dom = 2;
    EXPECT_EQ(error_of(call(a.vcpu(), xen::GNTTABOP_get_version, &get)), 1) << "not its business";
    EXPECT_TRUE(call(control_domain().vcpu(), xen::GNTTABOP_get_version, &get));
    EXPECT_EQ(get.version, 1u);
}

TEST_F(GrantsV2, StatusFramesComeWithTheirTable) {
    Guest2 a(1);
    uint64_t frames[8] = {}, status[8] = {};
    auto get = xen::zeroed<xen::GnttabGetStatusFrames>();
    const auto status_of = [&](uint32_t n, uint16_t dom) {
        get.nr_frames = n;
        get.dom = dom;
        get.frame_list = {address(status)};
        EXPECT_TRUE(call(a.vcpu(), xen::GNTTABOP_get_status_frames, &get));
        return int{get.status};
    };
    EXPECT_EQ(status_of(1, xen::DOMID_SELF), xen::GNTST_okay);
    EXPECT_EQ(status_of(2, xen::DOMID_SELF), xen::GNTST_general_error) << "one serves eight";
    EXPECT_EQ(status_of(1, 0), xen::GNTST_permission_denied);
    EXPECT_EQ(status_of(1, 77), xen::GNTST_bad_domain);
    auto setup = xen::zeroed<xen::GnttabSetupTable>();
    setup.dom = xen::DOMID_SELF;
    setup.nr_frames = 8;
    setup.frame_list = {address(frames)};
    EXPECT_TRUE(call(a.vcpu(), xen::GNTTABOP_setup_table, &setup));
    EXPECT_EQ(status_of(2, xen::DOMID_SELF), xen::GNTST_general_error);
    EXPECT_TRUE(get_grant_frame(a, 8));
    EXPECT_EQ(status_of(2, xen::DOMID_SELF), xen::GNTST_okay);
    EXPECT_EQ(status[1], must(get_status_frame(a, 1)).raw);
    EXPECT_TRUE(PageRef::acquire(Mfn(status[1]), a->id)) << "the guest may map it";
    get.frame_list = {8};
    EXPECT_TRUE(call(a.vcpu(), xen::GNTTABOP_get_status_frames, &get));
    EXPECT_EQ(get.status, xen::GNTST_bad_virt_addr);

    // The control domain gets them by number, more than there are now too.
    auto r = xen::zeroed<xen::MemAcquireResource>();
    r.domid = 1;
    r.type = xen::XENMEM_resource_grant_table;
    r.id = xen::XENMEM_resource_grant_table_id_status;
    Vcpu& v0 = control_domain().vcpu();
    EXPECT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_memory_op), v0, xen::XENMEM_acquire_resource, address(&r)));
    EXPECT_EQ(r.nr_frames, 8u) << "64 frames may be";
    r.nr_frames = 3;
    r.frame_list = {address(frames)};
    EXPECT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_memory_op), v0, xen::XENMEM_acquire_resource, address(&r)));
    EXPECT_EQ(frames[1], status[1]);
    EXPECT_EQ(frames[2], must(get_status_frame(a, 2)).raw);
    EXPECT_EQ(grant_frames(a), 17u);
    Guest b(2);
    r.domid = 2;
    EXPECT_EQ(error_of(hypercall(hypercall_handler(xen::HYPERVISOR_memory_op), v0, xen::XENMEM_acquire_resource, address(&r))),
              22)
        << "version 1";
}

TEST_F(GrantsV2, MarksStandBesideTheEntry) {
    Guest2 a(1);
    Guest b(2);
    const Mfn m = a.page();
    const uint32_t refs = references(m);
    a.whole(300, 2, m);
    EXPECT_EQ(grant_pin(a, DomId(3), 300, false).status, xen::GNTST_general_error);
    EXPECT_EQ(a.marks(300), 0u);
    const auto w = map(b, 1, 300);
    ASSERT_EQ(w.status, xen::GNTST_okay);
    EXPECT_EQ(w.dev_bus_addr, m.address());
    EXPECT_EQ(a.marks(300), reading | writing);
    EXPECT_EQ(a.entry(300).hdr.flags, permit) << "which is the guest's alone";
    EXPECT_EQ(type_users(m), 1u);
    const auto r = map(b, 1, 300, true);
    EXPECT_EQ(unmap(b, w), xen::GNTST_okay);
    EXPECT_EQ(a.marks(300), reading);
    // The guest says readonly now: no new writer.
    a.entry(300).hdr.flags = static_cast<uint16_t>(permit | xen::GTF_readonly);
    EXPECT_EQ(map(b, 1, 300).status, xen::GNTST_general_error);
    EXPECT_EQ(a.marks(300), reading);
    EXPECT_EQ(unmap(b, r), xen::GNTST_okay);
    EXPECT_EQ(a.marks(300), 0u);
    EXPECT_EQ(references(m), refs);
    EXPECT_EQ(type_users(m), 0u);

    auto huge = xen::zeroed<xen::GrantEntryV2>();
    huge.full_page.frame = ~uint64_t{0};
    a.put(301, permit, 2, huge);
    EXPECT_EQ(map(b, 1, 301).status, xen::GNTST_general_error);
    a.whole(302, 2, b.page());
    EXPECT_EQ(map(b, 1, 302).status, xen::GNTST_general_error) << "not its own page";
    EXPECT_EQ(a.marks(302), 0u);
    EXPECT_EQ(map(b, 1, 256).status, xen::GNTST_general_error) << "the table has grown by what was written";
    EXPECT_EQ(map(b, 1, 512).status, xen::GNTST_bad_gntref) << "half as many in a frame as in version 1";
}

TEST_F(GrantsV2, PartOfAPageIsCopiedNotMapped) {
    Guest2 a(1);
    Guest b(2);
    const Mfn m = a.page(), own = b.page();
    for (unsigned i = 0; i < page_size; ++i) map_mfn(m)[i] = static_cast<uint8_t>(i * 5);
    a.some(8, 2, m, 100, 50);
    EXPECT_EQ(map(b, 1, 8).status, xen::GNTST_general_error);
    EXPECT_EQ(copy(b, 1, 8, own, 100, 50), xen::GNTST_okay);
    EXPECT_EQ(0, std::memcmp(map_mfn(own), map_mfn(m) + 100, 50));
    EXPECT_EQ(copy(b, 1, 8, own, 99, 10), xen::GNTST_general_error);
    EXPECT_EQ(copy(b, 1, 8, own, 149, 2), xen::GNTST_general_error);
    EXPECT_EQ(copy(b, 1, 8, own, 149, 1, true), xen::GNTST_okay);
    EXPECT_EQ(copy(b, 1, 8, own, 150, 1, true), xen::GNTST_general_error);
    EXPECT_EQ(a.marks(8), 0u);
    // An end beyond the page does not reach beyond the page.
    a.some(9, 2, m, 4000, 60000);
    EXPECT_EQ(copy(b, 1, 9, own, 4000, 96), xen::GNTST_okay);
    EXPECT_EQ(copy(b, 1, 9, own, 4000, 97), xen::GNTST_bad_copy_arg);
    a.some(10, 2, m, 0xffff, 0xffff);
    EXPECT_EQ(copy(b, 1, 10, own, 4095, 1), xen::GNTST_general_error);
    a.some(11, 2, m, 0, 10, xen::GTF_readonly);
    EXPECT_EQ(copy(b, 1, 11, own, 0, 1, true), xen::GNTST_general_error);
    // What is in use as a part is not mapped although the guest has made it whole meanwhile.
    const GrantPin held = grant_pin(a, DomId(2), 8, false, GrantUse::copy);
    ASSERT_EQ(held.status, xen::GNTST_okay);
    EXPECT_EQ(held.start, 100u);
    EXPECT_EQ(held.length, 50u);
    a.whole(8, 2, m);
    EXPECT_EQ(map(b, 1, 8).status, xen::GNTST_general_error);
    grant_unpin(a, 8, false);
    const auto now = map(b, 1, 8);
    EXPECT_EQ(now.status, xen::GNTST_okay);
    EXPECT_EQ(unmap(b, now), xen::GNTST_okay);
}

TEST_F(GrantsV2, AGrantIsPassedOnOnce) {
    Guest2 a(1), b(2), c(3);
    const Mfn m = a.page(), own = c.page();
    const uint32_t refs = references(m);
    for (unsigned i = 0; i < page_size; ++i) map_mfn(m)[i] = static_cast<uint8_t>(i * 3 + 1);
    a.whole(20, 2, m);
    b.pass_on(30, 3, 1, 20);
    EXPECT_EQ(map(c, 2, 30).status, xen::GNTST_general_error) << "for copies only";
    EXPECT_EQ(copy(c, 2, 30, own, 8, 100), xen::GNTST_okay);
    EXPECT_EQ(0, std::memcmp(map_mfn(own), map_mfn(m) + 8, 100));
    EXPECT_EQ(copy(c, 2, 30, own, 8, 100, true), xen::GNTST_okay);
    EXPECT_EQ(copy(a, 2, 30, a.page(), 0, 1), xen::GNTST_general_error) << "it is for domain 3";
    EXPECT_EQ(a.marks(20), 0u);
    EXPECT_EQ(b.marks(30), 0u);
    EXPECT_EQ(references(m), refs);

    // The bounds are those of the first grant.
    a.some(21, 2, m, 10, 10);
    b.pass_on(31, 3, 1, 21);
    EXPECT_EQ(copy(c, 2, 31, own, 10, 10), xen::GNTST_okay);
    EXPECT_EQ(copy(c, 2, 31, own, 10, 11), xen::GNTST_general_error);

    // Readonly at either end.
    b.pass_on(32, 3, 1, 20, xen::GTF_readonly);
    EXPECT_EQ(copy(c, 2, 32, own, 0, 1, true), xen::GNTST_general_error);
    a.whole(22, 2, m, xen::GTF_readonly);
    b.pass_on(33, 3, 1, 22);
    EXPECT_EQ(copy(c, 2, 33, own, 0, 1, true), xen::GNTST_general_error);
    EXPECT_EQ(copy(c, 2, 33, own, 0, 1), xen::GNTST_okay);

    // To itself, from nobody, twice, and back to where it came from.
    b.whole(40, 2, b.page());
    b.pass_on(34, 3, 2, 40);
    EXPECT_EQ(copy(c, 2, 34, own, 0, 1), xen::GNTST_general_error);
    b.pass_on(35, 3, 99, 20);
    EXPECT_EQ(copy(c, 2, 35, own, 0, 1), xen::GNTST_general_error);
    b.pass_on(36, 3, 1, 100000);
    EXPECT_EQ(copy(c, 2, 36, own, 0, 1), xen::GNTST_bad_gntref);
    a.pass_on(23, 2, 3, 5);
    c.whole(5, 1, own);
    b.pass_on(37, 3, 1, 23);
    EXPECT_EQ(copy(c, 2, 37, own, 0, 1), xen::GNTST_general_error) << "not twice";
    b.pass_on(38, 1, 1, 20);
    EXPECT_EQ(copy(a, 2, 38, a.page(), 0, 1), xen::GNTST_okay);
    for (uint32_t ref = 20; ref < 40; ++ref) EXPECT_EQ(a.marks(ref) | b.marks(ref), 0u) << ref;
    EXPECT_EQ(references(m), refs);
    EXPECT_EQ(type_users(m), 0u);
}

TEST_F(GrantsV2, WhatIsInUseIsNotChangedUnderIt) {
    Guest2 a(1), b(2), c(3);
    const Mfn m = a.page();
    a.whole(20, 2, m);
    a.whole(21, 2, a.page());
    b.pass_on(30, 3, 1, 20);
    Vcpu& v = c.vcpu();
    Caller caller(v);
    xen::GnttabCopy::GnttabCopyPtr p{};
    p.u.ref = 30;
    p.domid = 2;
    GrantCopyEnd first(false), second(true);
    ASSERT_EQ(first.hold(v, p, true), xen::GNTST_okay);
    EXPECT_EQ(a.marks(20), reading);
    EXPECT_EQ(b.marks(30), reading);
    // The one in the middle names another grant now, and then takes it all back.
    b.pass_on(30, 3, 1, 21);
    ASSERT_EQ(second.hold(v, p, true), xen::GNTST_okay);
    EXPECT_EQ(second.data(), map_mfn(m)) << "the one that is in use";
    EXPECT_EQ(a.marks(20), reading | writing);
    EXPECT_EQ(a.marks(21), 0u);
    b.entry(30).hdr.flags = 0;
    EXPECT_EQ(set_version(b, 1), 16);
    first.release();
    EXPECT_EQ(b.marks(30), reading | writing);
    second.release();
    EXPECT_EQ(a.marks(20) | b.marks(30), 0u);
    EXPECT_EQ(first.hold(v, p, true), xen::GNTST_general_error);
    EXPECT_EQ(set_version(b, 1), 0);
}

TEST_F(GrantsV2, VersionsDoNotChangeUnderEntriesInUse) {
    Guest a(1), b(2);
    const Mfn m = a.page(), console = a.page();
    auto* v1 = map_mfn<xen::GrantEntryV1>(must(get_grant_frame(a, 0)));
    v1[1] = {static_cast<uint16_t>(permit), 2, static_cast<uint32_t>(console.raw)};
    v1[2] = {static_cast<uint16_t>(permit | xen::GTF_readonly), 7, 1234};
    v1[8] = {static_cast<uint16_t>(permit), 2, static_cast<uint32_t>(m.raw)};
    v1[9] = {static_cast<uint16_t>(permit), 2, static_cast<uint32_t>(m.raw)};
    const auto tools = map(b, 1, 1);
    const auto other = map(b, 1, 8, true);
    EXPECT_EQ(set_version(a, 2), 16);
    EXPECT_EQ(v1[9].flags, permit) << "nothing happened";
    EXPECT_EQ(unmap(b, other), xen::GNTST_okay);
    ASSERT_EQ(set_version(a, 2), 0);

    auto* v2 = map_mfn<xen::GrantEntryV2>(must(get_grant_frame(a, 0)));
    auto* status = map_mfn<uint16_t>(must(get_status_frame(a, 0)));
    EXPECT_EQ(v2[1].hdr.flags, permit);
    EXPECT_EQ(v2[1].hdr.domid, 2);
    EXPECT_EQ(v2[1].full_page.frame, console.raw);
    EXPECT_EQ(status[1], reading | writing) << "still mapped";
    EXPECT_EQ(v2[2].hdr.flags, permit | xen::GTF_readonly);
    EXPECT_EQ(v2[2].full_page.frame, 1234u);
    for (unsigned i = 8; i < 256; ++i) EXPECT_EQ(v2[i].hdr.flags | v2[i].full_page.frame, 0u) << i;
    const auto again = map(b, 1, 1, true);
    EXPECT_EQ(again.status, xen::GNTST_okay);
    EXPECT_EQ(unmap(b, again), xen::GNTST_okay);

    // Back: a reserved entry that is in use as something version 1 does not know, what cannot be said there, frames that are
    // mapped; then yes.
    v2[4].sub_page.frame = m.raw;
    v2[4].sub_page.length = 10;
    v2[4].hdr = {static_cast<uint16_t>(permit | xen::GTF_sub_page), 2};
    ASSERT_EQ(grant_pin(a, DomId(2), 4, false, GrantUse::copy).status, xen::GNTST_okay);
    v2[4].hdr.flags = 0;
    EXPECT_EQ(set_version(a, 1), 16);
    grant_unpin(a, 4, false);
    v2[3].full_page.frame = uint64_t{1} << 32;
    v2[3].hdr = {static_cast<uint16_t>(permit), 2};
    EXPECT_EQ(set_version(a, 1), 34);
    v2[3].hdr.flags = static_cast<uint16_t>(xen::GTF_transitive);
    EXPECT_EQ(set_version(a, 1), 34);
    v2[3].hdr.flags = static_cast<uint16_t>(xen::GTF_accept_transfer);
    {
        const PageRef mapped = must(PageRef::acquire(must(get_status_frame(a, 0)), a->id));
        EXPECT_EQ(set_version(a, 1), 16);
    }
    ASSERT_EQ(set_version(a, 1), 0);
    EXPECT_EQ(v1[1].flags, permit | reading | writing);
    EXPECT_EQ(v1[1].frame, console.raw);
    EXPECT_EQ(v1[2].flags, permit | xen::GTF_readonly);
    EXPECT_EQ(v1[3].flags, 0u);
    EXPECT_FALSE(get_status_frame(a, 0));
    EXPECT_EQ(unmap(b, tools), xen::GNTST_okay);
    EXPECT_EQ(v1[1].flags, permit);
    EXPECT_EQ(type_users(console), 0u);
}

TEST_F(GrantsV2, ALargeTableChangesInSteps) {
    const Resources before;
    {
        Guest a(1), b(2);
        auto* v1 = map_mfn<xen::GrantEntryV1>(must(get_grant_frame(a, 0)));
        (void)must(get_grant_frame(a, 39));
        v1[1] = {static_cast<uint16_t>(permit), 2, static_cast<uint32_t>(a.page().raw)};
        const auto tools = map(b, 1, 1);
        for (const uint32_t to : {2u, 1u, 2u}) {
            host::preempt_every(1);
            unsigned turns = 0;
            bool between = false;
            for (;; ++turns) {
                const auto s = grants_set_version(a, to);
                if (s) break;
                ASSERT_EQ(s.error(), Errc::restart);
                ASSERT_LT(turns, 200u);
                if (grants_version(a) != 0) continue;
                between = true;
                EXPECT_EQ(grant_pin(a, DomId(2), 1, false).status, xen::GNTST_eagain);
                EXPECT_EQ(error_of(grants_set_version(a, 3 - to)), 16);
                EXPECT_EQ(error_of(grants_grow(a, 41)), 16);
                EXPECT_FALSE(get_status_frame(a, 0));
            }
            host::preempt_every(0);
            EXPECT_TRUE(between);
            EXPECT_GE(turns, 40u);
            EXPECT_EQ(grants_version(a), to);
        }
        // Given up at the entries between two versions: the mapping ends, and the domain.
        host::preempt_every(1);
        while (grants_version(a) != 0) EXPECT_FALSE(grants_set_version(a, 1));
        host::preempt_every(0);
        EXPECT_EQ(unmap(b, tools), xen::GNTST_okay);
    }
    domains_reap();
    EXPECT_EQ(Resources(), before);
}

TEST_F(GrantsV2, EntriesAreSwappedWithTheirMarks) {
    Guest2 a(1);
    a.some(10, 2, Mfn(77), 5, 6);
    a.status(10) = 0x10;
    a.pass_on(300, 3, 4, 5);
    EXPECT_EQ(grant_swap(a, 10, 300), xen::GNTST_okay);
    EXPECT_EQ(a.entry(300).sub_page.frame, 77u);
    EXPECT_EQ(a.entry(300).sub_page.length, 6u);
    EXPECT_EQ(a.status(300), 0x10);
    EXPECT_EQ(a.entry(10).transitive.gref, 5u);
    EXPECT_EQ(grant_swap(a, 10, 512), xen::GNTST_bad_gntref);
}

// Random operations of three domains on each other, with changes of version in between, under interruption. What must hold:
// marks as what is in use, and in the end every page as it was.

}  // namespace
