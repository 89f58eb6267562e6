// SPDX-License-Identifier: Apache-2.0
/// Grants: of tables, of others' frames, with flags that change underneath, mapped where nobody may, unmapped twice, and more mappings
/// than there is room for.
#include "guests/hostile/hostile.hpp"
#include "guests/tiny/events.hpp"
#include "guests/tiny/grants.hpp"
#include "guests/tiny/vcpus.hpp"

namespace {

using namespace hostile;
using namespace xen;

Page shared, other, places[8];
volatile bool go, stopped;

GnttabMapGrantRef map(uint64_t where, uint32_t ref, uint32_t flags, domid_t dom) {
    auto op = zeroed<GnttabMapGrantRef>();
    op.host_addr = where;
    op.flags = flags;
    op.ref = ref;
    op.dom = dom;
    op.status = 77;
    grant_op(GNTTABOP_map_grant_ref, op);
    return op;
}

int16_t unmap(uint64_t where, uint32_t handle) {
    auto op = zeroed<GnttabUnmapGrantRef>();
    op.host_addr = where;
    op.handle = handle;
    op.status = 77;
    grant_op(GNTTABOP_unmap_grant_ref, op);
    return op.status;
}

void bad_maps(domid_t self) {
    grant(8, self, &shared);
    for (const uint64_t where : forbidden)
        expect("a map at a forbidden address", map(where, 8, GNTMAP_host_map, self).status != 0);
    grant_table()[9] = {GTF_permit_access, self, static_cast<uint32_t>(mfn_of(at<void>(info->pt_base)))};
    expect("a table is not granted writable", map(addr(&places[0]), 9, GNTMAP_host_map, self).status != 0);
    grant_table()[9].frame = 0;
    expect("nor is another's frame", map(addr(&places[0]), 9, GNTMAP_host_map, self).status != 0);
    expect("nor an entry past the table", map(addr(&places[0]), 0xffffffff, GNTMAP_host_map, self).status != 0);
    expect("nor of no domain", map(addr(&places[0]), 8, GNTMAP_host_map, 0x7abc).status != 0);
    expect("a handle that is none", unmap(addr(&places[0]), 0xdeadbeef) != 0);
    const GnttabMapGrantRef once = map(addr(&places[0]), 8, GNTMAP_host_map, self);
    expect("a map", once.status == 0);
    expect("an unmap elsewhere", unmap(addr(&places[1]), once.handle) != 0);
    expect("an unmap", unmap(addr(&places[0]), once.handle) == 0);
    expect("not twice", unmap(addr(&places[0]), once.handle) != 0);
}

/// Until there is no room, then all back.
void exhaust(domid_t self) {
    static uint32_t handles[20000];
    unsigned n = 0;
    for (; n < 20000; ++n) {
        const GnttabMapGrantRef m = map(addr(&places[n % 8]), 8, GNTMAP_host_map | GNTMAP_readonly, self);
        if (m.status != 0) break;
        handles[n] = m.handle;
    }
    print("guest: ", n, " mappings at once\n");
    expect("mappings", n > 100);
    for (unsigned i = 0; i < n; ++i) unmap(addr(&places[i % 8]), handles[i]);
}

void scribble() {
    Random random(5);
    while (!go) asm volatile("pause");
    while (go) {
        auto* e = const_cast<volatile GrantEntryV1*>(&grant_table()[8 + random.below(8)]);
        e->flags = static_cast<uint16_t>(random.next());
        e->frame = static_cast<uint32_t>(random.one_in(2) ? mfn_of(&shared) : random.next());
        e->domid = static_cast<uint16_t>(random.below(4));
    }
    stopped = true;
    stop_this_vcpu();
}

void race(domid_t self) {
    Random random(6);
    expect("a second vCPU", start_vcpu(1, scribble) == 0);
    go = true;
    for (const uint64_t end = now() + 3'000'000'000; now() < end;) {
        const auto ref = static_cast<uint32_t>(8 + random.below(8));
        const uint64_t where = addr(&places[random.below(8)]);
        const GnttabMapGrantRef m =
            map(where, ref, static_cast<uint32_t>(random.below(32)), random.one_in(2) ? self : DOMID_SELF);
        if (m.status == 0) unmap(where, m.handle);
        auto copy = zeroed<GnttabCopy>();
        copy.source.u.ref = ref;
        copy.source.domid = DOMID_SELF;
        copy.source.offset = static_cast<uint16_t>(random.odd());
        copy.dest.u.gmfn = mfn_of(&other);
        copy.dest.domid = DOMID_SELF;
        copy.len = static_cast<uint16_t>(random.odd());
        copy.flags = GNTCOPY_source_gref;
        grant_op(GNTTABOP_copy, copy);
        auto swap = zeroed<GnttabSwapGrantRef>();
        swap.ref_a = ref;
        swap.ref_b = static_cast<uint32_t>(random.odd());
        grant_op(GNTTABOP_swap_grant_ref, swap);
    }
    go = false;
    while (!stopped) sleep(1'000'000);
}

}  // namespace

int guest_main() {
    const domid_t self = own_domid();
    expect("a grant table", grant_table() != nullptr);
    bad_maps(self);
    exhaust(self);
    race(self);
    return failures;
}
