// SPDX-License-Identifier: Apache-2.0
/// What the x86-64 interface adds: registers, traps, selectors, machine-to-phys, vCPU contexts.
#pragma once

#include "abi/xen/types.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t FLAT_RING3_CS32 = 0xe023;
inline constexpr std::uint32_t FLAT_RING3_CS64 = 0xe033;
inline constexpr std::uint32_t FLAT_RING3_DS32 = 0xe02b;
inline constexpr std::uint32_t FLAT_RING3_DS64 = 0x0000;
inline constexpr std::uint32_t FLAT_RING3_SS32 = 0xe02b;
inline constexpr std::uint32_t FLAT_RING3_SS64 = 0xe02b;
inline constexpr auto FLAT_KERNEL_DS64 = FLAT_RING3_DS64;
inline constexpr auto FLAT_KERNEL_DS32 = FLAT_RING3_DS32;
inline constexpr auto FLAT_KERNEL_DS = FLAT_KERNEL_DS64;
inline constexpr auto FLAT_KERNEL_CS64 = FLAT_RING3_CS64;
inline constexpr auto FLAT_KERNEL_CS32 = FLAT_RING3_CS32;
inline constexpr auto FLAT_KERNEL_CS = FLAT_KERNEL_CS64;
inline constexpr auto FLAT_KERNEL_SS64 = FLAT_RING3_SS64;
inline constexpr auto FLAT_KERNEL_SS32 = FLAT_RING3_SS32;
inline constexpr auto FLAT_KERNEL_SS = FLAT_KERNEL_SS64;
inline constexpr auto FLAT_USER_DS64 = FLAT_RING3_DS64;
inline constexpr auto FLAT_USER_DS32 = FLAT_RING3_DS32;
inline constexpr auto FLAT_USER_DS = FLAT_USER_DS64;
inline constexpr auto FLAT_USER_CS64 = FLAT_RING3_CS64;
inline constexpr auto FLAT_USER_CS32 = FLAT_RING3_CS32;
inline constexpr auto FLAT_USER_CS = FLAT_USER_CS64;
inline constexpr auto FLAT_USER_SS64 = FLAT_RING3_SS64;
inline constexpr auto FLAT_USER_SS32 = FLAT_RING3_SS32;
inline constexpr auto FLAT_USER_SS = FLAT_USER_SS64;

inline constexpr std::uint64_t HYPERVISOR_VIRT_START = 0xffff800000000000;
inline constexpr std::uint64_t HYPERVISOR_VIRT_END = 0xffff880000000000;

inline constexpr std::uint64_t MACH2PHYS_VIRT_START = 0xffff800000000000;
inline constexpr std::uint64_t MACH2PHYS_VIRT_END = 0xffff804000000000;
inline constexpr std::uint64_t MACH2PHYS_NR_ENTRIES = 0x0000000800000000;

inline constexpr std::uint32_t SEGBASE_FS = 0;
inline constexpr std::uint32_t SEGBASE_GS_USER = 1;
inline constexpr std::uint32_t SEGBASE_GS_KERNEL = 2;
inline constexpr std::uint32_t SEGBASE_GS_USER_SEL = 3;

inline constexpr std::uint32_t VGCF_in_syscall = 1u << 8;
inline constexpr auto VGCF_IN_SYSCALL = VGCF_in_syscall;

/// What HYPERVISOR_iret finds on the guest kernel's stack. flags: VGCF_in_syscall returns by SYSRET.
struct IretContext {
    std::uint64_t rax;
    std::uint64_t r11;
    std::uint64_t rcx;
    std::uint64_t flags;
    std::uint64_t rip;
    std::uint64_t cs;
    std::uint64_t rflags;
    std::uint64_t rsp;
    std::uint64_t ss;
};
static_assert(exact_layout<IretContext, 72>);

/// A vCPU's registers as the tools and the debugger see them.
struct CpuUserRegs {
    std::uint64_t r15;
    std::uint64_t r14;
    std::uint64_t r13;
    std::uint64_t r12;
    std::uint64_t rbp;
    std::uint64_t rbx;
    std::uint64_t r11;
    std::uint64_t r10;
    std::uint64_t r9;
    std::uint64_t r8;
    std::uint64_t rax;
    std::uint64_t rcx;
    std::uint64_t rdx;
    std::uint64_t rsi;
    std::uint64_t rdi;
    std::uint32_t error_code;
    std::uint32_t entry_vector;
    std::uint64_t rip;
    std::uint16_t cs;
    std::uint16_t _pad0[1];
    std::uint8_t saved_upcall_mask;
    std::uint8_t _pad1[3];
    std::uint64_t rflags;
    std::uint64_t rsp;
    std::uint16_t ss;
    std::uint16_t _pad2[3];
    std::uint16_t es;
    std::uint16_t _pad3[3];
    std::uint16_t ds;
    std::uint16_t _pad4[3];
    std::uint16_t fs;
    std::uint16_t _pad5[3];
    std::uint16_t gs;
    std::uint16_t _pad6[3];
};
static_assert(exact_layout<CpuUserRegs, 200>);

/// CR2 of the last page fault bounced to the guest.
struct ArchVcpuInfo {
    std::uint64_t cr2;
    std::uint64_t pad;
};
static_assert(exact_layout<ArchVcpuInfo, 16>);

inline constexpr std::uint32_t FIRST_RESERVED_GDT_PAGE = 14;
inline constexpr std::uint32_t FIRST_RESERVED_GDT_BYTE = 0xe000;
inline constexpr std::uint32_t FIRST_RESERVED_GDT_ENTRY = 0x1c00;

inline constexpr std::uint32_t XEN_LEGACY_MAX_VCPUS = 32;

