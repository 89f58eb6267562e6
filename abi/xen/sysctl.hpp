// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_sysctl, interface version 0x15: operation numbers and the argument block.
#pragma once

#include "abi/xen/sysctl_policy.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t XEN_SYSCTL_readconsole = 1;

inline constexpr std::uint32_t XEN_SYSCTL_tbuf_op = 2;

inline constexpr std::uint32_t XEN_SYSCTL_physinfo = 3;

inline constexpr std::uint32_t XEN_SYSCTL_sched_id = 4;

inline constexpr std::uint32_t XEN_SYSCTL_perfc_op = 5;

inline constexpr std::uint32_t XEN_SYSCTL_getdomaininfolist = 6;

inline constexpr std::uint32_t XEN_SYSCTL_debug_keys = 7;

inline constexpr std::uint32_t XEN_SYSCTL_getcpuinfo = 8;

inline constexpr std::uint32_t XEN_SYSCTL_availheap = 9;

inline constexpr std::uint32_t XEN_SYSCTL_get_pmstat = 10;

inline constexpr std::uint32_t XEN_SYSCTL_cpu_hotplug = 11;

inline constexpr std::uint32_t XEN_SYSCTL_pm_op = 12;

inline constexpr std::uint32_t XEN_SYSCTL_page_offline_op = 14;

inline constexpr std::uint32_t XEN_SYSCTL_lockprof_op = 15;

inline constexpr std::uint32_t XEN_SYSCTL_cputopoinfo = 16;

inline constexpr std::uint32_t XEN_SYSCTL_numainfo = 17;

inline constexpr std::uint32_t XEN_SYSCTL_cpupool_op = 18;

inline constexpr std::uint32_t XEN_SYSCTL_scheduler_op = 19;

inline constexpr std::uint32_t XEN_SYSCTL_coverage_op = 20;

inline constexpr std::uint32_t XEN_SYSCTL_psr_cmt_op = 21;

inline constexpr std::uint32_t XEN_SYSCTL_pcitopoinfo = 22;

inline constexpr std::uint32_t XEN_SYSCTL_psr_alloc = 23;

inline constexpr std::uint32_t XEN_SYSCTL_get_cpu_levelling_caps = 25;
inline constexpr std::uint32_t XEN_SYSCTL_get_cpu_featureset = 26;

inline constexpr std::uint32_t XEN_SYSCTL_livepatch_op = 27;

inline constexpr std::uint32_t XEN_SYSCTL_get_cpu_policy = 29;

/// Argument of HYPERVISOR_sysctl: u holds the operation's own structure.
struct Sysctl {
    std::uint32_t cmd;
    std::uint32_t interface_version;
    union {
        SysctlReadConsole readconsole;
        SysctlTbufOp tbuf_op;
        SysctlPhysInfo physinfo;
        SysctlCpuTopoInfo cputopoinfo;
        SysctlPciTopoInfo pcitopoinfo;
        SysctlNumaInfo numainfo;
        SysctlSchedId sched_id;
        SysctlPerfcOp perfc_op;
        SysctlGetDomainInfoList getdomaininfolist;
        SysctlDebugKeys debug_keys;
        SysctlGetCpuInfo getcpuinfo;
        SysctlAvailHeap availheap;
        SysctlGetPmStat get_pmstat;
        SysctlCpuHotplug cpu_hotplug;
        SysctlPmOp pm_op;
        SysctlPageOfflineOp page_offline;
        SysctlLockprofOp lockprof_op;
        SysctlCpuPoolOp cpupool_op;
        SysctlSchedulerOp scheduler_op;
        SysctlCoverageOp coverage_op;
        SysctlPsrCmtOp psr_cmt_op;
        SysctlPsrAlloc psr_alloc;
        SysctlCpuLevellingCaps cpu_levelling_caps;
        SysctlCpuFeatureset cpu_featureset;
        SysctlLivepatchOp livepatch;
        SysctlCpuPolicy cpu_policy;
        std::uint8_t pad[128];
    } u;
};
static_assert(layout<Sysctl, 136>);

}  // namespace xen
