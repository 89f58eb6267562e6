// SPDX-License-Identifier: Apache-2.0
/// Arguments of HYPERVISOR_domctl for devices, debugging, monitoring and extended state.
#pragma once

#include "abi/xen/domctl_domain.hpp"
#include "abi/xen/event_channel.hpp"
#include "abi/xen/hvm/save.hpp"
#include "abi/xen/memory.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

struct DomctlSendTrigger {
    std::uint32_t trigger;
    std::uint32_t vcpu;
};
static_assert(exact_layout<DomctlSendTrigger, 8>);

inline constexpr std::uint32_t XEN_DOMCTL_DEV_PCI = 0;
inline constexpr std::uint32_t XEN_DOMCTL_DEV_DT = 1;
inline constexpr std::uint32_t XEN_DOMCTL_DEV_RDM_RELAXED = 1;

struct DomctlAssignDevice {
    std::uint32_t dev;
    std::uint32_t flags;
    union {
        struct {
            std::uint32_t machine_sbdf;
        } pci;
        struct {
            std::uint32_t size;
            std::uint32_t _pad;
            Handle<char> path;
        } dt;
    } u;
};
static_assert(layout<DomctlAssignDevice, 24>);

struct DomctlGetDeviceGroup {
    std::uint32_t machine_sbdf;
    std::uint32_t max_sdevs;
    std::uint32_t num_sdevs;
    std::uint32_t _pad;
    Handle<std::uint32_t> sdev_array;
};
static_assert(exact_layout<DomctlGetDeviceGroup, 24>);

inline constexpr std::uint32_t PT_IRQ_TYPE_PCI = 0;
inline constexpr std::uint32_t PT_IRQ_TYPE_ISA = 1;
inline constexpr std::uint32_t PT_IRQ_TYPE_MSI = 2;
inline constexpr std::uint32_t PT_IRQ_TYPE_MSI_TRANSLATE = 3;
inline constexpr std::uint32_t PT_IRQ_TYPE_SPI = 4;

inline constexpr std::uint32_t XEN_DOMCTL_VMSI_X86_DEST_ID_MASK = 0x0000ff;
inline constexpr std::uint32_t XEN_DOMCTL_VMSI_X86_RH_MASK = 0x000100;
inline constexpr std::uint32_t XEN_DOMCTL_VMSI_X86_DM_MASK = 0x000200;
inline constexpr std::uint32_t XEN_DOMCTL_VMSI_X86_DELIV_MASK = 0x007000;
inline constexpr std::uint32_t XEN_DOMCTL_VMSI_X86_TRIG_MASK = 0x008000;
inline constexpr std::uint32_t XEN_DOMCTL_VMSI_X86_UNMASKED = 0x010000;

struct DomctlBindPtIrq {
    std::uint32_t machine_irq;
    std::uint32_t irq_type;
    union {
        struct {
            std::uint8_t isa_irq;
        } isa;
        struct {
            std::uint8_t bus;
            std::uint8_t device;
            std::uint8_t intx;
        } pci;
        struct {
            std::uint8_t gvec;
            std::uint8_t _pad[3];
            std::uint32_t gflags;
            std::uint64_t gtable;
        } msi;
        struct {
            std::uint16_t spi;
        } spi;
    } u;
};
static_assert(layout<DomctlBindPtIrq, 24>);

inline constexpr std::uint32_t DPCI_ADD_MAPPING = 1;
inline constexpr std::uint32_t DPCI_REMOVE_MAPPING = 0;

struct DomctlMemoryMapping {
    std::uint64_t first_gfn;
    std::uint64_t first_mfn;
    std::uint64_t nr_mfns;
    std::uint32_t add_mapping;
    std::uint32_t padding;
};
static_assert(exact_layout<DomctlMemoryMapping, 32>);

struct DomctlIoPortMapping {
    std::uint32_t first_gport;
    std::uint32_t first_mport;
    std::uint32_t nr_ports;
    std::uint32_t add_mapping;
};
static_assert(exact_layout<DomctlIoPortMapping, 16>);

