// SPDX-License-Identifier: Apache-2.0
/// System time: nanoseconds since boot, the same on every CPU, never stepping back.
#pragma once

#include <cstdint>

#include "lib/base/tsc_scale.hpp"

namespace hv::clock {

using Scale = base::TscScale;
extern Scale scale;
extern uint64_t tsc_khz;

/// Sets scale and tsc_khz from the TSC's frequency, up to 2^12 GHz. System time 0 is at `tsc_now`.
void set_frequency(uint64_t khz, uint64_t tsc_now);
/// Never decreases with `tsc` while this is within 2^63 ticks of boot (below boot counts as boot), and stays below
/// Nanos::never().
base::Nanos from_tsc(uint64_t tsc);
/// The first TSC value at which system time t has come (for deadlines): boot's for a t that is past then, UINT64_MAX for
/// one that never comes.
uint64_t to_tsc(base::Nanos t);
base::Nanos now();
/// Seconds since 1970 at system time 0, and nanoseconds; guarded by its own sequence.
struct Wallclock {
    uint64_t sec;
    uint32_t nsec;
};
Wallclock wallclock();
/// Sets the wall clock: it is `sec`.`nsec` at system time `at`.
void set_wallclock(uint64_t sec, uint32_t nsec, base::Nanos at);

}  // namespace hv::clock
