// SPDX-License-Identifier: Apache-2.0
/// Guest-controlled indices, safe from what the CPU does ahead of the bounds check.
#pragma once

#include <cstdint>

namespace hv {

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
