// SPDX-License-Identifier: Apache-2.0
/// Guests with grant tables of version 2, and the calls that tests make with them.
#pragma once

#include <atomic>

#include "abi/xen/memory.hpp"
#include "hypervisor/grant/grant.hpp"
#include "hypervisor/grant/internal.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "tests/host/hv_calls.hpp"

namespace hvtest {

inline constexpr uint32_t permit = xen::GTF_permit_access, reading = xen::GTF_reading, writing = xen::GTF_writing;

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
        while (!grants_set_version(*d, 2)) {}
    }
    xen::GrantEntryV2& entry(uint32_t ref) { return map_mfn<xen::GrantEntryV2>(must(get_grant_frame(*d, ref / 256)))[ref % 256]; }
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
        put(ref, permit | more, to, e);
    }
    void some(uint32_t ref, uint16_t to, Mfn m, uint16_t start, uint16_t length, uint32_t more = 0) {
        auto e = xen::zeroed<xen::GrantEntryV2>();
        e.sub_page.frame = m.raw;
        e.sub_page.page_off = start;
        e.sub_page.length = length;
        put(ref, permit | xen::GTF_sub_page | more, to, e);
    }
    void pass_on(uint32_t ref, uint16_t to, uint16_t from, uint32_t their_ref, uint32_t more = 0) {
        auto e = xen::zeroed<xen::GrantEntryV2>();
        e.transitive.trans_domid = from;
        e.transitive.gref = their_ref;
        put(ref, xen::GTF_transitive | more, to, e);
    }
};

inline uint32_t references(Mfn m) { return static_cast<uint32_t>(page_of(m).count.load()); }
inline uint32_t type_users(Mfn m) { return static_cast<uint32_t>(page_of(m).type.load()); }
inline int error_of(auto&& r) { return r ? 0 : static_cast<int>(r.error()); }

struct Caller {
    Vcpu* before;
    explicit Caller(Vcpu& v) : before(this_cpu().current) { this_cpu().current = &v; }
    ~Caller() { this_cpu().current = before; }
    Caller(const Caller&) = delete;
    Caller& operator=(const Caller&) = delete;
};

inline Result<uint64_t> call(Vcpu& v, uint32_t cmd, void* op, unsigned* turns = nullptr) {
    Caller caller(v);
    return hypercall(hypercall_handler(xen::HYPERVISOR_grant_table_op), v, cmd, address(op), 1, turns);
}

inline int set_version(Guest& g, uint32_t version) {
    xen::GnttabSetVersion op{version};
    const int e = error_of(call(g.vcpu(), xen::GNTTABOP_set_version, &op));
    EXPECT_EQ(op.version, grants_version(g)) << "it says which is in use, whatever happened";
    return e;
}

/// Copies `len` bytes from grant `ref` of `owner` at `offset` into the caller's page, or the other way.
inline int copy(Guest& by, uint16_t owner, uint32_t ref, Mfn own, uint16_t offset, uint16_t len, bool to_grant = false) {
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
inline xen::GnttabMapGrantRef map(Guest& by, uint16_t owner, uint32_t ref, bool readonly = false) {
    auto op = xen::zeroed<xen::GnttabMapGrantRef>();
    op.dom = owner;
    op.ref = ref;
    op.flags = xen::GNTMAP_device_map | (readonly ? xen::GNTMAP_readonly : 0);
    EXPECT_TRUE(call(by.vcpu(), xen::GNTTABOP_map_grant_ref, &op));
    return op;
}
inline int unmap(Guest& by, const xen::GnttabMapGrantRef& m) {
    auto op = xen::zeroed<xen::GnttabUnmapGrantRef>();
    op.dev_bus_addr = m.dev_bus_addr;
    op.handle = m.handle;
    EXPECT_TRUE(call(by.vcpu(), xen::GNTTABOP_unmap_grant_ref, &op));
    return op.status;
}

}  // namespace hvtest
