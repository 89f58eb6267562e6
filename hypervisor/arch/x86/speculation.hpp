// SPDX-License-Identifier: Apache-2.0
/// Guest-controlled indices, safe from what the CPU does ahead of the bounds check.
#pragma once

#include <cstdint>

namespace hv {

/// `i` if it is below `n`; else false, and `i` is 0 for whoever goes on all the same under speculation. n > 0. The check and
/// the clamp in one.
inline bool index_below(uint64_t& i, uint64_t n) {
#ifdef HV_HOST
    const bool below = i < n;
    i = below ? i : 0;
#else
    bool below = false;
    uint64_t mask = 0;
    // SBB of a register with itself keeps the carry that it takes.
    asm("cmp %[n], %[i]; sbb %[mask], %[mask]" : [mask] "=r"(mask), "=@ccb"(below) : [n] "r"(n), [i] "r"(i));
    i &= mask;
#endif
    return below;
}

/// `i` forced below `n` even under speculation; call after the bounds check. n > 0.
inline uint64_t clamp_index(uint64_t i, uint64_t n) {
#ifdef HV_HOST
    return i < n ? i : 0;
#else
    uint64_t mask = 0;
    asm("cmp %1, %2; sbb %0, %0" : "=r"(mask) : "r"(n), "r"(i) : "cc");
    return i & mask;
#endif
}

}  // namespace hv