inline constexpr std::uint32_t XEN_DOMCTL_MEM_CACHEATTR_UC = 0;
inline constexpr std::uint32_t XEN_DOMCTL_MEM_CACHEATTR_WC = 1;
inline constexpr std::uint32_t XEN_DOMCTL_MEM_CACHEATTR_WT = 4;
inline constexpr std::uint32_t XEN_DOMCTL_MEM_CACHEATTR_WP = 5;
inline constexpr std::uint32_t XEN_DOMCTL_MEM_CACHEATTR_WB = 6;
inline constexpr std::uint32_t XEN_DOMCTL_MEM_CACHEATTR_UCM = 7;

inline constexpr std::uint32_t XEN_DOMCTL_DELETE_MEM_CACHEATTR = 0xffffffff;

struct DomctlExtVcpuContext {
    std::uint32_t vcpu;
    std::uint32_t size;
    std::uint64_t syscall32_callback_eip;
    std::uint64_t sysenter_callback_eip;
    std::uint16_t syscall32_callback_cs;
    std::uint16_t sysenter_callback_cs;
    std::uint8_t syscall32_disables_events;
    std::uint8_t sysenter_disables_events;
    std::uint16_t _pad;
    union {
        std::uint64_t mcg_cap;
        HvmVmceVcpu vmce;
    };
};
static_assert(layout<DomctlExtVcpuContext, 64>);

struct DomctlSetTarget {
    domid_t target;
};
static_assert(exact_layout<DomctlSetTarget, 2>);

inline constexpr std::uint32_t XEN_CPUID_INPUT_UNUSED = 0xffffffff;

/// CPUID leaves and MSRs of a domain; err_* tell which entry was refused.
struct DomctlCpuPolicy {
    std::uint32_t nr_leaves;
    std::uint32_t nr_msrs;
    Handle<CpuidLeaf> leaves;
    Handle<MsrEntry> msrs;
    std::uint32_t err_leaf;
    std::uint32_t err_subleaf;
    std::uint32_t err_msr;
    std::uint32_t _pad;
};
static_assert(exact_layout<DomctlCpuPolicy, 40>);

struct DomctlSubscribe {
    std::uint32_t port;
};
static_assert(exact_layout<DomctlSubscribe, 4>);

inline constexpr std::uint32_t XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF = 0;
inline constexpr std::uint32_t XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON = 1;

struct DomctlDebugOp {
    std::uint32_t op;
    std::uint32_t vcpu;
};
static_assert(exact_layout<DomctlDebugOp, 8>);

struct DomctlHvmContextPartial {
    std::uint32_t type;
    std::uint32_t instance;
    std::uint64_t bufsz;
    Handle<std::uint8_t> buffer;
};
static_assert(exact_layout<DomctlHvmContextPartial, 24>);

/// How a domain sees the TSC: mode, frequency in kHz, incarnation.
struct DomctlTscInfo {
    std::uint32_t tsc_mode;
    std::uint32_t gtsc_khz;
    std::uint32_t incarnation;
    std::uint32_t pad;
    std::uint64_t elapsed_nsec;
};
static_assert(exact_layout<DomctlTscInfo, 24>);

struct DomctlGdbsxMemIo {
    std::uint64_t pgd3val;
    std::uint64_t gva;
    std::uint64_t uva;
    std::uint32_t len;
    std::uint8_t gwr;
    std::uint8_t _pad[3];
    std::uint32_t remain;
    std::uint32_t _pad1;
};
static_assert(exact_layout<DomctlGdbsxMemIo, 40>);

struct DomctlGdbsxPauseUnpauseVcpu {
    std::uint32_t vcpu;
};
static_assert(exact_layout<DomctlGdbsxPauseUnpauseVcpu, 4>);

struct DomctlGdbsxDomStatus {
    std::uint8_t paused;
    std::uint8_t _pad[3];
    std::uint32_t vcpu_id;
    std::uint32_t vcpu_ev;
};
static_assert(exact_layout<DomctlGdbsxDomStatus, 12>);

inline constexpr std::uint32_t XEN_VM_EVENT_ENABLE = 0;
inline constexpr std::uint32_t XEN_VM_EVENT_DISABLE = 1;
inline constexpr std::uint32_t XEN_VM_EVENT_RESUME = 2;
inline constexpr std::uint32_t XEN_VM_EVENT_GET_VERSION = 3;

