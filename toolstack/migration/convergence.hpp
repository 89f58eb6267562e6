// SPDX-License-Identifier: Apache-2.0
// When a live migration has sent enough while its guest ran. Pure.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <utility>

namespace migration {

/// What a user lets a live migration cost.
struct RoundLimits {
    std::chrono::milliseconds downtime{10};  // for the rest of the memory, which the guest does not run for
    uint32_t rounds = 30;
    bool strict = false;  // rather not at all than with a longer downtime
    static constexpr uint32_t most_rounds = 1000;
    /// Each may be followed by one that asks whether it was taken, and whether it is the last one.
    static constexpr uint32_t most_messages = 2 * most_rounds;
};

/// Counts rounds, and says after each what comes next.
class Convergence {
public:
    enum class Next : uint8_t {
        round,      // send what was written meanwhile
        stop,       // the guest suspends itself: the rest is sent in time
        stop_late,  // so it does, but it stands still for longer: waiting longer does not help
        give_up     // as that, and its owner does not want it
    };
    /// It sends three times as much as there is, and in vain three times, and no more.
    static constexpr uint64_t most_times = 3, most_in_vain = 3;

    Convergence(const RoundLimits& limits, uint64_t pages) : limits_(limits), pages_(pages) {}

    /// There are `left` pages to be sent now. The rounds so far were `bytes` on the line, and took `busy` without what was waited for
    /// on purpose.
    Next next(uint64_t left, uint64_t bytes, std::chrono::nanoseconds busy) {
        if (rounds_ == 0) return begin(left);
        // Asked again without a round in between, it was written to for longer, and nothing was in vain.
        if (std::exchange(judged_, rounds_) != rounds_) in_vain_ = left < fewest_ ? 0 : in_vain_ + 1;
        fewest_ = std::min(fewest_, left);
        if (fits(left, bytes, busy)) return Next::stop;
        if (rounds_ < limits_.rounds && sent_ < most_times * pages_ && in_vain_ < most_in_vain) return begin(left);
        return limits_.strict ? Next::give_up : Next::stop_late;
    }
    /// Behind the last one, of a guest that has suspended itself: whether its owner lets it go with so many pages left.
    bool may_go(uint64_t left, uint64_t bytes, std::chrono::nanoseconds busy) const {
        return !limits_.strict || fits(left, bytes, busy);
    }
    /// How long that guest may stand still for `left` pages: four times as long as the rounds so far say, an eighth of what all of the
    /// memory takes, which the target checks and pins, and `least`.
    std::chrono::nanoseconds longest_stop(uint64_t left, uint64_t bytes, std::chrono::nanoseconds busy,
                                          std::chrono::nanoseconds least) const {
        constexpr std::chrono::nanoseconds most = std::chrono::hours(1);
        const double pages = 4 * static_cast<double>(left) + static_cast<double>(pages_) / 8;
        const double more = static_cast<double>(busy.count()) * pages / std::max(done(bytes), 1.0);
        const double bound = static_cast<double>((most - least).count());
        return least + std::chrono::nanoseconds(static_cast<int64_t>(std::min(more, bound)));
    }
    uint32_t rounds() const { return rounds_; }

private:
    Next begin(uint64_t left) {
        ++rounds_;
        sent_ += left;
        return Next::round;
    }
    /// How many pages of data the rounds so far were worth. Those of zeros, which are not on the line, took a quarter of what others did.
    double done(uint64_t bytes) const {
        constexpr double page = 4096;
        const double whole = std::min(static_cast<double>(bytes) / page, static_cast<double>(sent_));
        return whole + (static_cast<double>(sent_) - whole) / 4;
    }
    /// Whether as many take no longer than the downtime.
    bool fits(uint64_t left, uint64_t bytes, std::chrono::nanoseconds busy) const {
        const double limit = static_cast<double>(std::chrono::nanoseconds(limits_.downtime).count());
        return static_cast<double>(left) * static_cast<double>(busy.count()) <= done(bytes) * limit;
    }

    const RoundLimits limits_;
    const uint64_t pages_;
    uint32_t rounds_ = 0;
    uint32_t judged_ = 0;  // rounds, when it was last asked
    uint64_t sent_ = 0;
    uint64_t fewest_ = std::numeric_limits<uint64_t>::max();
    uint64_t in_vain_ = 0;
};

}  // namespace migration
