// SPDX-License-Identifier: Apache-2.0
/// Numbers that repeat with the seed.
#pragma once

#include "guests/tiny/cpu.hpp"

namespace guest {

/// A xorshift generator: the same seed, the same numbers.
class Random {
public:
    explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {
        for (int i = 0; i < 8; ++i) next();
    }
    uint64_t next() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return state_ * 0x2545f4914f6cdd1d;
    }
    /// Below n, which is not 0.
    uint64_t below(uint64_t n) { return (next() >> 16) % n; }
    bool one_in(uint64_t n) { return below(n) == 0; }
    template <class T, size_t N>
    const T& of(const T (&list)[N]) {
        return list[below(N)];
    }
    /// A number such as finds mistakes: small, near a power of two, near the top, non-canonical, or anything.
    uint64_t odd() {
        switch (below(8)) {
            case 0: return below(16);
            case 1: return (uint64_t{1} << below(64)) - below(3) + 1;
            case 2: return ~below(5000);
            case 3: return uint64_t{0x8000} << below(33);
            case 4: return 0xffff7fffffffffff + below(0x3000) - 0x1000;
            case 5: return 0x0000800000000000 - below(0x3000) + 0x1000;
            case 6: return xen::HYPERVISOR_VIRT_START + below(xen::HYPERVISOR_VIRT_END - xen::HYPERVISOR_VIRT_START);
            default: return next();
        }
    }

private:
    uint64_t state_;
};

}  // namespace guest
