// SPDX-License-Identifier: Apache-2.0
// link: hvcore
// tsan
// Version 2 of the grant table: marks in frames of their own, parts of pages, grants passed on, and the way between versions.
#include "hypervisor/grant/grant.hpp"

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "abi/xen/memory.hpp"
#include "hypervisor/grant/internal.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;

constexpr uint32_t access = xen::GTF_permit_access, reading = xen::GTF_reading, writing = xen::GTF_writing;

class GrantsV2 : public ::testing::Test {
protected:
    void SetUp() override {
        control_domain();
        domains_reap();
    }
    void TearDown() override { host::become(0); }
};

/// A guest that has chosen version 2.
struct Guest2 : Guest {
    explicit Guest2(uint16_t id, DomainLimits limits = {}) : Guest(id, 1, limits) {
        while (!grants_set_version(*d, 2)) {
        }
    }
    xen::GrantEntryV2& entry(uint32_t ref) {
        return map_mfn<xen::GrantEntryV2>(must(get_grant_frame(*d, ref / 256)))[ref % 256];
    }
    uint16_t& status(uint32_t ref) { return map_mfn<uint16_t>(must(get_status_frame(*d, ref / 2048)))[ref % 2048]; }
    uint16_t marks(uint32_t ref) { return __atomic_load_n(&status(ref), __ATOMIC_ACQUIRE); }
    void put(uint32_t ref, uint32_t flags, uint16_t to, xen::GrantEntryV2 rest) {
        auto& e = entry(ref);
        rest.hdr = {0, to};
        e = rest;
        __atomic_store_n(&e.hdr.flags, static_cast<uint16_t>(flags), __ATOMIC_RELEASE);
    }
    void whole(uint32_t ref, uint16_t to, Mfn m, uint32_t more = 0) {
        auto e = xen::zeroed<xen::GrantEntryV2>();
        e.full_page.frame = m.raw;
        put(ref, access | more, to, e);
    }
    void some(uint32_t ref, uint16_t to, Mfn m, uint16_t start, uint16_t length, uint32_t more = 0) {
        auto e = xen::zeroed<xen::GrantEntryV2>();
        e.sub_page.frame = m.raw;
        e.sub_page.page_off = start;
        e.sub_page.length = length;
        put(ref, access | xen::GTF_sub_page | more, to, e);
    }
    void pass_on(uint32_t ref, uint16_t to, uint16_t from, uint32_t their_ref, uint32_t more = 0) {
        auto e = xen::zeroed<xen::GrantEntryV2>();
        e.transitive.trans_domid = from;
        e.transitive.gref = their_ref;
        put(ref, xen::GTF_transitive | more, to, e);
    }
};

uint32_t references(Mfn m) { return static_cast<uint32_t>(page_of(m).count.load()); }
uint32_t type_users(Mfn m) { return static_cast<uint32_t>(page_of(m).type.load()); }
int error_of(auto&& r) { return r ? 0 : static_cast<int>(r.error()); }

struct Caller {
    Vcpu* before;
    explicit Caller(Vcpu& v) : before(this_cpu().current) { this_cpu().current = &v; }
    ~Caller() { this_cpu().current = before; }
    Caller(const Caller&) = delete;
    Caller& operator=(const Caller&) = delete;
};

Result<uint64_t> call(Vcpu& v, uint32_t cmd, void* op, unsigned* turns = nullptr) {
    Caller caller(v);
    return hypercall(hypercall_grant_table_op, v, cmd, address(op), 1, turns);
}

int set_version(Guest& g, uint32_t version) {
    xen::GnttabSetVersion op{version};
    const int e = error_of(call(g.vcpu(), xen::GNTTABOP_set_version, &op));
    EXPECT_EQ(op.version, grants_version(g)) << "it says which is in use, whatever happened";
    return e;
}