/// One entry of a PV guest's virtual IDT; a table of them ends with address 0.
struct TrapInfo {
    std::uint8_t vector;
    std::uint8_t flags;
    std::uint16_t cs;
    std::uint32_t _pad;
    std::uint64_t address;
};
static_assert(exact_layout<TrapInfo, 16>);

inline constexpr std::uint32_t VGCF_I387_VALID = 1u << 0;
inline constexpr std::uint32_t VGCF_IN_KERNEL = 1u << 2;
inline constexpr std::uint32_t VGCF_i387_valid = 1u << 0;
inline constexpr std::uint32_t VGCF_in_kernel = 1u << 2;
inline constexpr std::uint32_t VGCF_failsafe_disables_events = 1u << 3;
inline constexpr std::uint32_t VGCF_syscall_disables_events = 1u << 4;
inline constexpr std::uint32_t VGCF_online = 1u << 5;

/// Everything a PV vCPU starts with or is saved as (VCPUOP_initialise, set/getvcpucontext). gdt_frames are frames;
/// ctrlreg[1] holds the user page table's CR3.
struct VcpuGuestContext {
    struct {
        char x[512];
    } fpu_ctxt;
    std::uint64_t flags;
    CpuUserRegs user_regs;
    TrapInfo trap_ctxt[256];
    std::uint64_t ldt_base;
    std::uint64_t ldt_ents;
    std::uint64_t gdt_frames[16];
    std::uint64_t gdt_ents;
    std::uint64_t kernel_ss;
    std::uint64_t kernel_sp;
    std::uint64_t ctrlreg[8];
    std::uint64_t debugreg[8];
    std::uint64_t event_callback_eip;
    std::uint64_t failsafe_callback_eip;
    std::uint64_t syscall_callback_eip;
    std::uint64_t vm_assist;
    std::uint64_t fs_base;
    std::uint64_t gs_base_kernel;
    std::uint64_t gs_base_user;
};
static_assert(exact_layout<VcpuGuestContext, 5168>);

/// Where a PV guest publishes its p2m for the tools, and why an NMI came.
struct ArchSharedInfo {
    std::uint64_t max_pfn;
    xen_pfn_t pfn_to_mfn_frame_list_list;
    std::uint64_t nmi_reason;
    std::uint64_t p2m_cr3;
    std::uint64_t p2m_vaddr;
    std::uint64_t p2m_generation;
};
static_assert(exact_layout<ArchSharedInfo, 48>);

inline constexpr std::uint32_t XEN_X86_EMU_LAPIC = 1u << 0;
inline constexpr std::uint32_t XEN_X86_EMU_HPET = 1u << 1;
inline constexpr std::uint32_t XEN_X86_EMU_PM = 1u << 2;
inline constexpr std::uint32_t XEN_X86_EMU_RTC = 1u << 3;
inline constexpr std::uint32_t XEN_X86_EMU_IOAPIC = 1u << 4;
inline constexpr std::uint32_t XEN_X86_EMU_PIC = 1u << 5;
inline constexpr std::uint32_t XEN_X86_EMU_VGA = 1u << 6;
inline constexpr std::uint32_t XEN_X86_EMU_IOMMU = 1u << 7;
inline constexpr std::uint32_t XEN_X86_EMU_PIT = 1u << 8;
inline constexpr std::uint32_t XEN_X86_EMU_USE_PIRQ = 1u << 9;
inline constexpr std::uint32_t XEN_X86_EMU_VPCI = 1u << 10;
inline constexpr std::uint32_t XEN_X86_EMU_ALL = 2047;
inline constexpr std::uint32_t XEN_X86_MSR_RELAXED = 1u << 0;

/// x86 part of domain creation: which devices the hypervisor emulates (none for PV).
struct ArchDomainConfig {
    std::uint32_t emulation_flags;
    std::uint32_t misc_flags;
};
static_assert(exact_layout<ArchDomainConfig, 8>);

inline constexpr auto XEN_X86_MISC_FLAGS_MAX = XEN_X86_MSR_RELAXED;

inline constexpr std::uint32_t XEN_CPUID_NO_SUBLEAF = 0xffffffff;

/// One CPUID leaf of a policy.
struct CpuidLeaf {
    std::uint32_t leaf;
    std::uint32_t subleaf;
    std::uint32_t a;
    std::uint32_t b;
    std::uint32_t c;
    std::uint32_t d;
};
static_assert(exact_layout<CpuidLeaf, 24>);

/// One MSR of a policy.
struct MsrEntry {
    std::uint32_t idx;
    std::uint32_t flags;
    std::uint64_t val;
};
static_assert(exact_layout<MsrEntry, 16>);

inline constexpr std::uint32_t XEN_HVM_DEBUGCONS_IOPORT = 0xe9;

/// CR3 and frame number: equal up to the shift on x86-64, unlike the rotated form of 32-bit guests.
constexpr std::uint64_t xen_pfn_to_cr3(xen_pfn_t pfn) noexcept { return pfn << 12; }
constexpr xen_pfn_t xen_cr3_to_pfn(std::uint64_t cr3) noexcept { return cr3 >> 12; }

/// Fields of TrapInfo::flags: the least privileged ring that may raise the trap by INT, and whether to mask events.
constexpr std::uint8_t TI_GET_DPL(const TrapInfo& info) noexcept { return info.flags & 3; }
constexpr bool TI_GET_IF(const TrapInfo& info) noexcept { return (info.flags & 4) != 0; }

/// UD2 followed by "xen": in front of CPUID it asks the hypervisor to execute the CPUID for a PV guest.
inline constexpr std::uint8_t XEN_EMULATE_PREFIX[5] = {0x0f, 0x0b, 0x78, 0x65, 0x6e};

}  // namespace xen
