// SPDX-License-Identifier: Apache-2.0
/// Caps: a group may use so many percent of one CPU's time, whether somebody else wants it or not.
///
/// Time is cut into periods that begin everywhere at once. In each one a group gets its share, of which nothing is saved for later;
/// what is used beyond it (several CPUs use the same rest) is owed. So no timer is needed for a group: who looks first in a new
/// period gives it its share.
#pragma once

#include <algorithm>

#include "hypervisor/sched/unit.hpp"

namespace hv::fair {

inline constexpr base::Nanos cap_period = base::Nanos::ms(10);
inline constexpr base::Nanos least_slice = base::Nanos::us(100);  ///< a rest that is less is not worth two switches: it is owed

/// ns of CPU time in a period.
constexpr int64_t share_of(uint16_t cap) { return cap_period.n / 100 * cap; }

/// The begin of the period after the one that `now` is in.
constexpr base::Nanos next_period(base::Nanos now) { return {(now.n / cap_period.n + 1) * cap_period.n}; }

/// Puts a cap on the group, 0 for none, and begins anew.
inline void set_cap(SchedGroup& g, uint16_t cap, base::Nanos now) {
    g.periods.store(now.n / cap_period.n, std::memory_order_relaxed);
    g.allowance.store(share_of(cap), std::memory_order_relaxed);
    g.cap.store(cap, std::memory_order_relaxed);
}

/// The group has run for `ns`. Only while it has a cap; any CPU.
inline void use(SchedGroup& g, int64_t ns) {
    if (ns > 0) g.allowance.fetch_sub(ns, std::memory_order_relaxed);
}

/// What a group with this cap may still use now, in ns. Several CPUs may look at once: one of them gives out a new period's share, and
/// the others may see what was there before.
[[gnu::noinline, gnu::cold]] inline int64_t allowance(SchedGroup& g, uint16_t cap, base::Nanos now) {
    const int64_t period = now.n / cap_period.n;
    int64_t last = g.periods.load(std::memory_order_relaxed);
    if (period > last && g.periods.compare_exchange_strong(last, period, std::memory_order_relaxed)) {
        const int64_t share = share_of(cap);
        int64_t old = g.allowance.load(std::memory_order_relaxed), fresh = 0;
        // What is owed may be more than one share; after a century of periods there is nothing to multiply.
        do fresh = period - last > 1'000'000 ? share : std::min(share, old + share * (period - last));
        while (!g.allowance.compare_exchange_weak(old, fresh, std::memory_order_relaxed));
    }
    return g.allowance.load(std::memory_order_relaxed);
}

/// The group has a cap and has used what it may.
inline bool exhausted(SchedGroup& g, base::Nanos now) {
    const uint16_t cap = g.cap.load(std::memory_order_relaxed);
    return cap != 0 && allowance(g, cap, now) <= 0;
}

/// `slice`, cut short where a cap ends it; and to a part of the share, because other CPUs use the same rest.
inline base::Nanos within_cap(const SchedGroup& g, base::Nanos slice) {
    const uint16_t cap = g.cap.load(std::memory_order_relaxed);
    if (cap == 0) return slice;
    const int64_t rest = std::min(g.allowance.load(std::memory_order_relaxed), share_of(cap) / 4);
    return {std::min(slice.n, std::max(rest, least_slice.n))};
}

}  // namespace hv::fair
