// SPDX-License-Identifier: Apache-2.0
#include "guests/tiny/grants.hpp"

#include "guests/tiny/paging.hpp"

namespace guest {

using namespace xen;

namespace {

Page window;
bool mapped;

bool map_table() {
    uint64_t frame = 0;
    auto setup = zeroed<GnttabSetupTable>();
    setup.dom = DOMID_SELF;
    setup.nr_frames = 1;
    setup.frame_list = {addr(&frame)};
    grant_op(GNTTABOP_setup_table, setup);
    return setup.status == GNTST_okay && set_entry(&window, frame * page_bytes | read_write) == 0;
}

}  // namespace

GrantEntryV1* grant_table() {
    if (!mapped) mapped = map_table();
    return mapped ? reinterpret_cast<GrantEntryV1*>(&window) : nullptr;
}

void grant(uint32_t ref, domid_t to, const void* p, uint16_t flags) {
    GrantEntryV1& entry = grant_table()[ref];
    entry.domid = to;
    entry.frame = static_cast<uint32_t>(mfn_of(p));
    __atomic_store_n(&entry.flags, flags, __ATOMIC_RELEASE);  // the entry counts from here on
}

}  // namespace guest
