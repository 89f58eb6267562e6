// SPDX-License-Identifier: Apache-2.0
/// Parameters of schedulers that Xen 4.17 does not have any more: where its XEN_DOMCTL_scheduler_op and XEN_SYSCTL_scheduler_op have a
/// union, these have more members. What comes before the unions is Xen's. Times are ns.
#pragma once

#include <cstdint>

#include "abi/xen/domctl_domain.hpp"
#include "abi/xen/sysctl_policy.hpp"

namespace xenolith {

// The numbers that these had when there were such.
inline constexpr std::uint32_t SCHEDULER_BVT = 0;
inline constexpr std::uint32_t SCHEDULER_ATROPOS = 2;
inline constexpr std::uint32_t SCHEDULER_RROBIN = 3;
inline constexpr std::uint32_t SCHEDULER_SEDF = 4;

struct SchedBvt {
    std::uint32_t mcu_advance;
    std::uint32_t warpback;  ///< 0 or 1
    std::int64_t warpvalue;  ///< virtual time: that of 100 us with an mcu_advance of 1 is 1
    std::uint64_t warpl;     ///< longest warp; 0: none such
    std::uint64_t warpu;     ///< shortest time between two
};
static_assert(xen::exact_layout<SchedBvt, 32>);

struct SchedAtropos {
    std::uint64_t period;
    std::uint64_t slice;
    std::uint64_t latency;
    std::uint32_t xtratime;  ///< 0 or 1
    std::uint32_t pad;
};
static_assert(xen::exact_layout<SchedAtropos, 32>);

struct SchedSedf {
    std::uint64_t period;
    std::uint64_t slice;
    std::uint64_t latency;
    std::uint32_t extratime;  ///< 0 or 1
    std::uint32_t weight;     ///< not 0: instead of period and slice
};
static_assert(xen::exact_layout<SchedSedf, 32>);

/// XEN_DOMCTL_scheduler_op.
struct SchedGroupOp {
    std::uint32_t sched_id;
    std::uint32_t cmd;
    union {
        xen::DomctlSchedCredit credit;
        xen::DomctlSchedCredit2 credit2;
        xen::DomctlSchedRtds rtds;
        SchedBvt bvt;
        SchedAtropos atropos;
        SchedSedf sedf;
    } u;
};
static_assert(sizeof(SchedGroupOp) == 40);

/// XEN_SYSCTL_scheduler_op; arinc653's schedule goes by itself.
struct SchedPolicyOp {
    std::uint32_t cpupool_id;
    std::uint32_t sched_id;
    std::uint32_t cmd;
    std::uint32_t pad;
    union {
        xen::SysctlCreditSchedule sched_credit;
        xen::SysctlCredit2Schedule sched_credit2;
        std::uint64_t ctx_allow;  ///< bvt
        std::uint64_t slice;      ///< rrobin
    } u;
};
static_assert(sizeof(SchedPolicyOp) == 32);

}  // namespace xenolith
