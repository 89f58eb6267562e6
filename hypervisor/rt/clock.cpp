// SPDX-License-Identifier: Apache-2.0
/// System time and the wall clock.
#include "hypervisor/rt/clock.hpp"

#include <atomic>

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv::clock {

using base::Nanos;

Scale scale;
uint64_t tsc_khz = 0;

namespace {

// Wall clock: one writer at a time (lock), any number of readers; the version is odd while it changes.
Spinlock wall_lock{Rank::timer};
std::atomic<uint32_t> wall_version{0};
std::atomic<uint64_t> wall_sec{0};
std::atomic<uint32_t> wall_nsec{0};

}  // namespace

void set_frequency(uint64_t khz, uint64_t tsc_now) {
    scale = Scale::of(khz, tsc_now);
    tsc_khz = khz;
}

Nanos from_tsc(uint64_t tsc) { return scale.time_of(tsc); }
uint64_t to_tsc(Nanos t) { return scale.tsc_of(t); }
Nanos now() { return from_tsc(arch::read_tsc()); }

Wallclock wallclock() {
    for (;;) {
        const uint32_t before = wall_version.load(std::memory_order_acquire);
        const Wallclock w{wall_sec.load(std::memory_order_acquire), wall_nsec.load(std::memory_order_acquire)};
        if (!(before & 1) && wall_version.load(std::memory_order_relaxed) == before) return w;
        detail::spin_wait();
    }
}

void set_wallclock(uint64_t sec, uint32_t nsec, Nanos at) {
    constexpr uint64_t second = 1'000'000'000;
    // Seconds and nanoseconds at system time 0; a time before 1970 there counts as 1970.
    uint64_t sec0 = sec + nsec / second;
    uint64_t nsec0 = nsec % second;
    const uint64_t up = at.n > 0 ? static_cast<uint64_t>(at.n) : 0;
    const uint64_t up_sec = up / second;
    const uint64_t up_nsec = up % second;
    if (nsec0 < up_nsec) {
        nsec0 += second;
        sec0 = sec0 ? sec0 - 1 : 0;
    }
    nsec0 -= up_nsec;
    sec0 = sec0 > up_sec ? sec0 - up_sec : 0;

    Guard g(wall_lock);
    wall_version.fetch_add(1, std::memory_order_acq_rel);
    wall_sec.store(sec0, std::memory_order_release);
    wall_nsec.store(static_cast<uint32_t>(nsec0), std::memory_order_release);
    wall_version.fetch_add(1, std::memory_order_release);
}

}  // namespace hv::clock
