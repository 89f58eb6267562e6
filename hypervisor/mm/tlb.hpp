// SPDX-License-Identifier: Apache-2.0
/// The TLB clock: which CPUs may still hold translations to a frame whose last use has ended.
#pragma once

#include <cstdint>

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/mm/frame.hpp"

namespace hv {

extern std::atomic<uint32_t> tlb_clock;

/// Stamps a page whose last type user leaves: translations made until now may be cached.
inline void tlb_stamp(PageInfo& p) {
    p.stamp.store(tlb_clock.load(std::memory_order_acquire), std::memory_order_release);
}
/// Flushes those CPUs of `cpu_mask` that have not flushed since the page's stamp. Before a page changes its type
/// (mask: the owner's dirty_cpus) or its owner (all CPUs).
void tlb_flush_before_reuse(const PageInfo& p, uint64_t cpu_mask);
/// The same for a stamp taken earlier (a block of free frames carries the newest of its pages' stamps).
void tlb_flush_stamped(uint32_t stamp, uint64_t cpu_mask);

}  // namespace hv
