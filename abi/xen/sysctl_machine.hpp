// SPDX-License-Identifier: Apache-2.0
/// Arguments of HYPERVISOR_sysctl about the machine: console, CPUs, memory, power, topology.
#pragma once

#include "abi/xen/domctl.hpp"
#include "abi/xen/physdev.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t XEN_SYSCTL_INTERFACE_VERSION = 0x00000015;

/// Reads the hypervisor's log from `index` on.
struct SysctlReadConsole {
    std::uint8_t clear;
    std::uint8_t incremental;
    std::uint8_t pad0;
    std::uint8_t pad1;
    std::uint32_t index;
    Handle<char> buffer;
    std::uint32_t count;
    std::uint32_t _pad;
};
static_assert(exact_layout<SysctlReadConsole, 24>);

inline constexpr std::uint32_t XEN_SYSCTL_TBUFOP_get_info = 0;
inline constexpr std::uint32_t XEN_SYSCTL_TBUFOP_set_cpu_mask = 1;
inline constexpr std::uint32_t XEN_SYSCTL_TBUFOP_set_evt_mask = 2;
inline constexpr std::uint32_t XEN_SYSCTL_TBUFOP_set_size = 3;
inline constexpr std::uint32_t XEN_SYSCTL_TBUFOP_enable = 4;
inline constexpr std::uint32_t XEN_SYSCTL_TBUFOP_disable = 5;

struct SysctlTbufOp {
    std::uint32_t cmd;
    std::uint32_t _pad;
    XenctlBitmap cpu_mask;
    std::uint32_t evt_mask;
    std::uint32_t _pad1;
    std::uint64_t buffer_mfn;
    std::uint32_t size;
    std::uint32_t _pad2;
};
static_assert(exact_layout<SysctlTbufOp, 48>);

inline constexpr std::uint32_t XEN_SYSCTL_PHYSCAP_hvm = 1u << 0;
inline constexpr std::uint32_t XEN_SYSCTL_PHYSCAP_pv = 1u << 1;
inline constexpr std::uint32_t XEN_SYSCTL_PHYSCAP_directio = 1u << 2;
inline constexpr std::uint32_t XEN_SYSCTL_PHYSCAP_hap = 1u << 3;
inline constexpr std::uint32_t XEN_SYSCTL_PHYSCAP_shadow = 1u << 4;
inline constexpr std::uint32_t XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share = 1u << 5;
inline constexpr std::uint32_t XEN_SYSCTL_PHYSCAP_vmtrace = 1u << 6;
inline constexpr std::uint32_t XEN_SYSCTL_PHYSCAP_vpmu = 1u << 7;
inline constexpr std::uint32_t XEN_SYSCTL_PHYSCAP_gnttab_v1 = 1u << 8;
inline constexpr std::uint32_t XEN_SYSCTL_PHYSCAP_gnttab_v2 = 1u << 9;
inline constexpr auto XEN_SYSCTL_PHYSCAP_MAX = XEN_SYSCTL_PHYSCAP_gnttab_v2;

/// The machine: CPUs, pages, capabilities.
struct SysctlPhysInfo {
    std::uint32_t threads_per_core;
    std::uint32_t cores_per_socket;
    std::uint32_t nr_cpus;
    std::uint32_t max_cpu_id;
    std::uint32_t nr_nodes;
    std::uint32_t max_node_id;
    std::uint32_t cpu_khz;
    std::uint32_t capabilities;
    std::uint32_t arch_capabilities;
    std::uint32_t pad;
    std::uint64_t total_pages;
    std::uint64_t free_pages;
    std::uint64_t scrub_pages;
    std::uint64_t outstanding_pages;
    std::uint64_t max_mfn;
    std::uint32_t hw_cap[8];
};
static_assert(exact_layout<SysctlPhysInfo, 112>);

struct SysctlSchedId {
    std::uint32_t sched_id;
};
static_assert(exact_layout<SysctlSchedId, 4>);

inline constexpr std::uint32_t XEN_SYSCTL_PERFCOP_reset = 1;
inline constexpr std::uint32_t XEN_SYSCTL_PERFCOP_query = 2;

struct SysctlPerfcDesc {
    char name[80];
    std::uint32_t nr_vals;
};
static_assert(exact_layout<SysctlPerfcDesc, 84>);

