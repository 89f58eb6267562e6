// SPDX-License-Identifier: Apache-2.0
/// What the hostile kernels share: how they report, and address space to be hostile with.
#pragma once

#include "guests/tiny/boot.hpp"
#include "guests/tiny/console.hpp"
#include "guests/tiny/paging.hpp"
#include "guests/tiny/random.hpp"
#include "guests/tiny/traps.hpp"

namespace hostile {

using namespace guest;

inline int failures;

/// What the hypervisor must do; the kernel's status is how often it did not.
inline void expect(const char* what, bool right) {
    if (right) return;
    ++failures;
    print("guest: FAILED: ", what, "\n");
}

/// Says that this kernel goes on to what may end it.
inline void last_words(const char* what) { print("guest: now ", what, "\n"); }

/// Addresses that no kernel may name, or that are none.
inline constexpr uint64_t forbidden[] = {0x0000800000000000, 0xffff7fffffffffff, 0x00007fffffffffff, 0xffff800000000000,
                                         0xffff820000000000, 0xffff83ffffffffff, 0xffff87ffffffffff, 0x8000000000000000,
                                         0xffffffffffffffff, 0xfffffffffffffff8, 0x0000000000000000, 0x7fffffffffffffff};

/// Of one page: where the part of the address space begins that a hostile kernel makes tables for.
inline constexpr uint64_t window = 0x400000000000;

}  // namespace hostile
