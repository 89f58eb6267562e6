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
    const auto after = [](uint32_t time) { return time == 0 ? 0 : time + 1; };
    while (!tlb_clock.compare_exchange_weak(now, after(now), std::memory_order_acq_rel)) {}
    return after(now);
}

void tlb_flush_ended(Cpu& cpu, uint32_t time) { cpu.tlb_time.store(time, std::memory_order_release); }

namespace {

bool may_hold(uint32_t flushed_at, uint32_t stamp, uint32_t now) {
    return now == 0 || (flushed_at <= stamp && stamp <= now) || stamp > now;
}

uint64_t online_mask() { return cpu_count >= 64 ? ~uint64_t{0} : (uint64_t{1} << cpu_count) - 1; }

void restart_clock() {
    arch::flush_tlb(online_mask());
    uint32_t stopped = 0;
    tlb_clock.compare_exchange_strong(stopped, 1, std::memory_order_acq_rel);
}

}  // namespace

void tlb_flush_before_reuse(const PageInfo& p, uint64_t cpu_mask) {
    tlb_flush_stamped(p.stamp.load(std::memory_order_acquire), cpu_mask);
}

void tlb_flush_stamped(uint32_t stamp, uint64_t cpu_mask) {
    const uint32_t now = tlb_clock.load(std::memory_order_acquire);
    uint64_t stale = 0;
    for (uint64_t left = cpu_mask & online_mask(); left; left &= left - 1) {
        const auto cpu = static_cast<unsigned>(__builtin_ctzll(left));
        if (may_hold(cpus[cpu].tlb_time.load(std::memory_order_acquire), stamp, now)) stale |= uint64_t{1} << cpu;
    }
    if (stale) arch::flush_tlb(stale);
    if (now == 0) restart_clock();
}

}  // namespace hv
