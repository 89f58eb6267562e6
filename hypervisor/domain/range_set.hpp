// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "lib/base/result.hpp"

namespace hv {

/// Ranges of a number space (I/O ports, machine frames, interrupts) that a domain may use.
struct RangeSet {
    static constexpr unsigned capacity = 32;
    struct Range {
        uint64_t first, last;
    };
    Range ranges[capacity] = {};
    unsigned used = 0;
    bool contains(uint64_t first, uint64_t last) const;
    /// Errors: nospc when too fragmented.
    base::Status add(uint64_t first, uint64_t last);
    base::Status remove(uint64_t first, uint64_t last);
};

}  // namespace hv
