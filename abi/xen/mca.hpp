// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_mca: machine checks seen from dom0.
#pragma once

#include "abi/xen/basic.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr auto HYPERVISOR_mca = HYPERVISOR_arch_0;

inline constexpr std::uint32_t XEN_MCA_INTERFACE_VERSION = 0x01ecc003;

inline constexpr std::uint32_t XEN_MC_NONURGENT = 0x0001;
inline constexpr std::uint32_t XEN_MC_URGENT = 0x0002;
inline constexpr std::uint32_t XEN_MC_ACK = 0x0004;
inline constexpr std::uint32_t XEN_MC_OK = 0x0;
inline constexpr std::uint32_t XEN_MC_FETCHFAILED = 0x1;
inline constexpr std::uint32_t XEN_MC_NODATA = 0x2;
inline constexpr std::uint32_t XEN_MC_NOMATCH = 0x4;
inline constexpr std::uint32_t XEN_MC_CANNOTHANDLE = 0x8;
inline constexpr std::uint32_t XEN_MC_NOTDELIVERED = 0x10;
inline constexpr std::uint32_t XEN_MC_VCPUID_INVALID = 0xffff;

inline constexpr auto VIRQ_MCA = VIRQ_ARCH_0;

inline constexpr std::uint32_t MC_TYPE_GLOBAL = 0;
inline constexpr std::uint32_t MC_TYPE_BANK = 1;
inline constexpr std::uint32_t MC_TYPE_EXTENDED = 2;
inline constexpr std::uint32_t MC_TYPE_RECOVERY = 3;

struct McinfoCommon {
    std::uint16_t type;
    std::uint16_t size;
};
static_assert(exact_layout<McinfoCommon, 4>);

inline constexpr std::uint32_t MC_FLAG_CORRECTABLE = 1u << 0;
inline constexpr std::uint32_t MC_FLAG_UNCORRECTABLE = 1u << 1;
inline constexpr std::uint32_t MC_FLAG_RECOVERABLE = 1u << 2;
inline constexpr std::uint32_t MC_FLAG_POLLED = 1u << 3;
inline constexpr std::uint32_t MC_FLAG_RESET = 1u << 4;
inline constexpr std::uint32_t MC_FLAG_CMCI = 1u << 5;
inline constexpr std::uint32_t MC_FLAG_MCE = 1u << 6;

struct McinfoGlobal {
    McinfoCommon common;
    std::uint16_t mc_domid;
    std::uint16_t mc_vcpuid;
    std::uint32_t mc_socketid;
    std::uint16_t mc_coreid;
    std::uint16_t mc_core_threadid;
    std::uint32_t mc_apicid;
    std::uint32_t mc_flags;
    std::uint64_t mc_gstatus;
};
static_assert(exact_layout<McinfoGlobal, 32>);

struct McinfoBank {
    McinfoCommon common;
    std::uint16_t mc_bank;
    std::uint16_t mc_domid;
    std::uint64_t mc_status;
    std::uint64_t mc_addr;
    std::uint64_t mc_misc;
    std::uint64_t mc_ctrl2;
    std::uint64_t mc_tsc;
};
static_assert(exact_layout<McinfoBank, 48>);

struct McinfoMsr {
    std::uint64_t reg;
    std::uint64_t value;
};
static_assert(exact_layout<McinfoMsr, 16>);

struct McinfoExtended {
    McinfoCommon common;
    std::uint32_t mc_msrs;
    McinfoMsr mc_msr[32];
};
static_assert(exact_layout<McinfoExtended, 520>);

inline constexpr std::uint32_t REC_ACTION_RECOVERED = 0x1;
inline constexpr std::uint32_t REC_ACTION_NONE = 0x2;
inline constexpr std::uint32_t REC_ACTION_NEED_RESET = 0x4;

inline constexpr std::uint32_t MC_ACTION_PAGE_OFFLINE = 0x1;
inline constexpr std::uint32_t MC_ACTION_CPU_OFFLINE = 0x2;
inline constexpr std::uint32_t MC_ACTION_CACHE_SHRINK = 0x4;

struct PageOfflineAction {
    std::uint64_t mfn;
    std::uint64_t status;
};
static_assert(exact_layout<PageOfflineAction, 16>);

struct CpuOfflineAction {
    std::uint32_t mc_socketid;
    std::uint16_t mc_coreid;
    std::uint16_t mc_core_threadid;
};
static_assert(exact_layout<CpuOfflineAction, 8>);

inline constexpr std::uint32_t MAX_UNION_SIZE = 16;

struct McinfoRecovery {
    McinfoCommon common;
    std::uint16_t mc_bank;
    std::uint8_t action_flags;
    std::uint8_t action_types;
    union {
        PageOfflineAction page_retire;
        CpuOfflineAction cpu_offline;
        std::uint8_t pad[16];
    } action_info;
};
static_assert(layout<McinfoRecovery, 24>);