/// Copies `len` bytes from grant `ref` of `owner` at `offset` into the caller's page, or the other way.
int copy(Guest& by, uint16_t owner, uint32_t ref, Mfn own, uint16_t offset, uint16_t len, bool to_grant = false) {
    auto op = xen::zeroed<xen::GnttabCopy>();
    auto& theirs = to_grant ? op.dest : op.source;
    auto& ours = to_grant ? op.source : op.dest;
    theirs.u.ref = ref;
    theirs.domid = owner;
    theirs.offset = offset;
    ours.u.gmfn = own.raw;
    ours.domid = xen::DOMID_SELF;
    op.len = len;
    op.flags = static_cast<uint16_t>(to_grant ? xen::GNTCOPY_dest_gref : xen::GNTCOPY_source_gref);
    EXPECT_TRUE(call(by.vcpu(), xen::GNTTABOP_copy, &op));
    return op.status;
}

/// Maps for a device: no page table is needed.
xen::GnttabMapGrantRef map(Guest& by, uint16_t owner, uint32_t ref, bool readonly = false) {
    auto op = xen::zeroed<xen::GnttabMapGrantRef>();
    op.dom = owner;
    op.ref = ref;
    op.flags = xen::GNTMAP_device_map | (readonly ? xen::GNTMAP_readonly : 0);
    EXPECT_TRUE(call(by.vcpu(), xen::GNTTABOP_map_grant_ref, &op));
    return op;
}
int unmap(Guest& by, const xen::GnttabMapGrantRef& m) {
    auto op = xen::zeroed<xen::GnttabUnmapGrantRef>();
    op.dev_bus_addr = m.dev_bus_addr;
    op.handle = m.handle;
    EXPECT_TRUE(call(by.vcpu(), xen::GNTTABOP_unmap_grant_ref, &op));
    return op.status;
}

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
    EXPECT_TRUE(hypercall(hypercall_memory_op, v0, xen::XENMEM_acquire_resource, address(&r)));
    EXPECT_EQ(r.nr_frames, 8u) << "64 frames may be";
    r.nr_frames = 3;
    r.frame_list = {address(frames)};
    EXPECT_TRUE(hypercall(hypercall_memory_op, v0, xen::XENMEM_acquire_resource, address(&r)));
    EXPECT_EQ(frames[1], status[1]);
    EXPECT_EQ(frames[2], must(get_status_frame(a, 2)).raw);
    EXPECT_EQ(grant_frames(a), 17u);
    Guest b(2);
    r.domid = 2;
    EXPECT_EQ(error_of(hypercall(hypercall_memory_op, v0, xen::XENMEM_acquire_resource, address(&r))), 22) << "version 1";
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
    EXPECT_EQ(a.entry(300).hdr.flags, access) << "which is the guest's alone";
    EXPECT_EQ(type_users(m), 1u);
    const auto r = map(b, 1, 300, true);
    EXPECT_EQ(unmap(b, w), xen::GNTST_okay);
    EXPECT_EQ(a.marks(300), reading);
    // The guest says readonly now: no new writer.
    a.entry(300).hdr.flags = static_cast<uint16_t>(access | xen::GTF_readonly);
    EXPECT_EQ(map(b, 1, 300).status, xen::GNTST_general_error);
    EXPECT_EQ(a.marks(300), reading);
    EXPECT_EQ(unmap(b, r), xen::GNTST_okay);
    EXPECT_EQ(a.marks(300), 0u);
    EXPECT_EQ(references(m), refs);
    EXPECT_EQ(type_users(m), 0u);

    auto huge = xen::zeroed<xen::GrantEntryV2>();
    huge.full_page.frame = ~uint64_t{0};
    a.put(301, access, 2, huge);
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
    v1[1] = {static_cast<uint16_t>(access), 2, static_cast<uint32_t>(console.raw)};
    v1[2] = {static_cast<uint16_t>(access | xen::GTF_readonly), 7, 1234};
    v1[8] = {static_cast<uint16_t>(access), 2, static_cast<uint32_t>(m.raw)};
    v1[9] = {static_cast<uint16_t>(access), 2, static_cast<uint32_t>(m.raw)};
    const auto tools = map(b, 1, 1);
    const auto other = map(b, 1, 8, true);
    EXPECT_EQ(set_version(a, 2), 16);
    EXPECT_EQ(v1[9].flags, access) << "nothing happened";
    EXPECT_EQ(unmap(b, other), xen::GNTST_okay);
    ASSERT_EQ(set_version(a, 2), 0);

    auto* v2 = map_mfn<xen::GrantEntryV2>(must(get_grant_frame(a, 0)));
    auto* status = map_mfn<uint16_t>(must(get_status_frame(a, 0)));
    EXPECT_EQ(v2[1].hdr.flags, access);
    EXPECT_EQ(v2[1].hdr.domid, 2);
    EXPECT_EQ(v2[1].full_page.frame, console.raw);
    EXPECT_EQ(status[1], reading | writing) << "still mapped";
    EXPECT_EQ(v2[2].hdr.flags, access | xen::GTF_readonly);
    EXPECT_EQ(v2[2].full_page.frame, 1234u);
    for (unsigned i = 8; i < 256; ++i) EXPECT_EQ(v2[i].hdr.flags | v2[i].full_page.frame, 0u) << i;
    const auto again = map(b, 1, 1, true);
    EXPECT_EQ(again.status, xen::GNTST_okay);
    EXPECT_EQ(unmap(b, again), xen::GNTST_okay);

    // Back: a reserved entry that is in use as something version 1 does not know, what cannot be said there, frames that are
    // mapped; then yes.
    v2[4].sub_page.frame = m.raw;
    v2[4].sub_page.length = 10;
    v2[4].hdr = {static_cast<uint16_t>(access | xen::GTF_sub_page), 2};
    ASSERT_EQ(grant_pin(a, DomId(2), 4, false, GrantUse::copy).status, xen::GNTST_okay);
    v2[4].hdr.flags = 0;
    EXPECT_EQ(set_version(a, 1), 16);
    grant_unpin(a, 4, false);
    v2[3].full_page.frame = uint64_t{1} << 32;
    v2[3].hdr = {static_cast<uint16_t>(access), 2};
    EXPECT_EQ(set_version(a, 1), 34);
    v2[3].hdr.flags = static_cast<uint16_t>(xen::GTF_transitive);
    EXPECT_EQ(set_version(a, 1), 34);
    v2[3].hdr.flags = static_cast<uint16_t>(xen::GTF_accept_transfer);
    {
        const PageRef mapped = must(PageRef::acquire(must(get_status_frame(a, 0)), a->id));
        EXPECT_EQ(set_version(a, 1), 16);
    }
    ASSERT_EQ(set_version(a, 1), 0);
    EXPECT_EQ(v1[1].flags, access | reading | writing);
    EXPECT_EQ(v1[1].frame, console.raw);
    EXPECT_EQ(v1[2].flags, access | xen::GTF_readonly);
    EXPECT_EQ(v1[3].flags, 0u);
    EXPECT_FALSE(get_status_frame(a, 0));
    EXPECT_EQ(unmap(b, tools), xen::GNTST_okay);
    EXPECT_EQ(v1[1].flags, access);
    EXPECT_EQ(type_users(console), 0u);
}

TEST_F(GrantsV2, ALargeTableChangesInSteps) {
    const Resources before;
    {
        Guest a(1), b(2);
        auto* v1 = map_mfn<xen::GrantEntryV1>(must(get_grant_frame(a, 0)));
        (void)must(get_grant_frame(a, 39));
        v1[1] = {static_cast<uint16_t>(access), 2, static_cast<uint32_t>(a.page().raw)};
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
            __atomic_store_n(word, x >> 28 ? x : access | 2u << 16, __ATOMIC_SEQ_CST);
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
