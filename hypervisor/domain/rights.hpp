// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "hypervisor/mm/heap.hpp"
#include "lib/base/range_set.hpp"

namespace hv {

using base::RangeSet;

/// Ranges of something of the machine's that a domain may touch. Few domains have any: the set is made with the first one, and stays
/// until the domain ends, so that who reads needs no lock.
class Rights {
    static constexpr RangeSet none_{};
    std::atomic<const RangeSet*> set_{&none_};

    RangeSet* own() const {
        const RangeSet* const set = set_.load(std::memory_order_relaxed);
        return set == &none_ ? nullptr : const_cast<RangeSet*>(set);  // made below, not as a constant
    }

public:
    Rights() = default;
    Rights(const Rights&) = delete;
    Rights& operator=(const Rights&) = delete;
    ~Rights() {
        if (RangeSet* const set = own()) destroy(set);
    }
    bool contains(uint64_t first, uint64_t last) const { return set_.load(std::memory_order_acquire)->contains(first, last); }
    /// Errors: those of RangeSet, and nomem.
    Status add(uint64_t first, uint64_t last) {
        if (first > last) return Err{Errc::inval};
        if (!own()) set_.store(TRY(make<RangeSet>()), std::memory_order_release);
        return own()->add(first, last);
    }
    /// Errors: those of RangeSet.
    Status remove(uint64_t first, uint64_t last) {
        if (first > last) return Err{Errc::inval};
        return own() ? own()->remove(first, last) : Status(ok);
    }
};

}  // namespace hv
