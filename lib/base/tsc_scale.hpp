// SPDX-License-Identifier: Apache-2.0
/// TSC ticks to nanoseconds and back, in integers.
#pragma once

#include <cstdint>

#include "lib/base/types.hpp"

namespace base {

/// The constants that turn TSC ticks into nanoseconds; also what guests get in vcpu_time_info.
struct TscScale {
    uint64_t tsc_base = 0;  ///< TSC at system time `ns_base`
    uint64_t ns_base = 0;
    uint32_t mul = 0;        ///< 32.32 fixed point, after the shift
    int8_t shift = 0;        ///< left shift of the tick count; right when negative
    uint64_t last_tick = 0;  ///< the largest tick count whose time is below Nanos::never(): what is more reads as this much

    /// For a TSC of this frequency, up to 2^12 GHz. System time 0 is at `tsc_now`.
    static TscScale of(uint64_t khz, uint64_t tsc_now) {
        // ns = (ticks shifted by `shift`) * mul >> 32, with mul in [2^31, 2^32) so that no precision is lost.
        uint64_t per_tick = (uint64_t{1'000'000} << 32) / khz;  // 32.32 nanoseconds
        TscScale s;
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
        constexpr uint64_t never = INT64_MAX;
        const uint64_t too_late = s.ticks_until(never);
        s.last_tick = (too_late < never ? too_late : never) - 1;
        return s;
    }

    /// Never decreases with `tsc` while this is within 2^63 ticks of the base (below it counts as there), and stays below
    /// Nanos::never().
    Nanos time_of(uint64_t tsc) const {
        uint64_t delta = tsc - tsc_base;
        // In the upper half: another CPU's counter a little behind.
        if (delta > last_tick) [[unlikely]]
            delta = static_cast<int64_t>(delta) < 0 ? 0 : last_tick;
        delta = shift >= 0 ? delta << shift : delta >> -shift;
        return {static_cast<int64_t>(ns_base + mul_32(delta, mul))};
    }

    /// The first TSC value at which the time has come: the base for a `t` that is past then, UINT64_MAX for one that never
    /// comes.
    uint64_t tsc_of(Nanos t) const {
        if (t.n <= static_cast<int64_t>(ns_base)) return tsc_base;
        const uint64_t ticks = ticks_until(static_cast<uint64_t>(t.n) - ns_base);
        return ticks > last_tick || ticks > ~tsc_base ? ~uint64_t{0} : tsc_base + ticks;
    }

private:
    /// (a * b) >> 32 without losing the high bits. The result fits as long as a's does: b is below 2^32.
    static uint64_t mul_32(uint64_t a, uint32_t b) {
        return static_cast<uint64_t>((static_cast<unsigned __int128>(a) * b) >> 32);
    }

    /// The smallest n with mul_32(n, mul) >= ns, for ns below 2^63 and mul from 2^31: below 2^64.
    uint64_t shifted_ticks(uint64_t ns) const {
        const uint64_t rest = (ns % mul) << 32;
        return ((ns / mul) << 32) + rest / mul + (rest % mul != 0);
    }

    /// The smallest tick count whose time is at least `ns`; UINT64_MAX when no count is.
    uint64_t ticks_until(uint64_t ns) const {
        const uint64_t n = shifted_ticks(ns);
        if (shift >= 0) return (n >> shift) + ((n & ((uint64_t{1} << shift) - 1)) != 0);
        return n >> (64 + shift) ? ~uint64_t{0} : n << -shift;
    }
};

}  // namespace base
