// SPDX-License-Identifier: Apache-2.0
/// Records of the HVM context (XEN_DOMCTL_gethvmcontext, sethvmcontext) and of the save image.
#pragma once

#include "abi/xen/basic.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

struct HvmSaveDescriptor {
    std::uint16_t typecode;
    std::uint16_t instance;
    std::uint32_t length;
};
static_assert(exact_layout<HvmSaveDescriptor, 8>);

inline constexpr std::uint32_t HVM_FILE_MAGIC = 0x54381286;
inline constexpr std::uint32_t HVM_FILE_VERSION = 0x00000001;

struct HvmSaveHeader {
    std::uint32_t magic;
    std::uint32_t version;
    std::uint64_t changeset;
    std::uint32_t cpuid;
    std::uint32_t gtsc_khz;
};
static_assert(exact_layout<HvmSaveHeader, 24>);

inline constexpr std::uint32_t XEN_X86_FPU_INITIALISED = 1u << 0;

struct HvmHwCpu {
    std::uint8_t fpu_regs[512];
    std::uint64_t rax;
    std::uint64_t rbx;
    std::uint64_t rcx;
    std::uint64_t rdx;
    std::uint64_t rbp;
    std::uint64_t rsi;
    std::uint64_t rdi;
    std::uint64_t rsp;
    std::uint64_t r8;
    std::uint64_t r9;
    std::uint64_t r10;
    std::uint64_t r11;
    std::uint64_t r12;
    std::uint64_t r13;
    std::uint64_t r14;
    std::uint64_t r15;
    std::uint64_t rip;
    std::uint64_t rflags;
    std::uint64_t cr0;
    std::uint64_t cr2;
    std::uint64_t cr3;
    std::uint64_t cr4;
    std::uint64_t dr0;
    std::uint64_t dr1;
    std::uint64_t dr2;
    std::uint64_t dr3;
    std::uint64_t dr6;
    std::uint64_t dr7;
    std::uint32_t cs_sel;
    std::uint32_t ds_sel;
    std::uint32_t es_sel;
    std::uint32_t fs_sel;
    std::uint32_t gs_sel;
    std::uint32_t ss_sel;
    std::uint32_t tr_sel;
    std::uint32_t ldtr_sel;
    std::uint32_t cs_limit;
    std::uint32_t ds_limit;
    std::uint32_t es_limit;
    std::uint32_t fs_limit;
    std::uint32_t gs_limit;
    std::uint32_t ss_limit;
    std::uint32_t tr_limit;
    std::uint32_t ldtr_limit;
    std::uint32_t idtr_limit;
    std::uint32_t gdtr_limit;
    std::uint64_t cs_base;
    std::uint64_t ds_base;
    std::uint64_t es_base;
    std::uint64_t fs_base;
    std::uint64_t gs_base;
    std::uint64_t ss_base;
    std::uint64_t tr_base;
    std::uint64_t ldtr_base;
    std::uint64_t idtr_base;
    std::uint64_t gdtr_base;
    std::uint32_t cs_arbytes;
    std::uint32_t ds_arbytes;
    std::uint32_t es_arbytes;
    std::uint32_t fs_arbytes;
    std::uint32_t gs_arbytes;
    std::uint32_t ss_arbytes;
    std::uint32_t tr_arbytes;
    std::uint32_t ldtr_arbytes;
    std::uint64_t sysenter_cs;
    std::uint64_t sysenter_esp;
    std::uint64_t sysenter_eip;
    std::uint64_t shadow_gs;
    std::uint64_t msr_flags;
    std::uint64_t msr_lstar;
    std::uint64_t msr_star;
    std::uint64_t msr_cstar;
    std::uint64_t msr_syscall_mask;
    std::uint64_t msr_efer;
    std::uint64_t msr_tsc_aux;
    std::uint64_t tsc;
    union {
        std::uint32_t pending_event;
        struct {
            std::uint8_t pending_vector : 8;
            std::uint8_t pending_type : 3;
            std::uint8_t pending_error_valid : 1;
            std::uint32_t pending_reserved : 19;
            std::uint8_t pending_valid : 1;
        };
    };
    std::uint32_t error_code;
    std::uint32_t flags;
    std::uint32_t pad0;
};
static_assert(exact_layout<HvmHwCpu, 1032>);