struct SysctlPerfcOp {
    std::uint32_t cmd;
    std::uint32_t nr_counters;
    std::uint32_t nr_vals;
    std::uint32_t _pad;
    Handle<SysctlPerfcDesc> desc;
    Handle<std::uint32_t> val;
};
static_assert(exact_layout<SysctlPerfcOp, 32>);

/// States of up to max_domains domains from first_domain on.
struct SysctlGetDomainInfoList {
    domid_t first_domain;
    std::uint16_t _pad;
    std::uint32_t max_domains;
    Handle<DomctlGetDomainInfo> buffer;
    std::uint32_t num_domains;
    std::uint32_t _pad1;
};
static_assert(exact_layout<SysctlGetDomainInfoList, 24>);

struct SysctlDebugKeys {
    Handle<const char> keys;
    std::uint32_t nr_keys;
    std::uint32_t _pad;
};
static_assert(exact_layout<SysctlDebugKeys, 16>);

struct SysctlCpuInfo {
    std::uint64_t idletime;
};
static_assert(exact_layout<SysctlCpuInfo, 8>);

struct SysctlGetCpuInfo {
    std::uint32_t max_cpus;
    std::uint32_t _pad;
    Handle<SysctlCpuInfo> info;
    std::uint32_t nr_cpus;
    std::uint32_t _pad1;
};
static_assert(exact_layout<SysctlGetCpuInfo, 24>);

struct SysctlAvailHeap {
    std::uint32_t min_bitwidth;
    std::uint32_t max_bitwidth;
    std::int32_t node;
    std::uint32_t _pad;
    std::uint64_t avail_bytes;
};
static_assert(exact_layout<SysctlAvailHeap, 24>);

struct PmPxVal {
    std::uint64_t freq;
    std::uint64_t residency;
    std::uint64_t count;
};
static_assert(exact_layout<PmPxVal, 24>);

struct PmPxStat {
    std::uint8_t total;
    std::uint8_t usable;
    std::uint8_t last;
    std::uint8_t cur;
    std::uint32_t _pad;
    Handle<std::uint64_t> trans_pt;
    Handle<PmPxVal> pt;
};
static_assert(exact_layout<PmPxStat, 24>);

struct PmCxStat {
    std::uint32_t nr;
    std::uint32_t last;
    std::uint64_t idle_time;
    Handle<std::uint64_t> triggers;
    Handle<std::uint64_t> residencies;
    std::uint32_t nr_pc;
    std::uint32_t nr_cc;
    Handle<std::uint64_t> pc;
    Handle<std::uint64_t> cc;
};
static_assert(exact_layout<PmCxStat, 56>);

inline constexpr std::uint32_t PMSTAT_CATEGORY_MASK = 0xf0;
inline constexpr std::uint32_t PMSTAT_PX = 0x10;
inline constexpr std::uint32_t PMSTAT_CX = 0x20;
inline constexpr std::uint32_t PMSTAT_get_max_px = 0x11;
inline constexpr std::uint32_t PMSTAT_get_pxstat = 0x12;
inline constexpr std::uint32_t PMSTAT_reset_pxstat = 0x13;
inline constexpr std::uint32_t PMSTAT_get_max_cx = 0x21;
inline constexpr std::uint32_t PMSTAT_get_cxstat = 0x22;
inline constexpr std::uint32_t PMSTAT_reset_cxstat = 0x23;

struct SysctlGetPmStat {
    std::uint32_t type;
    std::uint32_t cpuid;
    union {
        PmPxStat getpx;
        PmCxStat getcx;
    } u;
};
static_assert(layout<SysctlGetPmStat, 64>);

inline constexpr std::uint32_t XEN_SYSCTL_CPU_HOTPLUG_ONLINE = 0;
inline constexpr std::uint32_t XEN_SYSCTL_CPU_HOTPLUG_OFFLINE = 1;
inline constexpr std::uint32_t XEN_SYSCTL_CPU_HOTPLUG_SMT_ENABLE = 2;
inline constexpr std::uint32_t XEN_SYSCTL_CPU_HOTPLUG_SMT_DISABLE = 3;

struct SysctlCpuHotplug {
    std::uint32_t cpu;
    std::uint32_t op;
};
static_assert(exact_layout<SysctlCpuHotplug, 8>);

struct Userspace {
    std::uint32_t scaling_setspeed;
};
static_assert(exact_layout<Userspace, 4>);

