// SPDX-License-Identifier: Apache-2.0
/// The TLB clock. It counts flushes; a CPU whose last flush is not later than a page's stamp may still translate to it.
///
/// The clock stops at 0 when it wraps: until every CPU has flushed, all comparisons then say "flush", and the clock
/// starts again at 1 afterwards. Stamps from before the wrap then look newer than any CPU's time: a flush too many at
/// worst, never one too few.
#include "hypervisor/mm/tlb.hpp"

namespace hv {

std::atomic<uint32_t> tlb_clock{1};

uint32_t tlb_flush_begins() {
    uint32_t now = tlb_clock.load(std::memory_order_acquire);
    uint32_t after = 0;
    do { after = now == 0 ? 0 : now + 1; } while (!tlb_clock.compare_exchange_weak(now, after, std::memory_order_acq_rel));
    return after;
}

namespace {

bool may_hold(uint32_t flushed_at, uint32_t stamp, uint32_t now) {
    return now == 0 || (flushed_at <= stamp && stamp <= now) || stamp > now;
}

void restart_clock() {
    arch::flush_tlb(online_cpus());
    uint32_t stopped = 0;
    tlb_clock.compare_exchange_strong(stopped, 1, std::memory_order_acq_rel);
}

}  // namespace

void tlb_flush_before_reuse(const PageInfo& p, const CpuSet& which) {
    tlb_flush_stamped(p.stamp.load(std::memory_order_acquire), which);
}

void tlb_flush_stamped(uint32_t stamp, const CpuSet& which) {
    const uint32_t now = tlb_clock.load(std::memory_order_acquire);
    const CpuSet stale =
        which.where([&](unsigned cpu) { return may_hold(cpus[cpu].tlb_time.load(std::memory_order_acquire), stamp, now); });
    if (!stale.empty()) arch::flush_tlb(stale);
    if (now == 0) restart_clock();
}

}  // namespace hv