struct HvmHwCpuCompat {
    std::uint8_t fpu_regs[512];
    std::uint64_t rax;
    std::uint64_t rbx;
    std::uint64_t rcx;
    std::uint64_t rdx;
    std::uint64_t rbp;
    std::uint64_t rsi;
    std::uint64_t rdi;
    std::uint64_t rsp;
    std::uint64_t r8;
    std::uint64_t r9;
    std::uint64_t r10;
    std::uint64_t r11;
    std::uint64_t r12;
    std::uint64_t r13;
    std::uint64_t r14;
    std::uint64_t r15;
    std::uint64_t rip;
    std::uint64_t rflags;
    std::uint64_t cr0;
    std::uint64_t cr2;
    std::uint64_t cr3;
    std::uint64_t cr4;
    std::uint64_t dr0;
    std::uint64_t dr1;
    std::uint64_t dr2;
    std::uint64_t dr3;
    std::uint64_t dr6;
    std::uint64_t dr7;
    std::uint32_t cs_sel;
    std::uint32_t ds_sel;
    std::uint32_t es_sel;
    std::uint32_t fs_sel;
    std::uint32_t gs_sel;
    std::uint32_t ss_sel;
    std::uint32_t tr_sel;
    std::uint32_t ldtr_sel;
    std::uint32_t cs_limit;
    std::uint32_t ds_limit;
    std::uint32_t es_limit;
    std::uint32_t fs_limit;
    std::uint32_t gs_limit;
    std::uint32_t ss_limit;
    std::uint32_t tr_limit;
    std::uint32_t ldtr_limit;
    std::uint32_t idtr_limit;
    std::uint32_t gdtr_limit;
    std::uint64_t cs_base;
    std::uint64_t ds_base;
    std::uint64_t es_base;
    std::uint64_t fs_base;
    std::uint64_t gs_base;
    std::uint64_t ss_base;
    std::uint64_t tr_base;
    std::uint64_t ldtr_base;
    std::uint64_t idtr_base;
    std::uint64_t gdtr_base;
    std::uint32_t cs_arbytes;
    std::uint32_t ds_arbytes;
    std::uint32_t es_arbytes;
    std::uint32_t fs_arbytes;
    std::uint32_t gs_arbytes;
    std::uint32_t ss_arbytes;
    std::uint32_t tr_arbytes;
    std::uint32_t ldtr_arbytes;
    std::uint64_t sysenter_cs;
    std::uint64_t sysenter_esp;
    std::uint64_t sysenter_eip;
    std::uint64_t shadow_gs;
    std::uint64_t msr_flags;
    std::uint64_t msr_lstar;
    std::uint64_t msr_star;
    std::uint64_t msr_cstar;
    std::uint64_t msr_syscall_mask;
    std::uint64_t msr_efer;
    std::uint64_t tsc;
    union {
        std::uint32_t pending_event;
        struct {
            std::uint8_t pending_vector : 8;
            std::uint8_t pending_type : 3;
            std::uint8_t pending_error_valid : 1;
            std::uint32_t pending_reserved : 19;
            std::uint8_t pending_valid : 1;
        };
    };
    std::uint32_t error_code;
};
static_assert(exact_layout<HvmHwCpuCompat, 1016>);

struct HvmHwVpic {
    std::uint8_t irr;
    std::uint8_t imr;
    std::uint8_t isr;
    std::uint8_t irq_base;
    std::uint8_t init_state : 4;
    std::uint8_t priority_add : 4;
    std::uint8_t readsel_isr : 1;
    std::uint8_t poll : 1;
    std::uint8_t auto_eoi : 1;
    std::uint8_t rotate_on_auto_eoi : 1;
    std::uint8_t special_fully_nested_mode : 1;
    std::uint8_t special_mask_mode : 1;
    std::uint8_t is_master : 1;
    std::uint8_t elcr;
    std::uint8_t int_output;
};
static_assert(layout<HvmHwVpic, 8>);

union VioapicRedirEntry {
    std::uint64_t bits;
    struct {
        std::uint8_t vector;
        std::uint8_t delivery_mode : 3;
        std::uint8_t dest_mode : 1;
        std::uint8_t delivery_status : 1;
        std::uint8_t polarity : 1;
        std::uint8_t remote_irr : 1;
        std::uint8_t trig_mode : 1;
        std::uint8_t mask : 1;
        std::uint8_t reserve : 7;
        std::uint8_t reserved[4];
        std::uint8_t dest_id;
    } fields;
};
static_assert(exact_layout<VioapicRedirEntry, 8>);

inline constexpr std::uint32_t VIOAPIC_NUM_PINS = 48;

struct HvmHwVioapic {
    std::uint64_t base_address;
    std::uint32_t ioregsel;
    std::uint32_t id;
    VioapicRedirEntry redirtbl[48];
};
static_assert(exact_layout<HvmHwVioapic, 400>);

struct HvmHwLapic {
    std::uint64_t apic_base_msr;
    std::uint32_t disabled;
    std::uint32_t timer_divisor;
    std::uint64_t tdt_msr;
};
static_assert(exact_layout<HvmHwLapic, 24>);

struct HvmHwLapicRegs {
    std::uint8_t data[1024];
};
static_assert(exact_layout<HvmHwLapicRegs, 1024>);

struct HvmHwPciIrqs {
    union {
        std::uint64_t i[2];
        std::uint64_t pad[2];
    };
};
static_assert(exact_layout<HvmHwPciIrqs, 16>);

