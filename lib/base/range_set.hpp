// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "lib/base/result.hpp"

namespace base {

/// Ranges of a number space, such as the I/O ports or machine frames that a domain may use.
struct RangeSet {
    static constexpr unsigned capacity = 32;
    struct Range {
        uint64_t first, last;
    };
    Range ranges[capacity] = {};
    unsigned used = 0;

    bool contains(uint64_t first, uint64_t last) const {
        for (unsigned i = 0; i < used; ++i)
            if (ranges[i].first <= first && last <= ranges[i].last) return true;
        return false;
    }
    /// Errors: inval when last < first, nospc when too fragmented.
    Status add(uint64_t first, uint64_t last) {
        if (first > last) return Err{Errc::inval};
        // Swallow every range that touches the new one.
        for (unsigned i = 0; i < used;) {
            Range& r = ranges[i];
            const bool touches =
                r.first <= (last == ~uint64_t{0} ? last : last + 1) && first <= (r.last == ~uint64_t{0} ? r.last : r.last + 1);
            if (!touches) {
                ++i;
                continue;
            }
            first = r.first < first ? r.first : first;
            last = r.last > last ? r.last : last;
            r = ranges[--used];
        }
        if (used == capacity) return Err{Errc::nospc};
        ranges[used++] = {first, last};
        return ok;
    }
    /// Errors: as add().
    Status remove(uint64_t first, uint64_t last) {
        if (first > last) return Err{Errc::inval};
        for (unsigned i = 0; i < used;) {
            const Range r = ranges[i];
            if (r.last < first || last < r.first) {
                ++i;
                continue;
            }
            const bool keeps_low = r.first < first;
            const bool keeps_high = last < r.last;
            if (keeps_low && keeps_high && used == capacity) return Err{Errc::nospc};
            ranges[i] = ranges[--used];
            if (keeps_low) ranges[used++] = {r.first, first - 1};
            if (keeps_high) ranges[used++] = {last + 1, r.last};
            i = 0;  // the pieces kept no longer overlap
        }
        return ok;
    }
};

}  // namespace base
