// SPDX-License-Identifier: Apache-2.0
/// Arguments of HYPERVISOR_domctl that shape a domain: creation, CPUs, memory, scheduling, permissions.
#pragma once

#include "abi/xen/basic.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t XEN_DOMCTL_INTERFACE_VERSION = 0x00000015;

inline constexpr std::uint32_t XEN_DOMCTL_CDF_hvm = 1u << 0;
inline constexpr std::uint32_t XEN_DOMCTL_CDF_hap = 1u << 1;
inline constexpr std::uint32_t XEN_DOMCTL_CDF_s3_integrity = 1u << 2;
inline constexpr std::uint32_t XEN_DOMCTL_CDF_oos_off = 1u << 3;
inline constexpr std::uint32_t XEN_DOMCTL_CDF_xs_domain = 1u << 4;
inline constexpr std::uint32_t XEN_DOMCTL_CDF_iommu = 1u << 5;
inline constexpr std::uint32_t XEN_DOMCTL_CDF_nested_virt = 1u << 6;
inline constexpr std::uint32_t XEN_DOMCTL_CDF_vpmu = 1u << 7;
inline constexpr auto XEN_DOMCTL_CDF_MAX = XEN_DOMCTL_CDF_vpmu;

inline constexpr std::uint32_t XEN_DOMCTL_IOMMU_no_sharept = 1u << 0;
inline constexpr auto XEN_DOMCTL_IOMMU_MAX = XEN_DOMCTL_IOMMU_no_sharept;

inline constexpr std::uint32_t XEN_DOMCTL_GRANT_version_mask = 0xf;

/// XEN_DOMCTL_createdomain; the new id comes back in Domctl::domain.
struct DomctlCreateDomain {
    std::uint32_t ssidref;
    DomainHandle handle;
    std::uint32_t flags;
    std::uint32_t iommu_opts;
    std::uint32_t max_vcpus;
    std::uint32_t max_evtchn_port;
    std::int32_t max_grant_frames;
    std::int32_t max_maptrack_frames;
    std::uint32_t grant_opts;
    std::uint32_t vmtrace_size;
    std::uint32_t cpupool_id;
    ArchDomainConfig arch;
};
static_assert(exact_layout<DomctlCreateDomain, 64>);

inline constexpr std::uint32_t XEN_DOMINF_dying = 1u << 0;
inline constexpr std::uint32_t XEN_DOMINF_hvm_guest = 1u << 1;
inline constexpr std::uint32_t XEN_DOMINF_shutdown = 1u << 2;
inline constexpr std::uint32_t XEN_DOMINF_paused = 1u << 3;
inline constexpr std::uint32_t XEN_DOMINF_blocked = 1u << 4;
inline constexpr std::uint32_t XEN_DOMINF_running = 1u << 5;
inline constexpr std::uint32_t XEN_DOMINF_debugged = 1u << 6;
inline constexpr std::uint32_t XEN_DOMINF_xs_domain = 1u << 7;
inline constexpr std::uint32_t XEN_DOMINF_hap = 1u << 8;
inline constexpr std::uint32_t XEN_DOMINF_shutdownmask = 255;
inline constexpr std::uint32_t XEN_DOMINF_shutdownshift = 16;

inline constexpr std::uint32_t XEN_INVALID_MAX_VCPU_ID = 0xffffffff;

/// A domain's state: flags are XEN_DOMINF_*, with the shutdown reason above XEN_DOMINF_shutdownshift; cpu_time in
/// ns.
struct DomctlGetDomainInfo {
    domid_t domain;
    std::uint16_t pad1;
    std::uint32_t flags;
    std::uint64_t tot_pages;
    std::uint64_t max_pages;
    std::uint64_t outstanding_pages;
    std::uint64_t shr_pages;
    std::uint64_t paged_pages;
    std::uint64_t shared_info_frame;
    std::uint64_t cpu_time;
    std::uint32_t nr_online_vcpus;
    std::uint32_t max_vcpu_id;
    std::uint32_t ssidref;
    DomainHandle handle;
    std::uint32_t cpupool;
    std::uint8_t gpaddr_bits;
    std::uint8_t pad2[7];
    ArchDomainConfig arch_config;
};
static_assert(exact_layout<DomctlGetDomainInfo, 112>);

