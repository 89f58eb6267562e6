// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_domctl, interface version 0x15: operation numbers and the argument block.
#pragma once

#include "abi/xen/domctl_device.hpp"
#include "abi/xen/grant_table.hpp"
#include "abi/xen/memory.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t XEN_DOMCTL_vmtrace_set_option = 6;

inline constexpr std::uint32_t XEN_DOMCTL_createdomain = 1;

inline constexpr std::uint32_t XEN_DOMCTL_destroydomain = 2;

inline constexpr std::uint32_t XEN_DOMCTL_pausedomain = 3;

inline constexpr std::uint32_t XEN_DOMCTL_unpausedomain = 4;

inline constexpr std::uint32_t XEN_DOMCTL_getdomaininfo = 5;

inline constexpr std::uint32_t XEN_DOMCTL_setvcpuaffinity = 9;

inline constexpr std::uint32_t XEN_DOMCTL_shadow_op = 10;

inline constexpr std::uint32_t XEN_DOMCTL_max_mem = 11;

inline constexpr std::uint32_t XEN_DOMCTL_setvcpucontext = 12;

inline constexpr std::uint32_t XEN_DOMCTL_getvcpucontext = 13;

inline constexpr std::uint32_t XEN_DOMCTL_getvcpuinfo = 14;

inline constexpr std::uint32_t XEN_DOMCTL_max_vcpus = 15;

inline constexpr std::uint32_t XEN_DOMCTL_scheduler_op = 16;

inline constexpr std::uint32_t XEN_DOMCTL_setdomainhandle = 17;

inline constexpr std::uint32_t XEN_DOMCTL_setdebugging = 18;

inline constexpr std::uint32_t XEN_DOMCTL_irq_permission = 19;

inline constexpr std::uint32_t XEN_DOMCTL_iomem_permission = 20;

inline constexpr std::uint32_t XEN_DOMCTL_ioport_permission = 21;

inline constexpr std::uint32_t XEN_DOMCTL_hypercall_init = 22;

inline constexpr std::uint32_t XEN_DOMCTL_settimeoffset = 24;

inline constexpr std::uint32_t XEN_DOMCTL_getvcpuaffinity = 25;

inline constexpr std::uint32_t XEN_DOMCTL_real_mode_area = 26;

inline constexpr std::uint32_t XEN_DOMCTL_resumedomain = 27;

inline constexpr std::uint32_t XEN_DOMCTL_sendtrigger = 28;

inline constexpr std::uint32_t XEN_DOMCTL_subscribe = 29;

inline constexpr std::uint32_t XEN_DOMCTL_gethvmcontext = 33;

inline constexpr std::uint32_t XEN_DOMCTL_sethvmcontext = 34;

inline constexpr std::uint32_t XEN_DOMCTL_set_address_size = 35;

inline constexpr std::uint32_t XEN_DOMCTL_get_address_size = 36;

inline constexpr std::uint32_t XEN_DOMCTL_assign_device = 37;

inline constexpr std::uint32_t XEN_DOMCTL_bind_pt_irq = 38;

inline constexpr std::uint32_t XEN_DOMCTL_memory_mapping = 39;

inline constexpr std::uint32_t XEN_DOMCTL_ioport_mapping = 40;

inline constexpr std::uint32_t XEN_DOMCTL_set_ext_vcpucontext = 42;

inline constexpr std::uint32_t XEN_DOMCTL_get_ext_vcpucontext = 43;

inline constexpr std::uint32_t XEN_DOMCTL_set_opt_feature = 44;

inline constexpr std::uint32_t XEN_DOMCTL_test_assign_device = 45;

inline constexpr std::uint32_t XEN_DOMCTL_set_target = 46;

inline constexpr std::uint32_t XEN_DOMCTL_deassign_device = 47;

inline constexpr std::uint32_t XEN_DOMCTL_unbind_pt_irq = 48;

inline constexpr std::uint32_t XEN_DOMCTL_get_device_group = 50;

inline constexpr std::uint32_t XEN_DOMCTL_debug_op = 54;

inline constexpr std::uint32_t XEN_DOMCTL_gethvmcontext_partial = 55;

inline constexpr std::uint32_t XEN_DOMCTL_vm_event_op = 56;

inline constexpr std::uint32_t XEN_DOMCTL_mem_sharing_op = 57;

inline constexpr std::uint32_t XEN_DOMCTL_gettscinfo = 59;

inline constexpr std::uint32_t XEN_DOMCTL_settscinfo = 60;

inline constexpr std::uint32_t XEN_DOMCTL_getpageframeinfo3 = 61;

inline constexpr std::uint32_t XEN_DOMCTL_setvcpuextstate = 62;

inline constexpr std::uint32_t XEN_DOMCTL_getvcpuextstate = 63;

inline constexpr std::uint32_t XEN_DOMCTL_set_access_required = 64;

inline constexpr std::uint32_t XEN_DOMCTL_audit_p2m = 65;

inline constexpr std::uint32_t XEN_DOMCTL_set_virq_handler = 66;
inline constexpr std::uint32_t XEN_DOMCTL_set_broken_page_p2m = 67;

