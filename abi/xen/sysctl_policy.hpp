// SPDX-License-Identifier: Apache-2.0
/// Arguments of HYPERVISOR_sysctl about pools, schedulers, cache control, live patches and CPU policies.
#pragma once

#include "abi/xen/sysctl_machine.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t XEN_SYSCTL_CPUPOOL_OP_CREATE = 1;
inline constexpr std::uint32_t XEN_SYSCTL_CPUPOOL_OP_DESTROY = 2;
inline constexpr std::uint32_t XEN_SYSCTL_CPUPOOL_OP_INFO = 3;
inline constexpr std::uint32_t XEN_SYSCTL_CPUPOOL_OP_ADDCPU = 4;
inline constexpr std::uint32_t XEN_SYSCTL_CPUPOOL_OP_RMCPU = 5;
inline constexpr std::uint32_t XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN = 6;
inline constexpr std::uint32_t XEN_SYSCTL_CPUPOOL_OP_FREEINFO = 7;
inline constexpr std::uint32_t XEN_SYSCTL_CPUPOOL_PAR_ANY = 0xffffffff;

/// Creates, destroys and changes CPU pools.
struct SysctlCpuPoolOp {
    std::uint32_t op;
    std::uint32_t cpupool_id;
    std::uint32_t sched_id;
    std::uint32_t domid;
    std::uint32_t cpu;
    std::uint32_t n_dom;
    XenctlBitmap cpumap;
};
static_assert(exact_layout<SysctlCpuPoolOp, 40>);

inline constexpr std::uint32_t ARINC653_MAX_DOMAINS_PER_SCHEDULE = 64;

struct SysctlArinc653Schedule {
    std::uint64_t major_frame;
    std::uint8_t num_sched_entries;
    std::uint8_t _pad[7];
    struct {
        DomainHandle dom_handle;
        std::uint32_t vcpu_id;
        std::uint32_t _pad;
        std::uint64_t runtime;
    } sched_entries[64];
};
static_assert(exact_layout<SysctlArinc653Schedule, 2064>);

inline constexpr std::uint32_t XEN_SYSCTL_SCHED_RATELIMIT_MAX = 0x7a120;
inline constexpr std::uint32_t XEN_SYSCTL_SCHED_RATELIMIT_MIN = 100;

inline constexpr std::uint32_t XEN_SYSCTL_CSCHED_TSLICE_MAX = 1000;
inline constexpr std::uint32_t XEN_SYSCTL_CSCHED_TSLICE_MIN = 1;
inline constexpr std::uint32_t XEN_SYSCTL_CSCHED_MGR_DLY_MAX_US = 0x186a0;

struct SysctlCreditSchedule {
    std::uint32_t tslice_ms;
    std::uint32_t ratelimit_us;
    std::uint32_t vcpu_migr_delay_us;
};
static_assert(exact_layout<SysctlCreditSchedule, 12>);

struct SysctlCredit2Schedule {
    std::uint32_t ratelimit_us;
};
static_assert(exact_layout<SysctlCredit2Schedule, 4>);

inline constexpr std::uint32_t XEN_SYSCTL_SCHEDOP_putinfo = 0;
inline constexpr std::uint32_t XEN_SYSCTL_SCHEDOP_getinfo = 1;

struct SysctlSchedulerOp {
    std::uint32_t cpupool_id;
    std::uint32_t sched_id;
    std::uint32_t cmd;
    std::uint32_t _pad;
    union {
        struct SysctlSchedArinc653 {
            Handle<SysctlArinc653Schedule> schedule;
        } sched_arinc653;
        SysctlCreditSchedule sched_credit;
        SysctlCredit2Schedule sched_credit2;
    } u;
};
static_assert(layout<SysctlSchedulerOp, 32>);

inline constexpr std::uint32_t XEN_GCOV_FORMAT_MAGIC = 0x58434f56;

inline constexpr std::uint32_t XEN_SYSCTL_COVERAGE_get_size = 0;
inline constexpr std::uint32_t XEN_SYSCTL_COVERAGE_read = 1;
inline constexpr std::uint32_t XEN_SYSCTL_COVERAGE_reset = 2;

struct SysctlCoverageOp {
    std::uint32_t cmd;
    std::uint32_t size;
    Handle<char> buffer;
};
static_assert(exact_layout<SysctlCoverageOp, 16>);

