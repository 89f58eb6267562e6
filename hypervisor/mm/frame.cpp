// SPDX-License-Identifier: Apache-2.0
/// Existence references of frames.
#include "hypervisor/mm/frame.hpp"

#include "hypervisor/rt/log.hpp"

namespace hv {

namespace {
bool is_last(uint64_t count) { return (count & page::count_mask) == 1; }
bool is_unused(uint64_t count) { return (count & page::count_mask) == 0; }
}  // namespace

bool get_page(PageInfo& p, DomId owner) {
    uint64_t c = p.count.load(std::memory_order_acquire);
    do {
        if (is_unused(c) || (c & page::count_mask) >= page::count_limit) return false;
    } while (!p.count.compare_exchange_weak(c, c + 1, std::memory_order_acq_rel, std::memory_order_acquire));
    // With the reference held the owner cannot change any more.
    if (p.owner.load(std::memory_order_acquire) == owner.raw) return true;
    put_page(p);
    return false;
}

void get_page_again(PageInfo& p) {
    const uint64_t before = p.count.fetch_add(1, std::memory_order_relaxed);
    HV_ASSERT(!is_unused(before) && (before & page::count_mask) != page::count_mask);
}

void put_page(PageInfo& p) {
    const uint64_t before = p.count.fetch_sub(1, std::memory_order_acq_rel);
    HV_ASSERT(!is_unused(before));
    if (is_last(before)) page_unreferenced(p);
}

}  // namespace hv
