// SPDX-License-Identifier: Apache-2.0
/// The core of the interface: hypercall operations on memory and CPUs, the shared pages, start info.
#pragma once

#include "abi/xen/arch_x86.hpp"
#include "abi/xen/console.hpp"
#include "abi/xen/types.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t HYPERVISOR_set_trap_table = 0;
inline constexpr std::uint32_t HYPERVISOR_mmu_update = 1;
inline constexpr std::uint32_t HYPERVISOR_set_gdt = 2;
inline constexpr std::uint32_t HYPERVISOR_stack_switch = 3;
inline constexpr std::uint32_t HYPERVISOR_set_callbacks = 4;
inline constexpr std::uint32_t HYPERVISOR_fpu_taskswitch = 5;
inline constexpr std::uint32_t HYPERVISOR_sched_op_compat = 6;
inline constexpr std::uint32_t HYPERVISOR_platform_op = 7;
inline constexpr std::uint32_t HYPERVISOR_set_debugreg = 8;
inline constexpr std::uint32_t HYPERVISOR_get_debugreg = 9;
inline constexpr std::uint32_t HYPERVISOR_update_descriptor = 10;
inline constexpr std::uint32_t HYPERVISOR_memory_op = 12;
inline constexpr std::uint32_t HYPERVISOR_multicall = 13;
inline constexpr std::uint32_t HYPERVISOR_update_va_mapping = 14;
inline constexpr std::uint32_t HYPERVISOR_set_timer_op = 15;
inline constexpr std::uint32_t HYPERVISOR_event_channel_op_compat = 16;
inline constexpr std::uint32_t HYPERVISOR_xen_version = 17;
inline constexpr std::uint32_t HYPERVISOR_console_io = 18;
inline constexpr std::uint32_t HYPERVISOR_physdev_op_compat = 19;
inline constexpr std::uint32_t HYPERVISOR_grant_table_op = 20;
inline constexpr std::uint32_t HYPERVISOR_vm_assist = 21;
inline constexpr std::uint32_t HYPERVISOR_update_va_mapping_otherdomain = 22;
inline constexpr std::uint32_t HYPERVISOR_iret = 23;
inline constexpr std::uint32_t HYPERVISOR_vcpu_op = 24;
inline constexpr std::uint32_t HYPERVISOR_set_segment_base = 25;
inline constexpr std::uint32_t HYPERVISOR_mmuext_op = 26;
inline constexpr std::uint32_t HYPERVISOR_xsm_op = 27;
inline constexpr std::uint32_t HYPERVISOR_nmi_op = 28;
inline constexpr std::uint32_t HYPERVISOR_sched_op = 29;
inline constexpr std::uint32_t HYPERVISOR_callback_op = 30;
inline constexpr std::uint32_t HYPERVISOR_xenoprof_op = 31;
inline constexpr std::uint32_t HYPERVISOR_event_channel_op = 32;
inline constexpr std::uint32_t HYPERVISOR_physdev_op = 33;
inline constexpr std::uint32_t HYPERVISOR_hvm_op = 34;
inline constexpr std::uint32_t HYPERVISOR_sysctl = 35;
inline constexpr std::uint32_t HYPERVISOR_domctl = 36;
inline constexpr std::uint32_t HYPERVISOR_kexec_op = 37;
inline constexpr std::uint32_t HYPERVISOR_tmem_op = 38;
inline constexpr std::uint32_t HYPERVISOR_argo_op = 39;
inline constexpr std::uint32_t HYPERVISOR_xenpmu_op = 40;
inline constexpr std::uint32_t HYPERVISOR_dm_op = 41;
inline constexpr std::uint32_t HYPERVISOR_hypfs_op = 42;
inline constexpr std::uint32_t HYPERVISOR_arch_0 = 48;
inline constexpr std::uint32_t HYPERVISOR_arch_1 = 49;
inline constexpr std::uint32_t HYPERVISOR_arch_2 = 50;
inline constexpr std::uint32_t HYPERVISOR_arch_3 = 51;
inline constexpr std::uint32_t HYPERVISOR_arch_4 = 52;
inline constexpr std::uint32_t HYPERVISOR_arch_5 = 53;
inline constexpr std::uint32_t HYPERVISOR_arch_6 = 54;
inline constexpr std::uint32_t HYPERVISOR_arch_7 = 55;