inline constexpr std::uint32_t XEN_DOMCTL_setnodeaffinity = 68;

inline constexpr std::uint32_t XEN_DOMCTL_getnodeaffinity = 69;

inline constexpr std::uint32_t XEN_DOMCTL_cacheflush = 71;

inline constexpr std::uint32_t XEN_DOMCTL_get_vcpu_msrs = 72;

inline constexpr std::uint32_t XEN_DOMCTL_set_vcpu_msrs = 73;

inline constexpr std::uint32_t XEN_DOMCTL_setvnumainfo = 74;

inline constexpr std::uint32_t XEN_DOMCTL_psr_cmt_op = 75;

inline constexpr std::uint32_t XEN_DOMCTL_monitor_op = 77;

inline constexpr std::uint32_t XEN_DOMCTL_psr_alloc = 78;

inline constexpr std::uint32_t XEN_DOMCTL_soft_reset = 79;

inline constexpr std::uint32_t XEN_DOMCTL_vuart_op = 81;

inline constexpr std::uint32_t XEN_DOMCTL_get_cpu_policy = 82;

inline constexpr std::uint32_t XEN_DOMCTL_set_cpu_policy = 83;

inline constexpr std::uint32_t XEN_DOMCTL_vmtrace_op = 84;

inline constexpr std::uint32_t XEN_DOMCTL_get_paging_mempool_size = 85;

inline constexpr std::uint32_t XEN_DOMCTL_set_paging_mempool_size = 86;

inline constexpr std::uint32_t XEN_DOMCTL_gdbsx_guestmemio = 1000;
inline constexpr std::uint32_t XEN_DOMCTL_gdbsx_pausevcpu = 1001;
inline constexpr std::uint32_t XEN_DOMCTL_gdbsx_unpausevcpu = 1002;
inline constexpr std::uint32_t XEN_DOMCTL_gdbsx_domstatus = 1003;

/// Argument of HYPERVISOR_domctl. `domain` names the target; u holds the operation's own structure.
struct Domctl {
    std::uint32_t cmd;
    std::uint32_t interface_version;
    domid_t domain;
    std::uint16_t _pad[3];
    union {
        DomctlCreateDomain createdomain;
        DomctlGetDomainInfo getdomaininfo;
        DomctlGetPageFrameInfo3 getpageframeinfo3;
        DomctlNodeAffinity nodeaffinity;
        DomctlVcpuAffinity vcpuaffinity;
        DomctlShadowOp shadow_op;
        DomctlMaxMem max_mem;
        DomctlVcpuContext vcpucontext;
        DomctlGetVcpuInfo getvcpuinfo;
        DomctlMaxVcpus max_vcpus;
        DomctlSchedulerOp scheduler_op;
        DomctlSetDomainHandle setdomainhandle;
        DomctlSetDebugging setdebugging;
        DomctlIrqPermission irq_permission;
        DomctlIoMemPermission iomem_permission;
        DomctlIoPortPermission ioport_permission;
        DomctlHypercallInit hypercall_init;
        DomctlSetTimeOffset settimeoffset;
        DomctlTscInfo tsc_info;
        DomctlHvmContext hvmcontext;
        DomctlHvmContextPartial hvmcontext_partial;
        DomctlAddressSize address_size;
        DomctlSendTrigger sendtrigger;
        DomctlGetDeviceGroup get_device_group;
        DomctlAssignDevice assign_device;
        DomctlBindPtIrq bind_pt_irq;
        DomctlMemoryMapping memory_mapping;
        DomctlIoPortMapping ioport_mapping;
        DomctlExtVcpuContext ext_vcpucontext;
        DomctlSetTarget set_target;
        DomctlSubscribe subscribe;
        DomctlDebugOp debug_op;
        DomctlVmEventOp vm_event_op;
        DomctlMemSharingOp mem_sharing_op;
        DomctlCpuPolicy cpu_policy;
        DomctlVcpuExtState vcpuextstate;
        DomctlVcpuMsrs vcpu_msrs;
        DomctlSetAccessRequired access_required;
        DomctlAuditP2m audit_p2m;
        DomctlSetVirqHandler set_virq_handler;
        DomctlGdbsxMemIo gdbsx_guest_memio;
        DomctlSetBrokenPageP2m set_broken_page_p2m;
        DomctlCacheFlush cacheflush;
        DomctlGdbsxPauseUnpauseVcpu gdbsx_pauseunp_vcpu;
        DomctlGdbsxDomStatus gdbsx_domstatus;
        DomctlVnuma vnuma;
        DomctlPsrCmtOp psr_cmt_op;
        DomctlMonitorOp monitor_op;
        DomctlPsrAlloc psr_alloc;
        DomctlVuartOp vuart_op;
        DomctlVmtraceOp vmtrace_op;
        DomctlPagingMempool paging_mempool;
        std::uint8_t pad[128];
    } u;
};
static_assert(layout<Domctl, 144>);

}  // namespace xen
