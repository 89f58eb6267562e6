// SPDX-License-Identifier: Apache-2.0
/// Alignment and bit helpers. Freestanding, constexpr.
#pragma once

#include <cstdint>

namespace base {

/// `align` is a power of two.
constexpr uint64_t align_up(uint64_t v, uint64_t align) { return (v + align - 1) & ~(align - 1); }
constexpr uint64_t align_down(uint64_t v, uint64_t align) { return v & ~(align - 1); }

/// Bits [lo, lo+width) of v.
constexpr uint64_t bits(uint64_t v, unsigned lo, unsigned width) {
    return (v >> lo) & (width >= 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1);
}

constexpr uint64_t bit(unsigned n) { return uint64_t{1} << n; }

/// True when `a` (48-bit virtual address space) is canonical: bits 47 to 63 are all 0 or all 1.
constexpr bool canonical(uint64_t a) { return static_cast<uint64_t>((static_cast<int64_t>(a) >> 47) + 1) <= 1; }

}  // namespace base
