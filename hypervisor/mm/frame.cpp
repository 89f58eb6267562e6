// SPDX-License-Identifier: Apache-2.0
/// Existence references of frames.
#include "hypervisor/mm/frame.hpp"

#include "hypervisor/rt/log.hpp"

namespace hv {

void get_page_again(PageInfo& p) {
    const uint64_t before = p.count.fetch_add(1, std::memory_order_relaxed);
    HV_ASSERT((before & page::count_mask) != 0 && (before & page::count_mask) != page::count_mask);
}

void put_last_page(PageInfo& p, uint64_t before) {
    HV_ASSERT((before & page::count_mask) != 0);
    page_unreferenced(p);
}

}  // namespace hv