inline constexpr std::uint32_t XEN_DOMCTL_VM_EVENT_OP_PAGING = 1;
inline constexpr std::uint32_t XEN_DOMCTL_VM_EVENT_OP_MONITOR = 2;
inline constexpr std::uint32_t XEN_DOMCTL_VM_EVENT_OP_SHARING = 3;

struct DomctlVmEventOp {
    std::uint32_t op;
    std::uint32_t mode;
    union {
        struct {
            std::uint32_t port;
        } enable;
        std::uint32_t version;
    } u;
};
static_assert(exact_layout<DomctlVmEventOp, 12>);

inline constexpr std::uint32_t XEN_DOMCTL_MEM_SHARING_CONTROL = 0;

struct DomctlMemSharingOp {
    std::uint8_t op;
    union {
        std::uint8_t enable;
    } u;
};
static_assert(exact_layout<DomctlMemSharingOp, 2>);

struct DomctlAuditP2m {
    std::uint64_t orphans;
    std::uint64_t m2p_bad;
    std::uint64_t p2m_bad;
};
static_assert(exact_layout<DomctlAuditP2m, 24>);

struct DomctlSetVirqHandler {
    std::uint32_t virq;
};
static_assert(exact_layout<DomctlSetVirqHandler, 4>);

struct DomctlVcpuExtState {
    std::uint32_t vcpu;
    std::uint32_t _pad;
    std::uint64_t xfeature_mask;
    std::uint64_t size;
    Handle<std::uint64_t> buffer;
};
static_assert(exact_layout<DomctlVcpuExtState, 32>);

struct DomctlSetAccessRequired {
    std::uint8_t access_required;
};
static_assert(exact_layout<DomctlSetAccessRequired, 1>);

struct DomctlSetBrokenPageP2m {
    std::uint64_t pfn;
};
static_assert(exact_layout<DomctlSetBrokenPageP2m, 8>);

struct DomctlCacheFlush {
    xen_pfn_t start_pfn;
    xen_pfn_t nr_pfns;
};
static_assert(exact_layout<DomctlCacheFlush, 16>);

/// Size of a domain's paging pool in bytes.
struct DomctlPagingMempool {
    std::uint64_t size;
};
static_assert(exact_layout<DomctlPagingMempool, 8>);

struct DomctlVcpuMsr {
    std::uint32_t index;
    std::uint32_t reserved;
    std::uint64_t value;
};
static_assert(exact_layout<DomctlVcpuMsr, 16>);

struct DomctlVcpuMsrs {
    std::uint32_t vcpu;
    std::uint32_t msr_count;
    Handle<DomctlVcpuMsr> msrs;
};
static_assert(exact_layout<DomctlVcpuMsrs, 16>);

struct DomctlVnuma {
    std::uint32_t nr_vnodes;
    std::uint32_t nr_vmemranges;
    std::uint32_t nr_vcpus;
    std::uint32_t pad;
    Handle<std::uint32_t> vdistance;
    Handle<std::uint32_t> vcpu_to_vnode;
    Handle<std::uint32_t> vnode_to_pnode;
    Handle<Vmemrange> vmemrange;
};
static_assert(exact_layout<DomctlVnuma, 48>);

inline constexpr std::uint32_t XEN_DOMCTL_PSR_CMT_OP_DETACH = 0;
inline constexpr std::uint32_t XEN_DOMCTL_PSR_CMT_OP_ATTACH = 1;
inline constexpr std::uint32_t XEN_DOMCTL_PSR_CMT_OP_QUERY_RMID = 2;

struct DomctlPsrCmtOp {
    std::uint32_t cmd;
    std::uint32_t data;
};
static_assert(exact_layout<DomctlPsrCmtOp, 8>);