inline constexpr std::uint32_t VIRQ_TIMER = 0;
inline constexpr std::uint32_t VIRQ_DEBUG = 1;
inline constexpr std::uint32_t VIRQ_CONSOLE = 2;
inline constexpr std::uint32_t VIRQ_DOM_EXC = 3;
inline constexpr std::uint32_t VIRQ_TBUF = 4;
inline constexpr std::uint32_t VIRQ_DEBUGGER = 6;
inline constexpr std::uint32_t VIRQ_XENOPROF = 7;
inline constexpr std::uint32_t VIRQ_CON_RING = 8;
inline constexpr std::uint32_t VIRQ_PCPU_STATE = 9;
inline constexpr std::uint32_t VIRQ_MEM_EVENT = 10;
inline constexpr std::uint32_t VIRQ_ARGO = 11;
inline constexpr std::uint32_t VIRQ_ENOMEM = 12;
inline constexpr std::uint32_t VIRQ_XENPMU = 13;
inline constexpr std::uint32_t VIRQ_ARCH_0 = 16;
inline constexpr std::uint32_t VIRQ_ARCH_1 = 17;
inline constexpr std::uint32_t VIRQ_ARCH_2 = 18;
inline constexpr std::uint32_t VIRQ_ARCH_3 = 19;
inline constexpr std::uint32_t VIRQ_ARCH_4 = 20;
inline constexpr std::uint32_t VIRQ_ARCH_5 = 21;
inline constexpr std::uint32_t VIRQ_ARCH_6 = 22;
inline constexpr std::uint32_t VIRQ_ARCH_7 = 23;

inline constexpr std::uint32_t NR_VIRQS = 24;

inline constexpr std::uint32_t MMU_NORMAL_PT_UPDATE = 0;
inline constexpr std::uint32_t MMU_MACHPHYS_UPDATE = 1;
inline constexpr std::uint32_t MMU_PT_UPDATE_PRESERVE_AD = 2;
inline constexpr std::uint32_t MMU_PT_UPDATE_NO_TRANSLATE = 3;

inline constexpr std::uint32_t MMUEXT_PIN_L1_TABLE = 0;
inline constexpr std::uint32_t MMUEXT_PIN_L2_TABLE = 1;
inline constexpr std::uint32_t MMUEXT_PIN_L3_TABLE = 2;
inline constexpr std::uint32_t MMUEXT_PIN_L4_TABLE = 3;
inline constexpr std::uint32_t MMUEXT_UNPIN_TABLE = 4;
inline constexpr std::uint32_t MMUEXT_NEW_BASEPTR = 5;
inline constexpr std::uint32_t MMUEXT_TLB_FLUSH_LOCAL = 6;
inline constexpr std::uint32_t MMUEXT_INVLPG_LOCAL = 7;
inline constexpr std::uint32_t MMUEXT_TLB_FLUSH_MULTI = 8;
inline constexpr std::uint32_t MMUEXT_INVLPG_MULTI = 9;
inline constexpr std::uint32_t MMUEXT_TLB_FLUSH_ALL = 10;
inline constexpr std::uint32_t MMUEXT_INVLPG_ALL = 11;
inline constexpr std::uint32_t MMUEXT_FLUSH_CACHE = 12;
inline constexpr std::uint32_t MMUEXT_SET_LDT = 13;
inline constexpr std::uint32_t MMUEXT_NEW_USER_BASEPTR = 15;
inline constexpr std::uint32_t MMUEXT_CLEAR_PAGE = 16;
inline constexpr std::uint32_t MMUEXT_COPY_PAGE = 17;
inline constexpr std::uint32_t MMUEXT_FLUSH_CACHE_GLOBAL = 18;
inline constexpr std::uint32_t MMUEXT_MARK_SUPER = 19;
inline constexpr std::uint32_t MMUEXT_UNMARK_SUPER = 20;