inline constexpr std::uint32_t MCINFO_HYPERCALLSIZE = 1024;
inline constexpr std::uint32_t MCINFO_MAXSIZE = 768;
inline constexpr std::uint32_t MCINFO_FLAGS_UNCOMPLETE = 0x1;

struct McInfo {
    std::uint32_t mi_nentries;
    std::uint32_t flags;
    std::uint64_t mi_data[95];
};
static_assert(exact_layout<McInfo, 768>);

inline constexpr std::uint32_t MC_NCAPS = 7;
inline constexpr std::uint32_t MC_CAPS_STD_EDX = 0;
inline constexpr std::uint32_t MC_CAPS_AMD_EDX = 1;
inline constexpr std::uint32_t MC_CAPS_TM = 2;
inline constexpr std::uint32_t MC_CAPS_LINUX = 3;
inline constexpr std::uint32_t MC_CAPS_STD_ECX = 4;
inline constexpr std::uint32_t MC_CAPS_VIA = 5;
inline constexpr std::uint32_t MC_CAPS_AMD_ECX = 6;

struct McinfoLogicalCpu {
    std::uint32_t mc_cpunr;
    std::uint32_t mc_chipid;
    std::uint16_t mc_coreid;
    std::uint16_t mc_threadid;
    std::uint32_t mc_apicid;
    std::uint32_t mc_clusterid;
    std::uint32_t mc_ncores;
    std::uint32_t mc_ncores_active;
    std::uint32_t mc_nthreads;
    std::int32_t mc_cpuid_level;
    std::uint32_t mc_family;
    std::uint32_t mc_vendor;
    std::uint32_t mc_model;
    std::uint32_t mc_step;
    char mc_vendorid[16];
    char mc_brandid[64];
    std::uint32_t mc_cpu_caps[7];
    std::uint32_t mc_cache_size;
    std::uint32_t mc_cache_alignment;
    std::int32_t mc_nmsrvals;
    std::uint32_t _pad;
    McinfoMsr mc_msrvalues[8];
};
static_assert(exact_layout<McinfoLogicalCpu, 304>);

inline constexpr std::uint32_t XEN_MC_fetch = 1;

struct McFetch {
    std::uint32_t flags;
    std::uint32_t _pad0;
    std::uint64_t fetch_id;
    Handle<McInfo> data;
};
static_assert(exact_layout<McFetch, 24>);

inline constexpr std::uint32_t XEN_MC_notifydomain = 2;

struct McNotifydomain {
    std::uint16_t mc_domid;
    std::uint16_t mc_vcpuid;
    std::uint32_t flags;
};
static_assert(exact_layout<McNotifydomain, 8>);

inline constexpr std::uint32_t XEN_MC_physcpuinfo = 3;

struct McPhyscpuinfo {
    std::uint32_t ncpus;
    std::uint32_t _pad0;
    Handle<McinfoLogicalCpu> info;
};
static_assert(exact_layout<McPhyscpuinfo, 16>);

inline constexpr std::uint32_t XEN_MC_msrinject = 4;

inline constexpr std::uint32_t MC_MSRINJ_MAXMSRS = 8;

struct McMsrinject {
    std::uint32_t mcinj_cpunr;
    std::uint32_t mcinj_flags;
    std::uint32_t mcinj_count;
    domid_t mcinj_domid;
    std::uint16_t _pad0;
    McinfoMsr mcinj_msr[8];
};
static_assert(exact_layout<McMsrinject, 144>);

inline constexpr std::uint32_t MC_MSRINJ_F_INTERPOSE = 0x1;
inline constexpr std::uint32_t MC_MSRINJ_F_GPADDR = 0x2;

inline constexpr std::uint32_t XEN_MC_mceinject = 5;

struct McMceinject {
    std::uint32_t mceinj_cpunr;
};
static_assert(exact_layout<McMceinject, 4>);

inline constexpr std::uint32_t XEN_MC_inject_v2 = 6;
inline constexpr std::uint32_t XEN_MC_INJECT_TYPE_MASK = 0x7;
inline constexpr std::uint32_t XEN_MC_INJECT_TYPE_MCE = 0x0;
inline constexpr std::uint32_t XEN_MC_INJECT_TYPE_CMCI = 0x1;
inline constexpr std::uint32_t XEN_MC_INJECT_TYPE_LMCE = 0x2;
inline constexpr std::uint32_t XEN_MC_INJECT_CPU_BROADCAST = 0x8;

struct McInjectV2 {
    std::uint32_t flags;
    std::uint32_t _pad;
    XenctlBitmap cpumap;
};
static_assert(exact_layout<McInjectV2, 24>);

struct Mc {
    std::uint32_t cmd;
    std::uint32_t interface_version;
    union {
        McFetch mc_fetch;
        McNotifydomain mc_notifydomain;
        McPhyscpuinfo mc_physcpuinfo;
        McMsrinject mc_msrinject;
        McMceinject mc_mceinject;
        McInjectV2 mc_inject_v2;
    } u;
};
static_assert(layout<Mc, 152>);

}  // namespace xen