inline constexpr std::uint32_t XEN_DOMCTL_MONITOR_OP_ENABLE = 0;
inline constexpr std::uint32_t XEN_DOMCTL_MONITOR_OP_DISABLE = 1;
inline constexpr std::uint32_t XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES = 2;
inline constexpr std::uint32_t XEN_DOMCTL_MONITOR_OP_EMULATE_EACH_REP = 3;
inline constexpr std::uint32_t XEN_DOMCTL_MONITOR_OP_CONTROL_REGISTERS = 4;
inline constexpr std::uint32_t XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG = 0;
inline constexpr std::uint32_t XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR = 1;
inline constexpr std::uint32_t XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP = 2;
inline constexpr std::uint32_t XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT = 3;
inline constexpr std::uint32_t XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST = 4;
inline constexpr std::uint32_t XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION = 5;
inline constexpr std::uint32_t XEN_DOMCTL_MONITOR_EVENT_CPUID = 6;
inline constexpr std::uint32_t XEN_DOMCTL_MONITOR_EVENT_PRIVILEGED_CALL = 7;
inline constexpr std::uint32_t XEN_DOMCTL_MONITOR_EVENT_INTERRUPT = 8;
inline constexpr std::uint32_t XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS = 9;
inline constexpr std::uint32_t XEN_DOMCTL_MONITOR_EVENT_EMUL_UNIMPLEMENTED = 10;
inline constexpr std::uint32_t XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT = 11;
inline constexpr std::uint32_t XEN_DOMCTL_MONITOR_EVENT_VMEXIT = 12;

struct DomctlMonitorOp {
    std::uint32_t op;
    std::uint32_t event;
    union {
        struct {
            std::uint8_t index;
            std::uint8_t sync;
            std::uint8_t onchangeonly;
            std::uint8_t pad1;
            std::uint32_t pad2;
            std::uint64_t bitmask;
        } mov_to_cr;
        struct {
            std::uint32_t msr;
            std::uint8_t onchangeonly;
            std::uint8_t _pad[3];
        } mov_to_msr;
        struct {
            std::uint8_t sync;
            std::uint8_t allow_userspace;
        } guest_request;
        struct {
            std::uint8_t sync;
        } debug_exception;
        struct {
            std::uint8_t sync;
        } vmexit;
    } u;
};
static_assert(layout<DomctlMonitorOp, 24>);

inline constexpr std::uint32_t XEN_DOMCTL_PSR_SET_L3_CBM = 0;
inline constexpr std::uint32_t XEN_DOMCTL_PSR_GET_L3_CBM = 1;
inline constexpr std::uint32_t XEN_DOMCTL_PSR_SET_L3_CODE = 2;
inline constexpr std::uint32_t XEN_DOMCTL_PSR_SET_L3_DATA = 3;
inline constexpr std::uint32_t XEN_DOMCTL_PSR_GET_L3_CODE = 4;
inline constexpr std::uint32_t XEN_DOMCTL_PSR_GET_L3_DATA = 5;
inline constexpr std::uint32_t XEN_DOMCTL_PSR_SET_L2_CBM = 6;
inline constexpr std::uint32_t XEN_DOMCTL_PSR_GET_L2_CBM = 7;
inline constexpr std::uint32_t XEN_DOMCTL_PSR_SET_MBA_THRTL = 8;
inline constexpr std::uint32_t XEN_DOMCTL_PSR_GET_MBA_THRTL = 9;

struct DomctlPsrAlloc {
    std::uint32_t cmd;
    std::uint32_t target;
    std::uint64_t data;
};
static_assert(exact_layout<DomctlPsrAlloc, 16>);

inline constexpr std::uint32_t XEN_DOMCTL_VUART_OP_INIT = 0;
inline constexpr std::uint32_t XEN_DOMCTL_VUART_TYPE_VPL011 = 0;

struct DomctlVuartOp {
    std::uint32_t cmd;
    std::uint32_t type;
    std::uint64_t gfn;
    domid_t console_domid;
    std::uint8_t pad[2];
    evtchn_port_t evtchn;
};
static_assert(exact_layout<DomctlVuartOp, 24>);

inline constexpr std::uint32_t XEN_DOMCTL_vmtrace_enable = 1;
inline constexpr std::uint32_t XEN_DOMCTL_vmtrace_disable = 2;
inline constexpr std::uint32_t XEN_DOMCTL_vmtrace_reset_and_enable = 3;
inline constexpr std::uint32_t XEN_DOMCTL_vmtrace_output_position = 4;
inline constexpr std::uint32_t XEN_DOMCTL_vmtrace_get_option = 5;

struct DomctlVmtraceOp {
    std::uint32_t cmd;
    std::uint32_t vcpu;
    std::uint64_t key;
    std::uint64_t value;
};
static_assert(exact_layout<DomctlVmtraceOp, 24>);

}  // namespace xen