inline constexpr std::uint32_t XEN_DOMCTL_PFINFO_LTAB_SHIFT = 28;
inline constexpr std::uint32_t XEN_DOMCTL_PFINFO_NOTAB = 0x0;
inline constexpr std::uint32_t XEN_DOMCTL_PFINFO_L1TAB = 0x10000000;
inline constexpr std::uint32_t XEN_DOMCTL_PFINFO_L2TAB = 0x20000000;
inline constexpr std::uint32_t XEN_DOMCTL_PFINFO_L3TAB = 0x30000000;
inline constexpr std::uint32_t XEN_DOMCTL_PFINFO_L4TAB = 0x40000000;
inline constexpr std::uint32_t XEN_DOMCTL_PFINFO_LTABTYPE_MASK = 0x70000000;
inline constexpr std::uint32_t XEN_DOMCTL_PFINFO_LPINTAB = 0x80000000;
inline constexpr std::uint32_t XEN_DOMCTL_PFINFO_XTAB = 0xf0000000;
inline constexpr std::uint32_t XEN_DOMCTL_PFINFO_XALLOC = 0xe0000000;
inline constexpr std::uint32_t XEN_DOMCTL_PFINFO_BROKEN = 0xd0000000;
inline constexpr std::uint32_t XEN_DOMCTL_PFINFO_LTAB_MASK = 0xf0000000;

/// Replaces frame numbers in the array by XEN_DOMCTL_PFINFO_* types.
struct DomctlGetPageFrameInfo3 {
    std::uint64_t num;
    Handle<xen_pfn_t> array;
};
static_assert(exact_layout<DomctlGetPageFrameInfo3, 16>);

inline constexpr std::uint32_t XEN_DOMCTL_SHADOW_OP_OFF = 0;
inline constexpr std::uint32_t XEN_DOMCTL_SHADOW_OP_ENABLE = 32;
inline constexpr std::uint32_t XEN_DOMCTL_SHADOW_OP_CLEAN = 11;
inline constexpr std::uint32_t XEN_DOMCTL_SHADOW_OP_PEEK = 12;
inline constexpr std::uint32_t XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION = 30;
inline constexpr std::uint32_t XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION = 31;
inline constexpr std::uint32_t XEN_DOMCTL_SHADOW_OP_ENABLE_TEST = 1;
inline constexpr std::uint32_t XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY = 2;
inline constexpr std::uint32_t XEN_DOMCTL_SHADOW_ENABLE_REFCOUNT = 1u << 1;
inline constexpr std::uint32_t XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY = 1u << 2;
inline constexpr std::uint32_t XEN_DOMCTL_SHADOW_ENABLE_TRANSLATE = 1u << 3;
inline constexpr std::uint32_t XEN_DOMCTL_SHADOW_ENABLE_EXTERNAL = 1u << 4;
inline constexpr std::uint32_t XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL = 1u << 0;

struct DomctlShadowOpStats {
    std::uint32_t fault_count;
    std::uint32_t dirty_count;
};
static_assert(exact_layout<DomctlShadowOpStats, 8>);

/// Log-dirty and paging pools; pages counts bits of dirty_bitmap.
struct DomctlShadowOp {
    std::uint32_t op;
    std::uint32_t mode;
    std::uint32_t mb;
    std::uint32_t _pad;
    Handle<std::uint8_t> dirty_bitmap;
    std::uint64_t pages;
    DomctlShadowOpStats stats;
};
static_assert(exact_layout<DomctlShadowOp, 40>);

/// The most a domain may own, in KiB.
struct DomctlMaxMem {
    std::uint64_t max_memkb;
};
static_assert(exact_layout<DomctlMaxMem, 8>);

/// Reads or writes a whole vCPU.
struct DomctlVcpuContext {
    std::uint32_t vcpu;
    std::uint32_t _pad;
    Handle<VcpuGuestContext> ctxt;
};
static_assert(exact_layout<DomctlVcpuContext, 16>);

struct DomctlGetVcpuInfo {
    std::uint32_t vcpu;
    std::uint8_t online;
    std::uint8_t blocked;
    std::uint8_t running;
    std::uint8_t _pad;
    std::uint64_t cpu_time;
    std::uint32_t cpu;
    std::uint32_t _pad1;
};
static_assert(exact_layout<DomctlGetVcpuInfo, 24>);

struct DomctlNodeAffinity {
    XenctlBitmap nodemap;
};
static_assert(exact_layout<DomctlNodeAffinity, 16>);

inline constexpr std::uint32_t XEN_VCPUAFFINITY_HARD = 1u << 0;
inline constexpr std::uint32_t XEN_VCPUAFFINITY_SOFT = 1u << 1;
inline constexpr std::uint32_t XEN_VCPUAFFINITY_FORCE = 1u << 2;

/// Hard and soft CPU affinity; flags say which of the two.
struct DomctlVcpuAffinity {
    std::uint32_t vcpu;
    std::uint32_t flags;
    XenctlBitmap cpumap_hard;
    XenctlBitmap cpumap_soft;
};
static_assert(exact_layout<DomctlVcpuAffinity, 40>);

struct DomctlMaxVcpus {
    std::uint32_t max;
};
static_assert(exact_layout<DomctlMaxVcpus, 4>);

