// SPDX-License-Identifier: Apache-2.0
/// What policies with one queue for their pool keep of a unit.
#pragma once

#include "hypervisor/sched/unit.hpp"
#include "lib/base/list.hpp"
#include "lib/base/tree.hpp"
#include "lib/base/types.hpp"

namespace hv {

class SharedScheduler;

/// So much CPU time in each period; of rtds, sedf and atropos.
struct Reservation {
    base::Nanos period{};
    base::Nanos slice{};    ///< in each period
    base::Nanos latency{};  ///< after a wake-up its first deadline comes so soon; 0: a period
    bool extra = false;     ///< may have more when nobody with a reservation wants the CPU
    uint32_t weight = 0;    ///< sedf: 0, or its slice (with extra: its part of what is left) goes by it
    base::Nanos period_end{};
    base::Nanos deadline{};
    base::Nanos left{};  ///< of what it has now; below 0 what was used ahead
    int64_t level = 0;   ///< 0: its own time; else what nobody wanted
    int64_t turn = 0;    ///< the least goes first among those with no time of their own
};

/// Time borrowed from the own future; of bvt.
struct BorrowedTime {
    uint32_t mcu_advance = 0;
    bool warpback = false;
    int64_t warpvalue = 0;      ///< virtual time of 100 us each
    base::Nanos warp_limit{};   ///< it may be warped so long; 0: for ever
    base::Nanos unwarp_time{};  ///< then not for so long
    int64_t actual = 0;         ///< virtual time: us that it ran, each times mcu_advance
    base::Nanos warp_left{};    ///< of the limit
    base::Nanos warps_again{};  ///< no warp before
};

/// SharedScheduler's part of a unit. Locks: its scheduler's.
struct SharedUnit {
    SchedUnit& unit;
    /// Whose it is; null: a policy's of another kind. A policy writes here itself, or null instead, under its own lock, so under that lock
    /// it knows whether the unit is its own; others may write meanwhile.
    std::atomic<SharedScheduler*> home = nullptr;
    bool is_of(const SharedScheduler* policy) const { return home.load(std::memory_order_relaxed) == policy; }
    base::ListNode member;    ///< of its scheduler's units
    base::TreeNode place;     ///< in a queue
    base::TreeNode period;    ///< among those whose period ends
    bool waits = false;       ///< for a CPU, or for the time when it may have one
    bool runs = false;        ///< is a CPU's current one
    int32_t own_cpu = -1;     ///< the queue it is in is this CPU's own; -1: the one of all
    uint32_t seat = 0;        ///< null: 1 + the CPU that is its own
    base::Nanos turn_left{};  ///< rrobin
    int64_t turn = 0;         ///< rrobin, null: the least goes first
    Reservation reserved;
    BorrowedTime borrowed;

    explicit SharedUnit(SchedUnit& u) : unit(u) {}
};

}  // namespace hv
