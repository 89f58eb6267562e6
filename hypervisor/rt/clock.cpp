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

/// The largest tick count whose time is below Nanos::never(): what is more reads as this much.
uint64_t last_tick = 0;

/// (a * b) >> 32 without losing the high bits. The result fits as long as a's does: b is below 2^32.
uint64_t mul_32(uint64_t a, uint32_t b) { return static_cast<uint64_t>((static_cast<unsigned __int128>(a) * b) >> 32); }

/// The smallest n with mul_32(n, mul) >= ns, for ns below 2^63 and mul from 2^31: below 2^64.
uint64_t shifted_ticks(uint64_t ns, uint32_t mul) {
    const uint64_t rest = (ns % mul) << 32;
    return ((ns / mul) << 32) + rest / mul + (rest % mul != 0);
}

/// The smallest tick count whose time is at least `ns`; UINT64_MAX when no count is.
uint64_t ticks_until(uint64_t ns, const Scale& s) {
    const uint64_t n = shifted_ticks(ns, s.mul);
    if (s.shift >= 0) return (n >> s.shift) + ((n & ((uint64_t{1} << s.shift) - 1)) != 0);
    return n >> (64 + s.shift) ? ~uint64_t{0} : n << -s.shift;
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
    constexpr uint64_t never = INT64_MAX;
    const uint64_t too_late = ticks_until(never, s);
    last_tick = (too_late < never ? too_late : never) - 1;
    scale = s;
    tsc_khz = khz;
}

Nanos from_tsc(uint64_t tsc) {
    const Scale& s = scale;
    uint64_t delta = tsc - s.tsc_base;
    // In the upper half: another CPU's counter a little behind.
    if (delta > last_tick) [[unlikely]]
        delta = static_cast<int64_t>(delta) < 0 ? 0 : last_tick;
    delta = s.shift >= 0 ? delta << s.shift : delta >> -s.shift;
    return {static_cast<int64_t>(s.ns_base + mul_32(delta, s.mul))};
}

uint64_t to_tsc(Nanos t) {
    const Scale& s = scale;
    if (t.n <= static_cast<int64_t>(s.ns_base)) return s.tsc_base;
    const uint64_t ticks = ticks_until(static_cast<uint64_t>(t.n) - s.ns_base, s);
    return ticks > last_tick || ticks > ~s.tsc_base ? ~uint64_t{0} : s.tsc_base + ticks;
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
