// SPDX-License-Identifier: Apache-2.0
/// Existence references of frames.
#include "hypervisor/mm/frame.hpp"

#include "hypervisor/rt/log.hpp"

namespace hv {

void bad_page_count() { panic("A page's count of references is wrong"); }

void put_last_page(PageInfo& p, uint64_t before) {
    HV_ASSERT((before & page::count_mask) != 0);
    page_unreferenced(p);
}

bool get_writable_slowly_twice(PageInfo& p) {
    if (!get_writable_type(p)) return false;
    if (get_writable_type(p)) return true;
    put_writable_type(p);
    return false;
}

void put_writable_slowly_twice(PageInfo& p) {
    put_writable_type(p);
    put_writable_type(p);
}

}  // namespace hv