inline constexpr std::uint32_t XEN_SCHEDULER_CREDIT = 5;
inline constexpr std::uint32_t XEN_SCHEDULER_CREDIT2 = 6;
inline constexpr std::uint32_t XEN_SCHEDULER_ARINC653 = 7;
inline constexpr std::uint32_t XEN_SCHEDULER_RTDS = 8;
inline constexpr std::uint32_t XEN_SCHEDULER_NULL = 9;

struct DomctlSchedCredit {
    std::uint16_t weight;
    std::uint16_t cap;
};
static_assert(exact_layout<DomctlSchedCredit, 4>);

struct DomctlSchedCredit2 {
    std::uint16_t weight;
    std::uint16_t cap;
};
static_assert(exact_layout<DomctlSchedCredit2, 4>);

inline constexpr std::uint32_t XEN_DOMCTL_SCHEDRT_extra = 1u << 0;

struct DomctlSchedRtds {
    std::uint32_t period;
    std::uint32_t budget;
    std::uint32_t flags;
};
static_assert(exact_layout<DomctlSchedRtds, 12>);

struct DomctlSchedParamVcpu {
    union {
        DomctlSchedCredit credit;
        DomctlSchedCredit2 credit2;
        DomctlSchedRtds rtds;
    } u;
    std::uint32_t vcpuid;
};
static_assert(layout<DomctlSchedParamVcpu, 16>);

inline constexpr std::uint32_t XEN_DOMCTL_SCHEDOP_putinfo = 0;
inline constexpr std::uint32_t XEN_DOMCTL_SCHEDOP_getinfo = 1;
inline constexpr std::uint32_t XEN_DOMCTL_SCHEDOP_putvcpuinfo = 2;
inline constexpr std::uint32_t XEN_DOMCTL_SCHEDOP_getvcpuinfo = 3;

/// Reads or sets scheduling parameters of a domain or of its vCPUs.
struct DomctlSchedulerOp {
    std::uint32_t sched_id;
    std::uint32_t cmd;
    union {
        DomctlSchedCredit credit;
        DomctlSchedCredit2 credit2;
        DomctlSchedRtds rtds;
        struct {
            Handle<DomctlSchedParamVcpu> vcpus;
            std::uint32_t nr_vcpus;
            std::uint32_t padding;
        } v;
    } u;
};
static_assert(layout<DomctlSchedulerOp, 24>);

struct DomctlSetDomainHandle {
    DomainHandle handle;
};
static_assert(exact_layout<DomctlSetDomainHandle, 16>);

struct DomctlSetDebugging {
    std::uint8_t enable;
};
static_assert(exact_layout<DomctlSetDebugging, 1>);

struct DomctlIrqPermission {
    std::uint32_t pirq;
    std::uint8_t allow_access;
    std::uint8_t pad[3];
};
static_assert(exact_layout<DomctlIrqPermission, 8>);

struct DomctlIoMemPermission {
    std::uint64_t first_mfn;
    std::uint64_t nr_mfns;
    std::uint8_t allow_access;
    std::uint8_t _pad[7];
};
static_assert(exact_layout<DomctlIoMemPermission, 24>);

struct DomctlIoPortPermission {
    std::uint32_t first_port;
    std::uint32_t nr_ports;
    std::uint8_t allow_access;
    std::uint8_t _pad[3];
};
static_assert(exact_layout<DomctlIoPortPermission, 12>);

/// Fills the domain's hypercall page at this frame.
struct DomctlHypercallInit {
    std::uint64_t gmfn;
};
static_assert(exact_layout<DomctlHypercallInit, 8>);

struct DomctlSetTimeOffset {
    std::int64_t time_offset_seconds;
};
static_assert(exact_layout<DomctlSetTimeOffset, 8>);

struct DomctlHvmContext {
    std::uint32_t size;
    std::uint32_t _pad;
    Handle<std::uint8_t> buffer;
};
static_assert(exact_layout<DomctlHvmContext, 16>);

/// Guest word size in bits.
struct DomctlAddressSize {
    std::uint32_t size;
};
static_assert(exact_layout<DomctlAddressSize, 4>);

inline constexpr std::uint32_t XEN_DOMCTL_SENDTRIGGER_NMI = 0;
inline constexpr std::uint32_t XEN_DOMCTL_SENDTRIGGER_RESET = 1;
inline constexpr std::uint32_t XEN_DOMCTL_SENDTRIGGER_INIT = 2;
inline constexpr std::uint32_t XEN_DOMCTL_SENDTRIGGER_POWER = 3;
inline constexpr std::uint32_t XEN_DOMCTL_SENDTRIGGER_SLEEP = 4;

/// DomctlCreateDomain::grant_opts: the highest grant table version the domain may use.
constexpr std::uint32_t XEN_DOMCTL_GRANT_version(std::uint32_t version) noexcept {
    return version & XEN_DOMCTL_GRANT_version_mask;
}

}  // namespace xen