inline constexpr std::uint32_t XEN_SYSCTL_PSR_CMT_get_total_rmid = 0;
inline constexpr std::uint32_t XEN_SYSCTL_PSR_CMT_get_l3_upscaling_factor = 1;
inline constexpr std::uint32_t XEN_SYSCTL_PSR_CMT_get_l3_cache_size = 2;
inline constexpr std::uint32_t XEN_SYSCTL_PSR_CMT_enabled = 3;
inline constexpr std::uint32_t XEN_SYSCTL_PSR_CMT_get_l3_event_mask = 4;

struct SysctlPsrCmtOp {
    std::uint32_t cmd;
    std::uint32_t flags;
    union {
        std::uint64_t data;
        struct {
            std::uint32_t cpu;
            std::uint32_t rsvd;
        } l3_cache;
    } u;
};
static_assert(exact_layout<SysctlPsrCmtOp, 16>);

inline constexpr std::uint32_t XEN_INVALID_DEV = 0xfffffffe;

struct SysctlPciTopoInfo {
    std::uint32_t num_devs;
    std::uint32_t _pad;
    Handle<PhysdevPciDevice> devs;
    Handle<std::uint32_t> nodes;
};
static_assert(exact_layout<SysctlPciTopoInfo, 24>);

inline constexpr std::uint32_t XEN_SYSCTL_PSR_get_l3_info = 0;
inline constexpr std::uint32_t XEN_SYSCTL_PSR_get_l2_info = 1;
inline constexpr std::uint32_t XEN_SYSCTL_PSR_get_mba_info = 2;
inline constexpr std::uint32_t XEN_SYSCTL_PSR_CAT_L3_CDP = 1u << 0;
inline constexpr std::uint32_t XEN_SYSCTL_PSR_MBA_LINEAR = 1u << 0;

struct SysctlPsrAlloc {
    std::uint32_t cmd;
    std::uint32_t target;
    union {
        struct {
            std::uint32_t cbm_len;
            std::uint32_t cos_max;
            std::uint32_t flags;
        } cat_info;
        struct {
            std::uint32_t thrtl_max;
            std::uint32_t cos_max;
            std::uint32_t flags;
        } mba_info;
    } u;
};
static_assert(exact_layout<SysctlPsrAlloc, 20>);

inline constexpr std::uint64_t XEN_SYSCTL_CPU_LEVELCAP_faulting = std::uint64_t{1} << 0;
inline constexpr std::uint64_t XEN_SYSCTL_CPU_LEVELCAP_ecx = std::uint64_t{1} << 1;
inline constexpr std::uint64_t XEN_SYSCTL_CPU_LEVELCAP_edx = std::uint64_t{1} << 2;
inline constexpr std::uint64_t XEN_SYSCTL_CPU_LEVELCAP_extd_ecx = std::uint64_t{1} << 3;
inline constexpr std::uint64_t XEN_SYSCTL_CPU_LEVELCAP_extd_edx = std::uint64_t{1} << 4;
inline constexpr std::uint64_t XEN_SYSCTL_CPU_LEVELCAP_xsave_eax = std::uint64_t{1} << 5;
inline constexpr std::uint64_t XEN_SYSCTL_CPU_LEVELCAP_thermal_ecx = std::uint64_t{1} << 6;
inline constexpr std::uint64_t XEN_SYSCTL_CPU_LEVELCAP_l7s0_eax = std::uint64_t{1} << 7;
inline constexpr std::uint64_t XEN_SYSCTL_CPU_LEVELCAP_l7s0_ebx = std::uint64_t{1} << 8;

struct SysctlCpuLevellingCaps {
    std::uint32_t caps;
};
static_assert(exact_layout<SysctlCpuLevellingCaps, 4>);

inline constexpr std::uint32_t XEN_SYSCTL_cpu_featureset_raw = 0;
inline constexpr std::uint32_t XEN_SYSCTL_cpu_featureset_host = 1;
inline constexpr std::uint32_t XEN_SYSCTL_cpu_featureset_pv = 2;
inline constexpr std::uint32_t XEN_SYSCTL_cpu_featureset_hvm = 3;
inline constexpr std::uint32_t XEN_SYSCTL_cpu_featureset_pv_max = 4;
inline constexpr std::uint32_t XEN_SYSCTL_cpu_featureset_hvm_max = 5;

