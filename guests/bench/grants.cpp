// SPDX-License-Identifier: Apache-2.0
/// Grants: mapping and copying, the work of every back end.
#include "abi/xen/grant_table.hpp"
#include "guests/bench/bench.hpp"

namespace bench {

using namespace xen;

namespace {

GnttabMapGrantRef map[16];
GnttabUnmapGrantRef unmap[16];

void map_unmap(unsigned n) {
    for (unsigned i = 0; i < n; ++i) {
        map[i].host_addr = addr(windows.map[i]);
        map[i].flags = GNTMAP_host_map;
        map[i].ref = 8;
        map[i].dom = 0;
    }
    hypercall(HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, addr(map), n);
    for (unsigned i = 0; i < n; ++i) {
        unmap[i].host_addr = map[i].host_addr;
        unmap[i].handle = map[i].handle;
    }
    hypercall(HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, addr(unmap), n);
}

void copies() {
    static GnttabCopy copy;
    copy.source.u.ref = 8;
    copy.source.domid = 0;
    copy.dest.u.gmfn = mfn_of(windows.other);
    copy.dest.domid = DOMID_SELF;
    copy.flags = GNTCOPY_source_gref;
    copy.len = 4096;
    measure("grant copy 4KiB", 1000, [&] { hypercall(HYPERVISOR_grant_table_op, GNTTABOP_copy, addr(&copy), 1); });
    copy.len = 64;
    measure("grant copy 64B", 1000, [&] { hypercall(HYPERVISOR_grant_table_op, GNTTABOP_copy, addr(&copy), 1); });
    expect("copy", copy.status == GNTST_okay);
}

}  // namespace

void grants() {
    uint64_t frame = 0;
    auto setup = zeroed<GnttabSetupTable>();
    setup.dom = DOMID_SELF;
    setup.nr_frames = 1;
    setup.frame_list = {addr(&frame)};
    hypercall(HYPERVISOR_grant_table_op, GNTTABOP_setup_table, addr(&setup), 1);
    expect("setup_table", setup.status == GNTST_okay);
    expect("map grant frame", set_entry(windows.grant, frame * page_bytes | read_write, UVMF_INVLPG) == 0);
    auto* table = reinterpret_cast<GrantEntryV1*>(windows.grant);
    table[8] = {GTF_permit_access, 0, static_cast<uint32_t>(mfn_of(windows.granted))};

    measure("grant map+unmap (host)", 1000, [&] { map_unmap(1); });
    expect("map", map[0].status == GNTST_okay && unmap[0].status == GNTST_okay);
    measure("grant map+unmap x16 batch", 200, [&] { map_unmap(16); });
    expect("map 16", map[15].status == GNTST_okay && unmap[15].status == GNTST_okay);
    copies();
}

}  // namespace bench