struct HvmHwIsaIrqs {
    union {
        std::uint64_t i[1];
        std::uint64_t pad[1];
    };
};
static_assert(exact_layout<HvmHwIsaIrqs, 8>);

struct HvmHwPciLink {
    std::uint8_t route[4];
    std::uint8_t pad0[4];
};
static_assert(exact_layout<HvmHwPciLink, 8>);

struct HvmHwPit {
    struct HvmHwPitChannel {
        std::uint32_t count;
        std::uint16_t latched_count;
        std::uint8_t count_latched;
        std::uint8_t status_latched;
        std::uint8_t status;
        std::uint8_t read_state;
        std::uint8_t write_state;
        std::uint8_t write_latch;
        std::uint8_t rw_mode;
        std::uint8_t mode;
        std::uint8_t bcd;
        std::uint8_t gate;
    } channels[3];
    std::uint32_t speaker_data_on;
    std::uint32_t pad0;
};
static_assert(exact_layout<HvmHwPit, 56>);

inline constexpr std::uint32_t RTC_CMOS_SIZE = 14;

struct HvmHwRtc {
    std::uint8_t cmos_data[14];
    std::uint8_t cmos_index;
    std::uint8_t pad0;
    std::int64_t rtc_offset;
};
static_assert(exact_layout<HvmHwRtc, 24>);

inline constexpr std::uint32_t HPET_TIMER_NUM = 3;

struct HvmHwHpet {
    std::uint64_t capability;
    std::uint64_t res0;
    std::uint64_t config;
    std::uint64_t res1;
    std::uint64_t isr;
    std::uint64_t res2[25];
    std::uint64_t mc64;
    std::uint64_t res3;
    struct {
        std::uint64_t config;
        std::uint64_t cmp;
        std::uint64_t fsb;
        std::uint64_t res4;
    } timers[3];
    std::uint64_t res5[84];
    std::uint64_t period[3];
};
static_assert(exact_layout<HvmHwHpet, 1048>);

struct HvmHwPmtimer {
    std::uint32_t tmr_val;
    std::uint16_t pm1a_sts;
    std::uint16_t pm1a_en;
};
static_assert(exact_layout<HvmHwPmtimer, 8>);

inline constexpr std::uint32_t MTRR_VCNT = 8;

inline constexpr std::uint32_t NUM_FIXED_MSR = 11;

struct HvmHwMtrr {
    std::uint64_t msr_pat_cr;
    std::uint64_t msr_mtrr_var[16];
    std::uint64_t msr_mtrr_fixed[11];
    std::uint64_t msr_mtrr_cap;
    std::uint64_t msr_mtrr_def_type;
};
static_assert(exact_layout<HvmHwMtrr, 240>);

struct HvmHwCpuXsave {
    std::uint64_t xfeature_mask;
    std::uint64_t xcr0;
    std::uint64_t xcr0_accum;
    struct {
        struct {
            char x[512];
        } fpu_sse;
        struct HvmHwCpuXsaveHdr {
            std::uint64_t xstate_bv;
            std::uint64_t xcomp_bv;
            std::uint64_t reserved[6];
        } xsave_hdr;
    } save_area;
};
static_assert(exact_layout<HvmHwCpuXsave, 600>);

inline constexpr std::uint32_t CPU_XSAVE_CODE = 16;

struct HvmViridianDomainContext {
    std::uint64_t hypercall_gpa;
    std::uint64_t guest_os_id;
    std::uint64_t time_ref_count;
    std::uint64_t reference_tsc;
};
static_assert(exact_layout<HvmViridianDomainContext, 32>);

struct HvmViridianVcpuContext {
    std::uint64_t vp_assist_msr;
    std::uint8_t apic_assist_pending;
    std::uint8_t _pad[7];
    std::uint64_t simp_msr;
    std::uint64_t sint_msr[16];
    std::uint64_t stimer_config_msr[4];
    std::uint64_t stimer_count_msr[4];
};
static_assert(exact_layout<HvmViridianVcpuContext, 216>);

struct HvmVmceVcpu {
    std::uint64_t caps;
    std::uint64_t mci_ctl2_bank0;
    std::uint64_t mci_ctl2_bank1;
    std::uint64_t mcg_ext_ctl;
};
static_assert(exact_layout<HvmVmceVcpu, 32>);

struct HvmTscAdjust {
    std::uint64_t tsc_adjust;
};
static_assert(exact_layout<HvmTscAdjust, 8>);

struct HvmMsr {
    std::uint32_t count;
    std::uint32_t _pad;
    // followed by HvmOneMsr msr[]
};
static_assert(exact_layout<HvmMsr, 8>);

inline constexpr std::uint32_t CPU_MSR_CODE = 20;

inline constexpr std::uint32_t HVM_SAVE_CODE_MAX = 20;

}  // namespace xen
