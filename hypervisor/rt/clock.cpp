// SPDX-License-Identifier: Apache-2.0
/// TSC to nanoseconds and back, and the wall clock.
#include "hypervisor/rt/clock.hpp"

#include <atomic>

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv::clock {

using base::Nanos;

Scale scale;
uint64_t tsc_khz = 0;

namespace {

uint64_t ticks_per_ns = 0;  ///< 32.32 fixed point

/// (a * b) >> 32 without losing the high bits.
uint64_t mul_32(uint64_t a, uint64_t b) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(a) * b) >> 32);
}

// Wall clock: one writer at a time (lock), any number of readers; the version is odd while it changes.
Spinlock wall_lock{Rank::timer};
std::atomic<uint32_t> wall_version{0};
std::atomic<uint64_t> wall_sec{0};
std::atomic<uint32_t> wall_nsec{0};

}  // namespace

void set_frequency(uint64_t khz, uint64_t tsc_now) {
    // ns = (ticks shifted by `shift`) * mul >> 32, with mul in [2^31, 2^32) so that no precision is lost.
    uint64_t per_tick = (uint64_t{1'000'000} << 32) / khz;  // 32.32 nanoseconds
    Scale s;
    while (per_tick >= uint64_t{1} << 32) {
        per_tick >>= 1;
        ++s.shift;
    }
    // From the exact quotient, not from a rounded one: below 2^32 the dividend may be shifted further.
    int8_t extra = 0;
    while (per_tick < uint64_t{1} << 31) {
        per_tick <<= 1;
        --extra;
    }
    s.shift = static_cast<int8_t>(s.shift + extra);
    const unsigned bits = static_cast<unsigned>(32 - s.shift);
    // 10^6 needs 20 bits: the dividend fits 64 bits up to bits = 44, that is for any TSC below 2^12 GHz.
    s.mul = static_cast<uint32_t>((uint64_t{1'000'000} << bits) / khz);
    s.tsc_base = tsc_now;
    s.ns_base = 0;
    scale = s;
    tsc_khz = khz;
    ticks_per_ns = (khz << 32) / 1'000'000;
}

Nanos from_tsc(uint64_t tsc) {
    const Scale& s = scale;
    uint64_t delta = tsc - s.tsc_base;
    if (static_cast<int64_t>(delta) < 0) delta = 0;  // another CPU's counter a little behind
    delta = s.shift >= 0 ? delta << s.shift : delta >> -s.shift;
    return {static_cast<int64_t>(s.ns_base + mul_32(delta, s.mul))};
}

uint64_t to_tsc(Nanos t) {
    if (t == Nanos::never()) return ~uint64_t{0};
    const int64_t ns = t.n - static_cast<int64_t>(scale.ns_base);
    if (ns <= 0) return scale.tsc_base;
    // Rounded up: at that tick, `t` has come.
    return scale.tsc_base + mul_32(static_cast<uint64_t>(ns), ticks_per_ns) + 1;
}

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
