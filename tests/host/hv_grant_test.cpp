// SPDX-License-Identifier: Apache-2.0
// link: hvcore
// tsan
#include "hypervisor/grant/grant.hpp"

#include <atomic>
#include <memory>
#include <thread>

#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/hypercall/table.hpp"
#include "tests/host/hv_fixture.hpp"

namespace {

using namespace hvtest;

class Grants : public ::testing::Test {
protected:
    void SetUp() override {
        machine();
        domains_reap();
    }
    void TearDown() override { host::become(0); }
};

xen::GrantEntryV1* entry(Guest& g, uint32_t ref) {
    return map_mfn<xen::GrantEntryV1>(must(get_grant_frame(g, ref / 512))) + ref % 512;
}
void grant(Guest& g, uint32_t ref, uint16_t to, Mfn m, bool readonly = false) {
    auto* e = entry(g, ref);
    e->domid = to;
    e->frame = static_cast<uint32_t>(m.raw);
    __atomic_store_n(&e->flags, static_cast<uint16_t>(xen::GTF_permit_access | (readonly ? xen::GTF_readonly : 0)),
                     __ATOMIC_RELEASE);
}
uint16_t flags(Guest& g, uint32_t ref) { return __atomic_load_n(&entry(g, ref)->flags, __ATOMIC_ACQUIRE); }
uint64_t frame_of(Guest& g, uint32_t ref) { return uint64_t{entry(g, ref)->frame} << page_shift; }
uint32_t references(Mfn m) { return static_cast<uint32_t>(page_of(m).count.load()); }
uint32_t type_users(Mfn m) { return static_cast<uint32_t>(page_of(m).type.load()); }

/// The caller of a hypercall: the vCPU is current while it lives.
struct Caller {
    Vcpu* before;
    explicit Caller(Vcpu& v) : before(this_cpu().current) { this_cpu().current = &v; }
    ~Caller() { this_cpu().current = before; }
};

/// A page of `g` that is an L1 table, and the machine address of its slot n.
struct Table {
    Guest& g;
    Mfn m;
    explicit Table(Guest& guest) : g(guest), m(guest.page()) {
        Guard lock(g->pv->lock);
        EXPECT_TRUE(get_page_type(g, page_of(m), PageType::l1));
    }
    ~Table() {
        Guard lock(g->pv->lock);
        EXPECT_TRUE(put_page_type(g, page_of(m)));
    }
    uint64_t slot(unsigned n) const { return m.address() + n * 8; }
    uint64_t pte(unsigned n) const { return map_mfn<uint64_t>(m)[n]; }
};

TEST_F(Grants, PinStateMachine) {
    Guest a(1), b(2);
    const Mfn m = a.page();
    const uint32_t refs = references(m);
    grant(a, 8, 2, m);
    EXPECT_EQ(grant_pin(a, DomId(3), 8, false).status, xen::GNTST_general_error) << "granted to another";
    EXPECT_EQ(grant_pin(a, DomId(2), 9, false).status, xen::GNTST_general_error) << "not granted";
    EXPECT_EQ(grant_pin(a, DomId(2), 512, false).status, xen::GNTST_bad_gntref);
    EXPECT_EQ(flags(a, 8), xen::GTF_permit_access);

    const GrantPin r = grant_pin(a, DomId(2), 8, false);
    EXPECT_EQ(r.status, xen::GNTST_okay);
    EXPECT_EQ(r.frame, m);
    EXPECT_EQ(flags(a, 8), xen::GTF_permit_access | xen::GTF_reading);
    EXPECT_EQ(references(m), refs + 1);
    EXPECT_EQ(grant_pin(a, DomId(2), 8, true).status, xen::GNTST_okay);
    EXPECT_EQ(flags(a, 8), xen::GTF_permit_access | xen::GTF_reading | xen::GTF_writing);
    EXPECT_EQ(type_users(m), 1u);

    // In use, the entry's text no longer matters: same frame for the same user.
    entry(a, 8)->frame = 1;
    EXPECT_EQ(grant_pin(a, DomId(2), 8, false).frame, m);
    grant_unpin(a, 8, false);

    grant_unpin(a, 8, true);
    EXPECT_EQ(flags(a, 8), xen::GTF_permit_access | xen::GTF_reading);
    EXPECT_EQ(type_users(m), 0u);
    grant_unpin(a, 8, false);
    EXPECT_EQ(flags(a, 8), xen::GTF_permit_access);
    EXPECT_EQ(references(m), refs);
}

TEST_F(Grants, ReadOnlyAndForeignFrames) {
    Guest a(1), b(2);
    grant(a, 8, 2, a.page(), true);
    EXPECT_EQ(grant_pin(a, DomId(2), 8, true).status, xen::GNTST_general_error);
    EXPECT_EQ(grant_pin(a, DomId(2), 8, false).status, xen::GNTST_okay);
    grant_unpin(a, 8, false);
    grant(a, 9, 2, b.page());
    EXPECT_EQ(grant_pin(a, DomId(2), 9, false).status, xen::GNTST_general_error) << "not its own page";
    grant(a, 10, 2, Mfn(0xfffffff0));
    EXPECT_EQ(grant_pin(a, DomId(2), 10, false).status, xen::GNTST_general_error) << "no page";
    EXPECT_EQ(flags(a, 9), xen::GTF_permit_access);
    EXPECT_EQ(flags(a, 10), xen::GTF_permit_access);
}

TEST_F(Grants, PageTablesAreNeverGrantedWritable) {
    Guest a(1), b(2);
    Table t(a);
    grant(a, 8, 2, t.m);
    EXPECT_EQ(grant_pin(a, DomId(2), 8, true).status, xen::GNTST_general_error);
    EXPECT_EQ(flags(a, 8), xen::GTF_permit_access);
    EXPECT_EQ(grant_pin(a, DomId(2), 8, false).status, xen::GNTST_okay);
    grant_unpin(a, 8, false);
}

TEST_F(Grants, MapAndUnmap) {
    Guest a(1), b(2);
    Table t(b);
    const Mfn m = a.page();
    const uint32_t refs = references(m);
    grant(a, 8, 2, m);
    Caller caller(b.vcpu());
    auto op = xen::zeroed<xen::GnttabMapGrantRef>();
    op.host_addr = t.slot(3);
    op.flags = xen::GNTMAP_host_map | xen::GNTMAP_contains_pte | xen::GNTMAP_application_map | 1u << 16;
    op.ref = 8;
    op.dom = 1;
    const uint64_t map_args[6] = {xen::GNTTABOP_map_grant_ref, reinterpret_cast<uint64_t>(&op), 1};
    ASSERT_EQ(must(hypercall_handler(xen::HYPERVISOR_grant_table_op)(b.vcpu(), map_args)), 0u);
    ASSERT_EQ(op.status, xen::GNTST_okay);
    EXPECT_EQ(op.dev_bus_addr, m.address());
    EXPECT_EQ(t.pte(3) & pte::frame_mask, m.address());
    EXPECT_EQ(t.pte(3) & 0xe03, 0x203u) << "present, writable, first available bit";
    EXPECT_EQ(grant_mappings(b), 1u);

    auto un = xen::zeroed<xen::GnttabUnmapGrantRef>();
    un.host_addr = t.slot(4);
    un.handle = op.handle;
    const uint64_t unmap_args[6] = {xen::GNTTABOP_unmap_grant_ref, reinterpret_cast<uint64_t>(&un), 1};
    ASSERT_EQ(must(hypercall_handler(xen::HYPERVISOR_grant_table_op)(b.vcpu(), unmap_args)), 0u);
    EXPECT_EQ(un.status, xen::GNTST_general_error) << "mapped elsewhere";
    un.host_addr = t.slot(3);
    b->dirty_cpus.set(1);  // another of its vCPUs may have the translation
    const uint64_t flushes = host::record(0).tlb_flushes, elsewhere = host::record(1).tlb_flushes;
    ASSERT_EQ(must(hypercall_handler(xen::HYPERVISOR_grant_table_op)(b.vcpu(), unmap_args)), 0u);
    EXPECT_EQ(un.status, xen::GNTST_okay);
    EXPECT_EQ(host::record(0).tlb_flushes, flushes + 1);
    EXPECT_EQ(host::record(1).tlb_flushes, elsewhere + 1);
    EXPECT_EQ(t.pte(3), 0u);
    ASSERT_EQ(must(hypercall_handler(xen::HYPERVISOR_grant_table_op)(b.vcpu(), unmap_args)), 0u);
    EXPECT_EQ(un.status, xen::GNTST_bad_handle) << "once";
    EXPECT_EQ(flags(a, 8), xen::GTF_permit_access);
    EXPECT_EQ(references(m), refs);
    EXPECT_EQ(type_users(m), 0u);
    EXPECT_EQ(grant_mappings(b), 0u);
}

/// A list of unmappings of which some are refused, that can be read up to `readable` elements and a half.
void unmap_a_group(unsigned count, unsigned readable, bool replace) {
    Guest a(1), b(2);
    Table t(b);
    const Mfn m = a.page();
    const uint32_t refs = references(m);
    grant(a, 8, 2, m);
    std::vector<xen::GnttabUnmapGrantRef> un(count + 1);
    std::vector<xen::GnttabUnmapAndReplace> re(count + 1);
    for (unsigned i = 0; i < count; ++i) {
        auto op = xen::zeroed<xen::GnttabMapGrantRef>();
        op.dom = 1;
        op.ref = 8;
        op.host_addr = t.slot(i);
        op.flags = xen::GNTMAP_host_map | xen::GNTMAP_contains_pte | (i % 3 == 1 ? xen::GNTMAP_device_map : 0);
        grant_map(b.vcpu(), &op, 1);
        ASSERT_EQ(op.status, xen::GNTST_okay);
        un[i] = {};
        re[i] = {};
        un[i].handle = re[i].handle = i % 5 == 4 ? 12345 : op.handle;
        un[i].host_addr = re[i].host_addr = t.slot(i);
        if (i % 3 == 1) un[i].dev_bus_addr = op.dev_bus_addr;
    }
    const uint64_t list = replace ? reinterpret_cast<uint64_t>(re.data()) : reinterpret_cast<uint64_t>(un.data());
    const size_t each = replace ? sizeof re[0] : sizeof un[0];
    if (readable < count) host::guest_window(list, readable * each + each / 2);
    Caller caller(b.vcpu());
    const uint64_t command = replace ? xen::GNTTABOP_unmap_and_replace : xen::GNTTABOP_unmap_grant_ref;
    const uint64_t args[6] = {command, list, count};
    const auto answer = hypercall_handler(xen::HYPERVISOR_grant_table_op)(b.vcpu(), args);
    host::guest_window(page_size, ~uint64_t{0} - page_size);
    ASSERT_EQ(static_cast<bool>(answer), readable >= count);
    unsigned left = 0;
    for (unsigned i = 0; i < count; ++i) {
        const bool gone = !replace && i < readable && i % 5 != 4;  // none has an address to be replaced from
        left += gone ? 0 : 1;
        ASSERT_EQ(t.pte(i) == 0, gone) << i;
    }
    ASSERT_EQ(grant_mappings(b), left);
    b.stop();
    while (!grants_relinquish(b)) {}
    for (unsigned i = 0; i < count; ++i) {
        if (t.pte(i) == 0) continue;
        l1_entry_put(t.pte(i));
        map_mfn<uint64_t>(Mfn::of_address(t.slot(i)))[i] = 0;
    }
    ASSERT_EQ(flags(a, 8), xen::GTF_permit_access);
    ASSERT_EQ(references(m), refs);
    ASSERT_EQ(type_users(m), 0u);
}

TEST_F(Grants, GroupsOfUnmappingsGiveBackWhatTheyTook) {
    for (const unsigned count : {0u, 1u, 31u, 32u, 33u, 63u, 64u, 65u, 100u}) {
        for (const unsigned readable : {0u, 1u, 16u, 31u, 32u, 33u, 40u, 64u, 1000u}) {
            for (const bool replace : {false, true}) {
                SCOPED_TRACE(testing::Message() << count << " elements, " << readable << " readable, replace " << replace);
                ASSERT_NO_FATAL_FAILURE(unmap_a_group(count, readable, replace));
            }
        }
    }
}

TEST_F(Grants, MapRefusals) {
    DomainLimits limits;
    limits.max_maptrack_frames = 1;
    Guest a(1), b(2, 1, limits);
    Table t(b);
    Caller caller(b.vcpu());
    grant(a, 8, 2, a.page());
    auto status = [&](uint16_t dom, uint32_t ref, uint32_t f, uint64_t addr) {
        auto op = xen::zeroed<xen::GnttabMapGrantRef>();
        op.dom = dom;
        op.ref = ref;
        op.flags = f;
        op.host_addr = addr;
        grant_map(b.vcpu(), &op, 1);
        return op.status;
    };
    const uint32_t pte_map = xen::GNTMAP_host_map | xen::GNTMAP_contains_pte;
    EXPECT_EQ(status(1, 8, 0, t.slot(0)), xen::GNTST_bad_gntref);
    EXPECT_EQ(status(77, 8, pte_map, t.slot(0)), xen::GNTST_bad_domain);
    EXPECT_EQ(status(xen::DOMID_SELF, 8, pte_map, t.slot(0)), xen::GNTST_bad_domain);
    EXPECT_EQ(status(1, 1 << 20, pte_map, t.slot(0)), xen::GNTST_bad_gntref);
    EXPECT_EQ(status(1, 8, pte_map, t.slot(0) + 1), xen::GNTST_general_error);
    EXPECT_EQ(status(1, 8, pte_map | xen::GNTMAP_device_map, t.slot(0) + 1), xen::GNTST_general_error) << "two uses to undo";
    EXPECT_EQ(grant_mappings(b), 0u);
    EXPECT_EQ(status(1, 8, pte_map, a.page().address()), xen::GNTST_general_error) << "not the caller's table";
    EXPECT_EQ(flags(a, 8), xen::GTF_permit_access);
    for (unsigned i = 0; i < GrantTable::maptrack_per_page; ++i) ASSERT_EQ(status(1, 8, pte_map, t.slot(i)), xen::GNTST_okay);
    EXPECT_EQ(status(1, 8, pte_map, t.slot(300)), xen::GNTST_no_device_space);
    b.stop();
    while (!grants_relinquish(b)) {}
    EXPECT_EQ(flags(a, 8), xen::GTF_permit_access);
}

TEST_F(Grants, CopyAllWays) {
    Guest a(1), b(2);
    Caller caller(b.vcpu());
    const Mfn theirs = a.page(), ours = b.page();
    grant(a, 8, 2, theirs);
    grant(a, 9, 2, theirs, true);
    for (int i = 0; i < 4096; ++i) {
        map_mfn(theirs)[i] = static_cast<uint8_t>(i * 7);
        map_mfn(ours)[i] = 0;
    }
    auto copy = [&](bool from_ref, bool to_ref, uint32_t src, uint32_t dst, uint16_t so, uint16_t dof, uint16_t len,
                    uint16_t sdom, uint16_t ddom) {
        auto op = xen::zeroed<xen::GnttabCopy>();
        if (from_ref) op.source.u.ref = src;
        else op.source.u.gmfn = src;
        if (to_ref) op.dest.u.ref = dst;
        else op.dest.u.gmfn = dst;
        op.source.domid = sdom;
        op.dest.domid = ddom;
        op.source.offset = so;
        op.dest.offset = dof;
        op.len = len;
        op.flags = static_cast<uint16_t>((from_ref ? xen::GNTCOPY_source_gref : 0) | (to_ref ? xen::GNTCOPY_dest_gref : 0));
        const uint64_t args[6] = {xen::GNTTABOP_copy, reinterpret_cast<uint64_t>(&op), 1};
        EXPECT_EQ(must(hypercall_handler(xen::HYPERVISOR_grant_table_op)(b.vcpu(), args)), 0u);
        return op.status;
    };
    const auto o = static_cast<uint32_t>(ours.raw);
    EXPECT_EQ(copy(true, false, 8, o, 100, 200, 1000, 1, xen::DOMID_SELF), xen::GNTST_okay);
    EXPECT_EQ(0, memcmp(map_mfn(ours) + 200, map_mfn(theirs) + 100, 1000));
    EXPECT_EQ(copy(false, true, o, 8, 200, 3000, 1096, xen::DOMID_SELF, 1), xen::GNTST_okay);
    EXPECT_EQ(0, memcmp(map_mfn(theirs) + 3000, map_mfn(ours) + 200, 1096));
    EXPECT_EQ(copy(true, true, 9, 8, 0, 2048, 512, 1, 1), xen::GNTST_okay);
    EXPECT_EQ(copy(false, false, o, o, 0, 2048, 512, xen::DOMID_SELF, xen::DOMID_SELF), xen::GNTST_okay);
    EXPECT_EQ(copy(false, true, o, 9, 0, 0, 16, xen::DOMID_SELF, 1), xen::GNTST_general_error) << "read-only grant";
    EXPECT_EQ(copy(true, false, 8, o, 4000, 0, 97, 1, xen::DOMID_SELF), xen::GNTST_bad_copy_arg);
    EXPECT_EQ(copy(true, false, 8, o, 0, 65535, 2, 1, xen::DOMID_SELF), xen::GNTST_bad_copy_arg);
    EXPECT_EQ(copy(false, false, static_cast<uint32_t>(theirs.raw), o, 0, 0, 8, xen::DOMID_SELF, xen::DOMID_SELF),
              xen::GNTST_bad_page);
    EXPECT_EQ(copy(false, false, o, o, 0, 0, 8, 1, xen::DOMID_SELF), xen::GNTST_permission_denied);
    EXPECT_EQ(copy(true, false, 8, o, 0, 0, 8, 99, xen::DOMID_SELF), xen::GNTST_bad_domain);
    EXPECT_EQ(flags(a, 8), xen::GTF_permit_access);
    EXPECT_EQ(type_users(ours), 0u);
}

TEST_F(Grants, TableOperations) {
    Guest a(1);
    Caller caller(a.vcpu());
    auto call = [&](uint32_t cmd, void* op) {
        const uint64_t args[6] = {cmd, reinterpret_cast<uint64_t>(op), 1};
        auto r = hypercall_handler(xen::HYPERVISOR_grant_table_op)(a.vcpu(), args);
        return r ? 0 : -static_cast<int>(r.error());
    };
    auto size = xen::zeroed<xen::GnttabQuerySize>();
    size.dom = xen::DOMID_SELF;
    EXPECT_EQ(call(xen::GNTTABOP_query_size, &size), 0);
    EXPECT_EQ(size.nr_frames, 1u);
    EXPECT_EQ(size.max_nr_frames, 64u);
    uint64_t frames[4] = {};
    auto setup = xen::zeroed<xen::GnttabSetupTable>();
    setup.dom = xen::DOMID_SELF;
    setup.nr_frames = 4;
    setup.frame_list = {reinterpret_cast<uint64_t>(frames)};
    EXPECT_EQ(call(xen::GNTTABOP_setup_table, &setup), 0);
    EXPECT_EQ(setup.status, xen::GNTST_okay);
    EXPECT_EQ(frames[3], must(get_grant_frame(a, 3)).raw);
    setup.nr_frames = 65;
    EXPECT_EQ(call(xen::GNTTABOP_setup_table, &setup), 0);
    EXPECT_EQ(setup.status, xen::GNTST_general_error);
    setup.dom = 5;
    EXPECT_EQ(call(xen::GNTTABOP_setup_table, &setup), 0);
    EXPECT_NE(setup.status, xen::GNTST_okay);
    xen::GnttabSetVersion version{2};
    EXPECT_EQ(call(xen::GNTTABOP_set_version, &version), 0);
    version.version = 1;
    EXPECT_EQ(call(xen::GNTTABOP_set_version, &version), 0);
    version.version = 3;
    EXPECT_EQ(call(xen::GNTTABOP_set_version, &version), -22);
    EXPECT_EQ(call(99, &version), -38);

    grant(a, 8, 2, Mfn(77));
    EXPECT_EQ(grant_swap(a, 8, 9), xen::GNTST_okay);
    EXPECT_EQ(entry(a, 9)->frame, 77u);
    EXPECT_EQ(flags(a, 8), 0u);
    EXPECT_EQ(grant_swap(a, 8, 5000), xen::GNTST_bad_gntref);
}

/// One entry into a hypercall that is told at once that its CPU is wanted elsewhere: true when it stopped for that.
bool stops(Vcpu& v, uint64_t cmd, void* ops, uint64_t count) {
    const uint64_t args[6] = {cmd, reinterpret_cast<uint64_t>(ops), count};
    std::memcpy(v.hypercall.args, args, sizeof args);
    host::preempt_every(1);
    const auto r = hypercall_handler(xen::HYPERVISOR_grant_table_op)(v, v.hypercall.args);
    host::preempt_every(0);
    return !r && r.error() == Errc::restart;
}

// Refused elements release nothing, and so never filled a group: the loop went through all of them in one go.
TEST_F(Grants, AnUnmapOfNothingIsInterruptedToo) {
    Guest a(1);
    Caller caller(a.vcpu());
    std::vector<xen::GnttabUnmapGrantRef> ops(100, xen::zeroed<xen::GnttabUnmapGrantRef>());
    for (auto& op : ops) op.handle = 0xdeadbeef;
    EXPECT_TRUE(stops(a.vcpu(), xen::GNTTABOP_unmap_grant_ref, ops.data(), ops.size()));
    EXPECT_EQ(ops[31].status, xen::GNTST_bad_handle);
    EXPECT_EQ(ops[32].status, 0);
    EXPECT_EQ(a.vcpu().hypercall.args[2], ops.size() - 32);
    std::vector<xen::GnttabUnmapAndReplace> replaced(100, xen::zeroed<xen::GnttabUnmapAndReplace>());
    EXPECT_TRUE(stops(a.vcpu(), xen::GNTTABOP_unmap_and_replace, replaced.data(), replaced.size()));
}

TEST_F(Grants, ACacheFlushOfNothingIsInterruptedToo) {
    Guest a(1);
    Caller caller(a.vcpu());
    std::vector<xen::GnttabCacheFlush> ops(100, xen::zeroed<xen::GnttabCacheFlush>());
    ASSERT_TRUE(stops(a.vcpu(), xen::GNTTABOP_cache_flush, ops.data(), ops.size()));
    EXPECT_EQ(a.vcpu().hypercall.args[1], reinterpret_cast<uint64_t>(&ops[1]));
    EXPECT_EQ(a.vcpu().hypercall.args[2], 99u);
}

TEST_F(Grants, ATableGrowsInSteps) {
    Guest a(1);
    Caller caller(a.vcpu());
    uint64_t frames[64] = {};
    auto setup = xen::zeroed<xen::GnttabSetupTable>();
    setup.dom = xen::DOMID_SELF;
    setup.nr_frames = 64;
    setup.frame_list = {reinterpret_cast<uint64_t>(frames)};
    uint64_t cmd = xen::GNTTABOP_setup_table;
    unsigned turns = 0;
    while (stops(a.vcpu(), cmd, &setup, 1)) {
        EXPECT_LE(grant_frames(a), ++turns + 1) << "one at a time";
        ASSERT_LT(turns, 200u);
        cmd = a.vcpu().hypercall.args[0];
    }
    EXPECT_GE(turns, 62u + 63u) << "frames made, then listed";
    EXPECT_EQ(setup.status, xen::GNTST_okay);
    for (uint32_t i = 0; i < 64; ++i) EXPECT_EQ(frames[i], must(get_grant_frame(a, i)).raw);

    setup.frame_list = {8};
    EXPECT_FALSE(stops(a.vcpu(), xen::GNTTABOP_setup_table | 63u << 12, &setup, 1)) << "a guest may skip what it asks for";
    EXPECT_EQ(setup.status, xen::GNTST_bad_virt_addr);
    setup.nr_frames = 1;
    EXPECT_FALSE(stops(a.vcpu(), xen::GNTTABOP_setup_table | 0xfffffu << 12, &setup, 1));
}

// Handles that are not in use are passed over, but time passes with them.
TEST_F(Grants, TheEndOfMappingsIsInterruptedBetweenUnusedHandles) {
    Guest a(1), b(2);
    Caller caller(b.vcpu());
    grant(a, 8, 2, a.page());
    constexpr uint32_t n = 600;
    std::vector<uint32_t> handles;
    for (uint32_t i = 0; i < n; ++i) {
        auto op = xen::zeroed<xen::GnttabMapGrantRef>();
        op.dom = 1;
        op.ref = 8;
        op.flags = xen::GNTMAP_device_map;
        grant_map(b.vcpu(), &op, 1);
        ASSERT_EQ(op.status, xen::GNTST_okay);
        handles.push_back(op.handle);
    }
    const uint64_t address = frame_of(a, 8);
    for (uint32_t i = 0; i + 1 < n; ++i) {
        GrantUnmap u;
        ASSERT_EQ(grant_unmap_begin(b.vcpu(), 0, address, 0, handles[i], u), xen::GNTST_okay);
        grant_unmap_finish(b, &u, 1);
    }
    EXPECT_EQ(grant_mappings(b), 1u);
    host::preempt_every(1);
    unsigned turns = 1;
    while (!grants_relinquish(b)) ++turns;
    host::preempt_every(0);
    EXPECT_GE(turns, n / 32);
    EXPECT_EQ(grant_mappings(b), 0u);
    EXPECT_EQ(flags(a, 8), xen::GTF_permit_access);
}

TEST_F(Grants, EitherSideDiesFirstAndNothingLeaks) {
    const size_t bytes = heap::bytes_in_use();
    const uint64_t pages = heap::free_pages().n;
    for (bool owner_first : {true, false}) {
        Guest a(1), b(2);
        auto t = std::make_unique<Table>(b);
        for (uint32_t i = 0; i < 100; ++i) grant(a, 8 + i, 2, a.page());
        {
            Caller caller(b.vcpu());
            for (uint32_t i = 0; i < 100; ++i) {
                auto op = xen::zeroed<xen::GnttabMapGrantRef>();
                op.dom = 1;
                op.ref = 8 + i;
                op.flags = xen::GNTMAP_host_map | xen::GNTMAP_contains_pte | (i % 3 ? 0 : xen::GNTMAP_device_map);
                op.host_addr = t->slot(i);
                grant_map(b.vcpu(), &op, 1);
                ASSERT_EQ(op.status, xen::GNTST_okay);
            }
        }
        t.reset();
        host::preempt_every(3);
        (owner_first ? a : b).destroy();
        (owner_first ? b : a).destroy();
        host::preempt_every(0);
        domains_reap();
        EXPECT_EQ(heap::bytes_in_use(), bytes);
        EXPECT_EQ(heap::free_pages().n, pages);
    }
}

TEST_F(Grants, AGuestThatRewritesItsEntriesAllTheTime) {
    Guest a(1), b(2);
    const Mfn m = a.page();
    const uint32_t refs = references(m);
    std::atomic<bool> stop{false};
    grant(a, 8, 2, m);
    auto* word = reinterpret_cast<uint32_t*>(entry(a, 8));
    std::thread hostile([&] {
        uint32_t x = 1;
        while (!stop) {
            x = x * 1664525 + 1013904223;
            __atomic_store_n(word, x >> 28 ? x : (xen::GTF_permit_access | 2u << 16), __ATOMIC_SEQ_CST);
            __atomic_store_n(word + 1, x & 1 ? x : static_cast<uint32_t>(m.raw), __ATOMIC_SEQ_CST);
        }
    });
    std::thread second([&] {
        host::become(1);
        for (int i = 0; i < 20000; ++i)
            if (grant_pin(a, DomId(2), 8, i & 1).status == xen::GNTST_okay) grant_unpin(a, 8, i & 1);
    });
    for (int i = 0; i < 20000; ++i)
        if (grant_pin(a, DomId(2), 8, i & 1).status == xen::GNTST_okay) grant_unpin(a, 8, i & 1);
    stop = true;
    hostile.join();
    second.join();
    EXPECT_EQ(references(m), refs);
    EXPECT_EQ(type_users(m), 0u);
}

}  // namespace