struct SysctlCpuFeatureset {
    std::uint32_t index;
    std::uint32_t nr_features;
    Handle<std::uint32_t> features;
};
static_assert(exact_layout<SysctlCpuFeatureset, 16>);

inline constexpr std::uint32_t LIVEPATCH_PAYLOAD_VERSION = 2;

inline constexpr std::uint32_t XEN_LIVEPATCH_NAME_SIZE = 128;

struct LivepatchName {
    Handle<char> name;
    std::uint16_t size;
    std::uint16_t pad[3];
};
static_assert(exact_layout<LivepatchName, 16>);

inline constexpr std::uint32_t XEN_SYSCTL_LIVEPATCH_UPLOAD = 0;

struct SysctlLivepatchUpload {
    LivepatchName name;
    std::uint64_t size;
    Handle<std::uint8_t> payload;
};
static_assert(exact_layout<SysctlLivepatchUpload, 32>);

inline constexpr std::uint32_t XEN_SYSCTL_LIVEPATCH_GET = 1;

inline constexpr std::uint32_t LIVEPATCH_STATE_CHECKED = 1;
inline constexpr std::uint32_t LIVEPATCH_STATE_APPLIED = 2;

struct LivepatchStatus {
    std::uint32_t state;
    std::int32_t rc;
};
static_assert(exact_layout<LivepatchStatus, 8>);

struct SysctlLivepatchGet {
    LivepatchName name;
    LivepatchStatus status;
};
static_assert(exact_layout<SysctlLivepatchGet, 24>);

inline constexpr std::uint32_t XEN_SYSCTL_LIVEPATCH_LIST = 2;

struct SysctlLivepatchList {
    std::uint32_t version;
    std::uint32_t idx;
    std::uint32_t nr;
    std::uint32_t pad;
    std::uint32_t name_total_size;
    std::uint32_t metadata_total_size;
    Handle<LivepatchStatus> status;
    Handle<char> name;
    Handle<std::uint32_t> len;
    Handle<char> metadata;
    Handle<std::uint32_t> metadata_len;
};
static_assert(exact_layout<SysctlLivepatchList, 64>);

inline constexpr std::uint32_t XEN_SYSCTL_LIVEPATCH_ACTION = 3;

inline constexpr std::uint32_t LIVEPATCH_ACTION_UNLOAD = 1;
inline constexpr std::uint32_t LIVEPATCH_ACTION_REVERT = 2;
inline constexpr std::uint32_t LIVEPATCH_ACTION_APPLY = 3;
inline constexpr std::uint32_t LIVEPATCH_ACTION_REPLACE = 4;
inline constexpr std::uint32_t LIVEPATCH_ACTION_APPLY_NODEPS = 1u << 0;

struct SysctlLivepatchAction {
    LivepatchName name;
    std::uint32_t cmd;
    std::uint32_t timeout;
    std::uint32_t flags;
    std::uint32_t pad;
};
static_assert(exact_layout<SysctlLivepatchAction, 32>);

struct SysctlLivepatchOp {
    std::uint32_t cmd;
    std::uint32_t pad;
    union {
        SysctlLivepatchUpload upload;
        SysctlLivepatchList list;
        SysctlLivepatchGet get;
        SysctlLivepatchAction action;
    } u;
};
static_assert(layout<SysctlLivepatchOp, 72>);

inline constexpr std::uint32_t XEN_SYSCTL_cpu_policy_raw = 0;
inline constexpr std::uint32_t XEN_SYSCTL_cpu_policy_host = 1;
inline constexpr std::uint32_t XEN_SYSCTL_cpu_policy_pv_max = 2;
inline constexpr std::uint32_t XEN_SYSCTL_cpu_policy_hvm_max = 3;
inline constexpr std::uint32_t XEN_SYSCTL_cpu_policy_pv_default = 4;
inline constexpr std::uint32_t XEN_SYSCTL_cpu_policy_hvm_default = 5;

struct SysctlCpuPolicy {
    std::uint32_t index;
    std::uint32_t nr_leaves;
    std::uint32_t nr_msrs;
    std::uint32_t _rsvd;
    Handle<CpuidLeaf> leaves;
    Handle<MsrEntry> msrs;
};
static_assert(exact_layout<SysctlCpuPolicy, 32>);

}  // namespace xen