/// One extended MMU operation; a caller passes an array of them.
struct MmuextOp {
    std::uint32_t cmd;
    std::uint32_t _pad;
    union {
        xen_pfn_t mfn;
        std::uint64_t linear_addr;
    } arg1;
    union {
        std::uint32_t nr_ents;
        Handle<const void> vcpumask;
        xen_pfn_t src_mfn;
    } arg2;
};
static_assert(layout<MmuextOp, 24>);

inline constexpr std::uint64_t UVMF_NONE = 0;
inline constexpr std::uint64_t UVMF_TLB_FLUSH = 1;
inline constexpr std::uint64_t UVMF_INVLPG = 2;
inline constexpr std::uint64_t UVMF_FLUSHTYPE_MASK = 3;
inline constexpr std::uint64_t UVMF_MULTI = 0;
inline constexpr std::uint64_t UVMF_LOCAL = 0;
inline constexpr std::uint64_t UVMF_ALL = 4;

inline constexpr std::uint32_t CONSOLEIO_write = 0;
inline constexpr std::uint32_t CONSOLEIO_read = 1;

inline constexpr std::uint32_t VMASST_CMD_enable = 0;
inline constexpr std::uint32_t VMASST_CMD_disable = 1;
inline constexpr std::uint32_t VMASST_TYPE_4gb_segments = 0;
inline constexpr std::uint32_t VMASST_TYPE_4gb_segments_notify = 1;
inline constexpr std::uint32_t VMASST_TYPE_writable_pagetables = 2;
inline constexpr std::uint32_t VMASST_TYPE_pae_extended_cr3 = 3;
inline constexpr std::uint32_t VMASST_TYPE_architectural_iopl = 4;
inline constexpr std::uint32_t VMASST_TYPE_runstate_update_flag = 5;
inline constexpr std::uint32_t VMASST_TYPE_m2p_strict = 32;

inline constexpr domid_t DOMID_FIRST_RESERVED = 0x7ff0;
inline constexpr domid_t DOMID_SELF = 0x7ff0;
inline constexpr domid_t DOMID_IO = 0x7ff1;
inline constexpr domid_t DOMID_XEN = 0x7ff2;
inline constexpr domid_t DOMID_COW = 0x7ff3;
inline constexpr domid_t DOMID_INVALID = 0x7ff4;
inline constexpr domid_t DOMID_IDLE = 0x7fff;
inline constexpr domid_t DOMID_MASK = 0x7fff;

/// ptr: machine address of a page-table entry (or M2P slot), its low two bits say what to do; val: what to write.
struct MmuUpdate {
    std::uint64_t ptr;
    std::uint64_t val;
};
static_assert(exact_layout<MmuUpdate, 16>);

/// One call of a batch; result replaces what the call returns.
struct MulticallEntry {
    xen_ulong_t op;
    xen_ulong_t result;
    xen_ulong_t args[6];
};
static_assert(exact_layout<MulticallEntry, 64>);

/// Time of a vCPU: odd version = being written. ns = system_time + (((tsc - tsc_timestamp) << tsc_shift) *
/// tsc_to_system_mul >> 32).
struct VcpuTimeInfo {
    std::uint32_t version;
    std::uint32_t pad0;
    std::uint64_t tsc_timestamp;
    std::uint64_t system_time;
    std::uint32_t tsc_to_system_mul;
    std::int8_t tsc_shift;
    std::uint8_t flags;
    std::uint8_t pad1[2];
};
static_assert(exact_layout<VcpuTimeInfo, 32>);

inline constexpr std::uint32_t XEN_PVCLOCK_TSC_STABLE_BIT = 1u << 0;
inline constexpr std::uint32_t XEN_PVCLOCK_GUEST_STOPPED = 1u << 1;

/// Per-vCPU part of event delivery and time; in the shared page or where the guest registered it.
struct VcpuInfo {
    std::uint8_t evtchn_upcall_pending;
    std::uint8_t evtchn_upcall_mask;
    std::uint16_t _pad[3];
    xen_ulong_t evtchn_pending_sel;
    ArchVcpuInfo arch;
    VcpuTimeInfo time;
};
static_assert(exact_layout<VcpuInfo, 64>);

