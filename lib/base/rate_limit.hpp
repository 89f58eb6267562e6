// SPDX-License-Identifier: Apache-2.0
/// How often something may happen, a line of a log say: a few times at once, and then so often a minute.
#pragma once

#include <atomic>
#include <cstdint>

#include "lib/base/types.hpp"

namespace base {

/// `burst` times at once, and another each `interval`. Any thread, no locks.
class RateLimit {
    const int64_t interval_;
    const int64_t reach_;           ///< how far paid_ may be ahead of the clock
    std::atomic<int64_t> paid_{0};  ///< those so far, one `interval` each, have used up the time until then
    std::atomic<uint32_t> refused_{0};

public:
    constexpr RateLimit(int64_t burst, Nanos interval) : interval_(interval.n), reach_(burst * interval.n) {}
    /// False: this one is too much.
    bool take(Nanos now) {
        int64_t paid = paid_.load(std::memory_order_relaxed);
        for (;;) {
            const int64_t after = (paid > now.n ? paid : now.n) + interval_;
            if (after - now.n > reach_) {
                refused_.fetch_add(1, std::memory_order_relaxed);
                return false;
            }
            if (paid_.compare_exchange_weak(paid, after, std::memory_order_relaxed)) return true;
        }
    }
    /// How many were refused since the last call.
    uint32_t take_refused() {
        return refused_.load(std::memory_order_relaxed) ? refused_.exchange(0, std::memory_order_relaxed) : 0;
    }
};

}  // namespace base
