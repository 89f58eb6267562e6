// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/sync/lock_profile.hpp"

#include <atomic>
#include <iterator>

#include "hypervisor/rt/clock.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv::lock_profile {

namespace {

constexpr const char* names[] = {
    "console",      "heap",   "timer",          "sched", "pci",        "irq",    "page_list",
    "evtchn_queue", "evtchn", "grant_maptrack", "grant", "page_table", "domain", "domain_list",
};
static_assert(std::size(names) == class_count && static_cast<uint32_t>(Rank::console) == 1 &&
              static_cast<uint32_t>(Rank::domain_list) == class_count);

struct Sums {
    uint64_t taken = 0, waits = 0, held = 0, waited = 0;  ///< times in ticks of the TSC
};
struct Live {
    std::atomic<uint64_t> taken{0}, waits{0}, held{0}, waited{0};
    Sums now() const {
        constexpr auto any = std::memory_order_relaxed;
        return {taken.load(any), waits.load(any), held.load(any), waited.load(any)};
    }
};
Live live[class_count];
Sums at_reset[class_count];
base::Nanos last_reset{};

uint64_t nanoseconds(uint64_t ticks) {
    return ticks / clock::tsc_khz * 1'000'000 + ticks % clock::tsc_khz * 1'000'000 / clock::tsc_khz;
}

}  // namespace

Figures figures(uint32_t index) {
    const Sums now = live[index].now(), then = at_reset[index];
    return {names[index], now.taken - then.taken, now.waits - then.waits, nanoseconds(now.held - then.held),
            nanoseconds(now.waited - then.waited)};
}

void reset(base::Nanos now) {
    for (uint32_t i = 0; i < class_count; ++i) at_reset[i] = live[i].now();
    last_reset = now;
}

base::Nanos began() { return last_reset; }

void waited(uint8_t rank, uint64_t ticks) {
    Live& l = live[rank - 1];
    l.waits.fetch_add(1, std::memory_order_relaxed);
    l.waited.fetch_add(ticks, std::memory_order_relaxed);
}

void taken_for(uint8_t rank, uint64_t ticks) {
    Live& l = live[rank - 1];
    l.taken.fetch_add(1, std::memory_order_relaxed);
    l.held.fetch_add(ticks, std::memory_order_relaxed);
}

}  // namespace hv::lock_profile