struct Ondemand {
    std::uint32_t sampling_rate_max;
    std::uint32_t sampling_rate_min;
    std::uint32_t sampling_rate;
    std::uint32_t up_threshold;
};
static_assert(exact_layout<Ondemand, 16>);

inline constexpr std::uint32_t CPUFREQ_NAME_LEN = 16;

struct GetCpufreqPara {
    std::uint32_t cpu_num;
    std::uint32_t freq_num;
    std::uint32_t gov_num;
    std::uint32_t _pad;
    Handle<std::uint32_t> affected_cpus;
    Handle<std::uint32_t> scaling_available_frequencies;
    Handle<char> scaling_available_governors;
    char scaling_driver[16];
    std::uint32_t cpuinfo_cur_freq;
    std::uint32_t cpuinfo_max_freq;
    std::uint32_t cpuinfo_min_freq;
    std::uint32_t scaling_cur_freq;
    char scaling_governor[16];
    std::uint32_t scaling_max_freq;
    std::uint32_t scaling_min_freq;
    union {
        Userspace userspace;
        Ondemand ondemand;
    } u;
    std::int32_t turbo_enabled;
    std::uint32_t _pad1;
};
static_assert(layout<GetCpufreqPara, 120>);

struct SetCpufreqGov {
    char scaling_governor[16];
};
static_assert(exact_layout<SetCpufreqGov, 16>);

inline constexpr std::uint32_t SCALING_MAX_FREQ = 1;
inline constexpr std::uint32_t SCALING_MIN_FREQ = 2;
inline constexpr std::uint32_t SCALING_SETSPEED = 3;

inline constexpr std::uint32_t SAMPLING_RATE = 4;

inline constexpr std::uint32_t UP_THRESHOLD = 5;

struct SetCpufreqPara {
    std::uint32_t ctrl_type;
    std::uint32_t ctrl_value;
};
static_assert(exact_layout<SetCpufreqPara, 8>);

inline constexpr std::uint32_t PM_PARA_CATEGORY_MASK = 0xf0;

inline constexpr std::uint32_t CPUFREQ_PARA = 0x10;

inline constexpr std::uint32_t GET_CPUFREQ_PARA = 0x11;

inline constexpr std::uint32_t SET_CPUFREQ_GOV = 0x12;
inline constexpr std::uint32_t SET_CPUFREQ_PARA = 0x13;

inline constexpr std::uint32_t GET_CPUFREQ_AVGFREQ = 0x14;

inline constexpr std::uint32_t XEN_SYSCTL_pm_op_set_sched_opt_smt = 0x21;
inline constexpr std::uint32_t XEN_SYSCTL_pm_op_get_max_cstate = 0x22;
inline constexpr std::uint32_t XEN_SYSCTL_pm_op_set_max_cstate = 0x23;
inline constexpr std::uint32_t XEN_SYSCTL_pm_op_set_vcpu_migration_delay = 0x24;
inline constexpr std::uint32_t XEN_SYSCTL_pm_op_get_vcpu_migration_delay = 0x25;
inline constexpr std::uint32_t XEN_SYSCTL_pm_op_enable_turbo = 0x26;
inline constexpr std::uint32_t XEN_SYSCTL_pm_op_disable_turbo = 0x27;

inline constexpr std::uint32_t XEN_SYSCTL_CX_UNLIMITED = 0xffffffff;

struct SysctlPmOp {
    std::uint32_t cmd;
    std::uint32_t cpuid;
    union {
        GetCpufreqPara get_para;
        SetCpufreqGov set_gov;
        SetCpufreqPara set_para;
        std::uint64_t get_avgfreq;
        std::uint32_t set_sched_opt_smt;
        std::uint32_t get_max_cstate;
        std::uint32_t set_max_cstate;
    } u;
};
static_assert(layout<SysctlPmOp, 128>);

inline constexpr std::uint32_t sysctl_page_offline = 1;
inline constexpr std::uint32_t sysctl_page_online = 2;
inline constexpr std::uint32_t sysctl_query_page_offline = 3;

struct SysctlPageOfflineOp {
    std::uint32_t cmd;
    std::uint32_t start;
    std::uint32_t end;
    std::uint32_t _pad;
    Handle<std::uint32_t> status;
};
static_assert(exact_layout<SysctlPageOfflineOp, 24>);

