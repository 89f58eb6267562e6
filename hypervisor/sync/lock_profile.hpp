// SPDX-License-Identifier: Apache-2.0
/// How locks were waited for (xenlockprof), by rank.
///
/// A wait is counted where it is over, in Spinlock::wait(), which nobody comes to whose lock is free: so this is always on, and costs those
/// nothing who do not wait. How often locks were taken and how long they were held is known in debug images alone, where each taking pays for
/// it.
#pragma once

#include <cstdint>

#include "lib/base/types.hpp"

namespace hv::lock_profile {

/// One for each Rank, from the innermost on.
inline constexpr uint32_t class_count = 14;

struct Figures {
    const char* name;
    uint64_t taken;  ///< debug images only, else 0
    uint64_t waits;
    uint64_t held_ns;  ///< debug images only, else 0
    uint64_t waited_ns;
};
/// Since the last reset. They go on while they are read. Context: the turn of control operations, as of all but the last two.
Figures figures(uint32_t index);
void reset(base::Nanos now);
/// When that was; 0: never.
base::Nanos began();

// For the lock. Any context; the lock is held.
void waited(uint8_t rank, uint64_t ticks);
void taken_for(uint8_t rank, uint64_t ticks);

}  // namespace hv::lock_profile
