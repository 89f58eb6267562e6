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

}  // namespace hv