/// The page every guest shares with the hypervisor: event bits, masks, wall clock (wc_*, seqlock by wc_version).
struct SharedInfo {
    VcpuInfo vcpu_info[32];
    xen_ulong_t evtchn_pending[64];
    xen_ulong_t evtchn_mask[64];
    std::uint32_t wc_version;
    std::uint32_t wc_sec;
    std::uint32_t wc_nsec;
    std::uint32_t wc_sec_hi;
    ArchSharedInfo arch;
};
static_assert(exact_layout<SharedInfo, 3136>);

inline constexpr std::uint32_t MAX_GUEST_CMDLINE = 1024;

/// What a PV guest finds at %rsi when it starts.
struct StartInfo {
    char magic[32];
    std::uint64_t nr_pages;
    std::uint64_t shared_info;
    std::uint32_t flags;
    std::uint32_t _pad;
    xen_pfn_t store_mfn;
    std::uint32_t store_evtchn;
    std::uint32_t _pad1;
    union {
        struct {
            xen_pfn_t mfn;
            std::uint32_t evtchn;
            std::uint32_t _pad;
        } domU;
        struct {
            std::uint32_t info_off;
            std::uint32_t info_size;
        } dom0;
    } console;
    std::uint64_t pt_base;
    std::uint64_t nr_pt_frames;
    std::uint64_t mfn_list;
    std::uint64_t mod_start;
    std::uint64_t mod_len;
    std::int8_t cmd_line[1024];
    std::uint64_t first_p2m_pfn;
    std::uint64_t nr_p2m_frames;
};
static_assert(layout<StartInfo, 1168>);

inline constexpr std::uint32_t SIF_PRIVILEGED = 1u << 0;
inline constexpr std::uint32_t SIF_INITDOMAIN = 1u << 1;
inline constexpr std::uint32_t SIF_MULTIBOOT_MOD = 1u << 2;
inline constexpr std::uint32_t SIF_MOD_START_PFN = 1u << 3;
inline constexpr std::uint32_t SIF_VIRT_P2M_4TOOLS = 1u << 4;
inline constexpr std::uint32_t SIF_PM_MASK = 0xff00;

/// One module of dom0 when SIF_MULTIBOOT_MOD is set.
struct MultibootModList {
    std::uint32_t mod_start;
    std::uint32_t mod_end;
    std::uint32_t cmdline;
    std::uint32_t pad;
};
static_assert(exact_layout<MultibootModList, 16>);

inline constexpr std::uint32_t XEN_VGATYPE_TEXT_MODE_3 = 0x03;
inline constexpr std::uint32_t XEN_VGATYPE_VESA_LFB = 0x23;
inline constexpr std::uint32_t XEN_VGATYPE_EFI_LFB = 0x70;

/// The screen as dom0 finds it.
struct Dom0VgaConsoleInfo {
    std::uint8_t video_type;
    std::uint8_t _pad[3];
    union {
        struct {
            std::uint16_t font_height;
            std::uint16_t cursor_x;
            std::uint16_t cursor_y;
            std::uint16_t rows;
            std::uint16_t columns;
        } text_mode_3;
        struct {
            std::uint16_t width;
            std::uint16_t height;
            std::uint16_t bytes_per_line;
            std::uint16_t bits_per_pixel;
            std::uint32_t lfb_base;
            std::uint32_t lfb_size;
            std::uint8_t red_pos;
            std::uint8_t red_size;
            std::uint8_t green_pos;
            std::uint8_t green_size;
            std::uint8_t blue_pos;
            std::uint8_t blue_size;
            std::uint8_t rsvd_pos;
            std::uint8_t rsvd_size;
            std::uint32_t gbl_caps;
            std::uint16_t mode_attrs;
            std::uint16_t pad;
            std::uint32_t ext_lfb_base;
        } vesa_lfb;
    } u;
};
static_assert(layout<Dom0VgaConsoleInfo, 40>);

struct Uuid {
    std::uint8_t a[16];
};
static_assert(exact_layout<Uuid, 16>);

/// A bitmap of nr_bits bits in the caller's memory (CPU and node maps).
struct XenctlBitmap {
    Handle<std::uint8_t> bitmap;
    std::uint32_t nr_bits;
    std::uint32_t _pad;
};
static_assert(exact_layout<XenctlBitmap, 16>);

}  // namespace xen
