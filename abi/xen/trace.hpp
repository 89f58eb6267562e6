// SPDX-License-Identifier: Apache-2.0
/// Trace buffers: record layout and event numbers.
#pragma once

#include "abi/xen/basic.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t TRACE_EXTRA_MAX = 7;
inline constexpr std::uint32_t TRACE_EXTRA_SHIFT = 28;

inline constexpr std::uint32_t TRC_CLS_SHIFT = 16;
inline constexpr std::uint32_t TRC_GEN = 0x0001f000;
inline constexpr std::uint32_t TRC_SCHED = 0x0002f000;
inline constexpr std::uint32_t TRC_DOM0OP = 0x0004f000;
inline constexpr std::uint32_t TRC_HVM = 0x0008f000;
inline constexpr std::uint32_t TRC_MEM = 0x0010f000;
inline constexpr std::uint32_t TRC_PV = 0x0020f000;
inline constexpr std::uint32_t TRC_SHADOW = 0x0040f000;
inline constexpr std::uint32_t TRC_HW = 0x0080f000;
inline constexpr std::uint32_t TRC_GUEST = 0x0800f000;
inline constexpr std::uint32_t TRC_ALL = 0x0ffff000;
inline constexpr std::uint64_t TRC_HD_CYCLE_FLAG = std::uint64_t{1} << 31;
inline constexpr std::uint32_t TRC_SUBCLS_SHIFT = 12;
inline constexpr std::uint32_t TRC_HVM_ENTRYEXIT = 0x00081000;
inline constexpr std::uint32_t TRC_HVM_HANDLER = 0x00082000;
inline constexpr std::uint32_t TRC_HVM_EMUL = 0x00084000;
inline constexpr std::uint32_t TRC_SCHED_MIN = 0x00021000;
inline constexpr std::uint32_t TRC_SCHED_CLASS = 0x00022000;
inline constexpr std::uint32_t TRC_SCHED_VERBOSE = 0x00028000;
inline constexpr std::uint32_t TRC_SCHED_ID_BITS = 3;
inline constexpr std::uint32_t TRC_SCHED_ID_SHIFT = 9;
inline constexpr std::uint64_t TRC_SCHED_ID_MASK = 3584;
inline constexpr std::uint64_t TRC_SCHED_EVT_MASK = 0xfffffffffffff1ff;
inline constexpr std::uint32_t TRC_SCHED_CSCHED = 0;
inline constexpr std::uint32_t TRC_SCHED_CSCHED2 = 1;
inline constexpr std::uint32_t TRC_SCHED_ARINC653 = 3;
inline constexpr std::uint32_t TRC_SCHED_RTDS = 4;
inline constexpr std::uint32_t TRC_SCHED_SNULL = 5;
inline constexpr std::uint32_t TRC_DOM0_DOMOPS = 0x00041000;
inline constexpr std::uint32_t TRC_HW_PM = 0x00801000;
inline constexpr std::uint32_t TRC_HW_IRQ = 0x00802000;
inline constexpr std::uint32_t TRC_LOST_RECORDS = 0x1f001;
inline constexpr std::uint32_t TRC_TRACE_WRAP_BUFFER = 0x1f002;
inline constexpr std::uint32_t TRC_TRACE_CPU_CHANGE = 0x1f003;
inline constexpr std::uint32_t TRC_SCHED_RUNSTATE_CHANGE = 0x21001;
inline constexpr std::uint32_t TRC_SCHED_CONTINUE_RUNNING = 0x21002;
inline constexpr std::uint32_t TRC_SCHED_DOM_ADD = 0x28001;
inline constexpr std::uint32_t TRC_SCHED_DOM_REM = 0x28002;
inline constexpr std::uint32_t TRC_SCHED_SLEEP = 0x28003;
inline constexpr std::uint32_t TRC_SCHED_WAKE = 0x28004;
inline constexpr std::uint32_t TRC_SCHED_YIELD = 0x28005;
inline constexpr std::uint32_t TRC_SCHED_BLOCK = 0x28006;
inline constexpr std::uint32_t TRC_SCHED_SHUTDOWN = 0x28007;
inline constexpr std::uint32_t TRC_SCHED_CTL = 0x28008;
inline constexpr std::uint32_t TRC_SCHED_ADJDOM = 0x28009;
inline constexpr std::uint32_t TRC_SCHED_SWITCH = 0x2800a;
inline constexpr std::uint32_t TRC_SCHED_S_TIMER_FN = 0x2800b;
inline constexpr std::uint32_t TRC_SCHED_T_TIMER_FN = 0x2800c;
inline constexpr std::uint32_t TRC_SCHED_DOM_TIMER_FN = 0x2800d;
inline constexpr std::uint32_t TRC_SCHED_SWITCH_INFPREV = 0x2800e;
inline constexpr std::uint32_t TRC_SCHED_SWITCH_INFNEXT = 0x2800f;
inline constexpr std::uint32_t TRC_SCHED_SHUTDOWN_CODE = 0x28010;
inline constexpr std::uint32_t TRC_SCHED_SWITCH_INFCONT = 0x28011;
inline constexpr std::uint32_t TRC_DOM0_DOM_ADD = 0x41001;
inline constexpr std::uint32_t TRC_DOM0_DOM_REM = 0x41002;
inline constexpr std::uint32_t TRC_MEM_PAGE_GRANT_MAP = 0x10f001;
inline constexpr std::uint32_t TRC_MEM_PAGE_GRANT_UNMAP = 0x10f002;
inline constexpr std::uint32_t TRC_MEM_PAGE_GRANT_TRANSFER = 0x10f003;
inline constexpr std::uint32_t TRC_MEM_SET_P2M_ENTRY = 0x10f004;
inline constexpr std::uint32_t TRC_MEM_DECREASE_RESERVATION = 0x10f005;
inline constexpr std::uint32_t TRC_MEM_POD_POPULATE = 0x10f010;
inline constexpr std::uint32_t TRC_MEM_POD_ZERO_RECLAIM = 0x10f011;
inline constexpr std::uint32_t TRC_MEM_POD_SUPERPAGE_SPLINTER = 0x10f012;
inline constexpr std::uint32_t TRC_PV_ENTRY = 0x00201000;
inline constexpr std::uint32_t TRC_PV_SUBCALL = 0x00202000;
inline constexpr std::uint32_t TRC_PV_HYPERCALL = 0x201001;
inline constexpr std::uint32_t TRC_PV_TRAP = 0x201003;
inline constexpr std::uint32_t TRC_PV_PAGE_FAULT = 0x201004;
inline constexpr std::uint32_t TRC_PV_FORCED_INVALID_OP = 0x201005;
inline constexpr std::uint32_t TRC_PV_EMULATE_PRIVOP = 0x201006;
inline constexpr std::uint32_t TRC_PV_EMULATE_4GB = 0x201007;
inline constexpr std::uint32_t TRC_PV_MATH_STATE_RESTORE = 0x201008;
inline constexpr std::uint32_t TRC_PV_PAGING_FIXUP = 0x201009;
inline constexpr std::uint32_t TRC_PV_GDT_LDT_MAPPING_FAULT = 0x20100a;
inline constexpr std::uint32_t TRC_PV_PTWR_EMULATION = 0x20100b;
inline constexpr std::uint32_t TRC_PV_PTWR_EMULATION_PAE = 0x20100c;
inline constexpr std::uint32_t TRC_PV_HYPERCALL_V2 = 0x20100d;
inline constexpr std::uint32_t TRC_PV_HYPERCALL_SUBCALL = 0x20200e;
inline constexpr std::uint32_t TRC_PV_HYPERCALL_V2_ARG_MASK = 0xfff00000;
inline constexpr std::uint32_t TRC_SHADOW_NOT_SHADOW = 0x40f001;
inline constexpr std::uint32_t TRC_SHADOW_FAST_PROPAGATE = 0x40f002;
inline constexpr std::uint32_t TRC_SHADOW_FAST_MMIO = 0x40f003;
inline constexpr std::uint32_t TRC_SHADOW_FALSE_FAST_PATH = 0x40f004;
inline constexpr std::uint32_t TRC_SHADOW_MMIO = 0x40f005;
inline constexpr std::uint32_t TRC_SHADOW_FIXUP = 0x40f006;
inline constexpr std::uint32_t TRC_SHADOW_DOMF_DYING = 0x40f007;
inline constexpr std::uint32_t TRC_SHADOW_EMULATE = 0x40f008;
inline constexpr std::uint32_t TRC_SHADOW_EMULATE_UNSHADOW_USER = 0x40f009;
inline constexpr std::uint32_t TRC_SHADOW_EMULATE_UNSHADOW_EVTINJ = 0x40f00a;
inline constexpr std::uint32_t TRC_SHADOW_EMULATE_UNSHADOW_UNHANDLED = 0x40f00b;
inline constexpr std::uint32_t TRC_SHADOW_WRMAP_BF = 0x40f00c;
inline constexpr std::uint32_t TRC_SHADOW_PREALLOC_UNPIN = 0x40f00d;
inline constexpr std::uint32_t TRC_SHADOW_RESYNC_FULL = 0x40f00e;
inline constexpr std::uint32_t TRC_SHADOW_RESYNC_ONLY = 0x40f00f;
inline constexpr std::uint32_t TRC_HVM_NESTEDFLAG = 0x400;
inline constexpr std::uint32_t TRC_HVM_VMENTRY = 0x81001;
inline constexpr std::uint32_t TRC_HVM_VMEXIT = 0x81002;
inline constexpr std::uint32_t TRC_HVM_VMEXIT64 = 0x81102;
inline constexpr std::uint32_t TRC_HVM_PF_XEN = 0x82001;
inline constexpr std::uint32_t TRC_HVM_PF_XEN64 = 0x82101;
inline constexpr std::uint32_t TRC_HVM_PF_INJECT = 0x82002;
inline constexpr std::uint32_t TRC_HVM_PF_INJECT64 = 0x82102;
inline constexpr std::uint32_t TRC_HVM_INJ_EXC = 0x82003;
inline constexpr std::uint32_t TRC_HVM_INJ_VIRQ = 0x82004;
inline constexpr std::uint32_t TRC_HVM_REINJ_VIRQ = 0x82005;
inline constexpr std::uint32_t TRC_HVM_IO_READ = 0x82006;
inline constexpr std::uint32_t TRC_HVM_IO_WRITE = 0x82007;
inline constexpr std::uint32_t TRC_HVM_CR_READ = 0x82008;
inline constexpr std::uint32_t TRC_HVM_CR_READ64 = 0x82108;
inline constexpr std::uint32_t TRC_HVM_CR_WRITE = 0x82009;
inline constexpr std::uint32_t TRC_HVM_CR_WRITE64 = 0x82109;
inline constexpr std::uint32_t TRC_HVM_DR_READ = 0x8200a;
inline constexpr std::uint32_t TRC_HVM_DR_WRITE = 0x8200b;
inline constexpr std::uint32_t TRC_HVM_MSR_READ = 0x8200c;
inline constexpr std::uint32_t TRC_HVM_MSR_WRITE = 0x8200d;
inline constexpr std::uint32_t TRC_HVM_CPUID = 0x8200e;
inline constexpr std::uint32_t TRC_HVM_INTR = 0x8200f;
inline constexpr std::uint32_t TRC_HVM_NMI = 0x82010;
inline constexpr std::uint32_t TRC_HVM_SMI = 0x82011;
inline constexpr std::uint32_t TRC_HVM_VMMCALL = 0x82012;
inline constexpr std::uint32_t TRC_HVM_HLT = 0x82013;
inline constexpr std::uint32_t TRC_HVM_INVLPG = 0x82014;
inline constexpr std::uint32_t TRC_HVM_INVLPG64 = 0x82114;
inline constexpr std::uint32_t TRC_HVM_MCE = 0x82015;
inline constexpr std::uint32_t TRC_HVM_IOPORT_READ = 0x82016;
inline constexpr std::uint32_t TRC_HVM_IOMEM_READ = 0x82017;
inline constexpr std::uint32_t TRC_HVM_CLTS = 0x82018;
inline constexpr std::uint32_t TRC_HVM_LMSW = 0x82019;
inline constexpr std::uint32_t TRC_HVM_LMSW64 = 0x82119;
inline constexpr std::uint32_t TRC_HVM_RDTSC = 0x8201a;
inline constexpr std::uint32_t TRC_HVM_INTR_WINDOW = 0x82020;
inline constexpr std::uint32_t TRC_HVM_NPF = 0x82021;
inline constexpr std::uint32_t TRC_HVM_REALMODE_EMULATE = 0x82022;
inline constexpr std::uint32_t TRC_HVM_TRAP = 0x82023;
inline constexpr std::uint32_t TRC_HVM_TRAP_DEBUG = 0x82024;
inline constexpr std::uint32_t TRC_HVM_VLAPIC = 0x82025;
inline constexpr std::uint32_t TRC_HVM_XCR_READ64 = 0x82126;
inline constexpr std::uint32_t TRC_HVM_XCR_WRITE64 = 0x82127;
inline constexpr std::uint32_t TRC_HVM_IOPORT_WRITE = 0x82216;
inline constexpr std::uint32_t TRC_HVM_IOMEM_WRITE = 0x82217;
inline constexpr std::uint32_t TRC_HVM_EMUL_HPET_START_TIMER = 0x84001;
inline constexpr std::uint32_t TRC_HVM_EMUL_PIT_START_TIMER = 0x84002;
inline constexpr std::uint32_t TRC_HVM_EMUL_RTC_START_TIMER = 0x84003;
inline constexpr std::uint32_t TRC_HVM_EMUL_LAPIC_START_TIMER = 0x84004;
inline constexpr std::uint32_t TRC_HVM_EMUL_HPET_STOP_TIMER = 0x84005;
inline constexpr std::uint32_t TRC_HVM_EMUL_PIT_STOP_TIMER = 0x84006;
inline constexpr std::uint32_t TRC_HVM_EMUL_RTC_STOP_TIMER = 0x84007;
inline constexpr std::uint32_t TRC_HVM_EMUL_LAPIC_STOP_TIMER = 0x84008;
inline constexpr std::uint32_t TRC_HVM_EMUL_PIT_TIMER_CB = 0x84009;
inline constexpr std::uint32_t TRC_HVM_EMUL_LAPIC_TIMER_CB = 0x8400a;
inline constexpr std::uint32_t TRC_HVM_EMUL_PIC_INT_OUTPUT = 0x8400b;
inline constexpr std::uint32_t TRC_HVM_EMUL_PIC_KICK = 0x8400c;
inline constexpr std::uint32_t TRC_HVM_EMUL_PIC_INTACK = 0x8400d;
inline constexpr std::uint32_t TRC_HVM_EMUL_PIC_POSEDGE = 0x8400e;
inline constexpr std::uint32_t TRC_HVM_EMUL_PIC_NEGEDGE = 0x8400f;
inline constexpr std::uint32_t TRC_HVM_EMUL_PIC_PEND_IRQ_CALL = 0x84010;
inline constexpr std::uint32_t TRC_HVM_EMUL_LAPIC_PIC_INTR = 0x84011;
inline constexpr std::uint32_t TRC_PM_FREQ_CHANGE = 0x801001;
inline constexpr std::uint32_t TRC_PM_IDLE_ENTRY = 0x801002;
inline constexpr std::uint32_t TRC_PM_IDLE_EXIT = 0x801003;
inline constexpr std::uint32_t TRC_HW_IRQ_MOVE_CLEANUP_DELAY = 0x802001;
inline constexpr std::uint32_t TRC_HW_IRQ_MOVE_CLEANUP = 0x802002;
inline constexpr std::uint32_t TRC_HW_IRQ_BIND_VECTOR = 0x802003;
inline constexpr std::uint32_t TRC_HW_IRQ_CLEAR_VECTOR = 0x802004;
inline constexpr std::uint32_t TRC_HW_IRQ_MOVE_FINISH = 0x802005;
inline constexpr std::uint32_t TRC_HW_IRQ_ASSIGN_VECTOR = 0x802006;
inline constexpr std::uint32_t TRC_HW_IRQ_UNMAPPED_VECTOR = 0x802007;
inline constexpr std::uint32_t TRC_HW_IRQ_HANDLED = 0x802008;
inline constexpr std::uint32_t TRC_64_FLAG = 0x100;

struct TRec {
    std::uint32_t event : 28;
    std::uint32_t extra_u32 : 3;
    std::uint32_t cycles_included : 1;
    union {
        struct {
            std::uint32_t cycles_lo;
            std::uint32_t cycles_hi;
            std::uint32_t extra_u32[7];
        } cycles;
        struct {
            std::uint32_t extra_u32[7];
        } nocycles;
    } u;
};
static_assert(layout<TRec, 40>);

struct TBuf {
    std::uint32_t cons;
    std::uint32_t prod;
};
static_assert(exact_layout<TBuf, 8>);

struct TInfo {
    std::uint16_t tbuf_size;
    // followed by std::uint16_t mfn_offset[]
};
static_assert(exact_layout<TInfo, 2>);

}  // namespace xen