inline constexpr std::uint64_t PG_OFFLINE_STATUS_MASK = 0xff;
inline constexpr std::uint64_t PG_OFFLINE_INVALID = 0x1;
inline constexpr std::uint64_t PG_OFFLINE_OFFLINED = 0x2;
inline constexpr std::uint64_t PG_OFFLINE_PENDING = 0x4;
inline constexpr std::uint64_t PG_OFFLINE_FAILED = 0x8;
inline constexpr std::uint64_t PG_OFFLINE_AGAIN = 0x10;
inline constexpr auto PG_ONLINE_FAILED = PG_OFFLINE_FAILED;
inline constexpr auto PG_ONLINE_ONLINED = PG_OFFLINE_OFFLINED;
inline constexpr std::uint64_t PG_OFFLINE_STATUS_OFFLINED = 0x2;
inline constexpr std::uint64_t PG_OFFLINE_STATUS_ONLINE = 0x4;
inline constexpr std::uint64_t PG_OFFLINE_STATUS_OFFLINE_PENDING = 0x8;
inline constexpr std::uint64_t PG_OFFLINE_STATUS_BROKEN = 0x10;
inline constexpr std::uint64_t PG_OFFLINE_MISC_MASK = 0xff0;
inline constexpr std::uint64_t PG_OFFLINE_XENPAGE = 0x100;
inline constexpr std::uint64_t PG_OFFLINE_DOM0PAGE = 0x200;
inline constexpr std::uint64_t PG_OFFLINE_ANONYMOUS = 0x400;
inline constexpr std::uint64_t PG_OFFLINE_NOT_CONV_RAM = 0x800;
inline constexpr std::uint64_t PG_OFFLINE_OWNED = 0x1000;
inline constexpr std::uint64_t PG_OFFLINE_BROKEN = 0x2000;
inline constexpr auto PG_ONLINE_BROKEN = PG_OFFLINE_BROKEN;
inline constexpr std::uint32_t PG_OFFLINE_OWNER_SHIFT = 16;

inline constexpr std::uint32_t XEN_SYSCTL_LOCKPROF_reset = 1;
inline constexpr std::uint32_t XEN_SYSCTL_LOCKPROF_query = 2;

inline constexpr std::uint32_t LOCKPROF_TYPE_GLOBAL = 0;
inline constexpr std::uint32_t LOCKPROF_TYPE_PERDOM = 1;
inline constexpr std::uint32_t LOCKPROF_TYPE_N = 2;

struct SysctlLockprofData {
    char name[40];
    std::int32_t type;
    std::int32_t idx;
    std::uint64_t lock_cnt;
    std::uint64_t block_cnt;
    std::uint64_t lock_time;
    std::uint64_t block_time;
};
static_assert(exact_layout<SysctlLockprofData, 80>);

struct SysctlLockprofOp {
    std::uint32_t cmd;
    std::uint32_t max_elem;
    std::uint32_t nr_elem;
    std::uint32_t _pad;
    std::uint64_t time;
    Handle<SysctlLockprofData> data;
};
static_assert(exact_layout<SysctlLockprofOp, 32>);

inline constexpr std::uint32_t XEN_INVALID_CORE_ID = 0xffffffff;
inline constexpr std::uint32_t XEN_INVALID_SOCKET_ID = 0xffffffff;
inline constexpr std::uint32_t XEN_INVALID_NODE_ID = 0xffffffff;

/// Where a CPU sits.
struct SysctlCpuTopo {
    std::uint32_t core;
    std::uint32_t socket;
    std::uint32_t node;
};
static_assert(exact_layout<SysctlCpuTopo, 12>);

struct SysctlCpuTopoInfo {
    std::uint32_t num_cpus;
    std::uint32_t _pad;
    Handle<SysctlCpuTopo> cputopo;
};
static_assert(exact_layout<SysctlCpuTopoInfo, 16>);

inline constexpr std::uint32_t XEN_INVALID_MEM_SZ = 0xffffffff;
inline constexpr std::uint32_t XEN_INVALID_NODE_DIST = 0xffffffff;

struct SysctlMemInfo {
    std::uint64_t memsize;
    std::uint64_t memfree;
};
static_assert(exact_layout<SysctlMemInfo, 16>);

/// Nodes: memory and distances.
struct SysctlNumaInfo {
    std::uint32_t num_nodes;
    std::uint32_t _pad;
    Handle<SysctlMemInfo> meminfo;
    Handle<std::uint32_t> distance;
};
static_assert(exact_layout<SysctlNumaInfo, 24>);

}  // namespace xen
