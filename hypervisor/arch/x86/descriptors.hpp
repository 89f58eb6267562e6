// SPDX-License-Identifier: Apache-2.0
/// Each CPU's descriptor tables: GDT page, TSS, the IDT they share.
#pragma once

#include <cstdint>

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/direct_map.hpp"

namespace hv {

inline constexpr uint16_t sel_hv_cs = 0xe008;
inline constexpr uint16_t sel_hv_ds = 0xe010;
inline constexpr uint16_t sel_tss = 0xe040;
inline constexpr uint16_t sel_ldt = 0xe050;
inline constexpr uint64_t gdt_reserved_offset = 0xe000;  ///< FIRST_RESERVED_GDT_BYTE
inline constexpr uint16_t gdt_limit = 0xefff;

inline constexpr uint8_t ist_fatal = 1;  ///< double fault, machine check
inline constexpr uint8_t ist_nmi = 2;
inline constexpr uint8_t ist_debug = 3;  ///< #DB: a guest can have it come at the first instruction of SYSCALL's entry

/// The page where a CPU will have its GDT; zeroed. Before load_descriptors() there.
void set_gdt_page(unsigned cpu, void* page);
bool has_gdt_page(unsigned cpu);
/// Builds this CPU's GDT and TSS, loads GDT, TSS, IDT and the SYSCALL registers.
void load_descriptors(Cpu& cpu);
/// The page that holds this CPU's reserved GDT entries (0xe000 and up).
Mfn gdt_page(unsigned cpu);
/// Points GDTR at a window that holds the reserved page at offset 0xe000.
void load_gdtr(uint64_t base);
/// GDTR for when no guest is loaded.
void load_own_gdtr(Cpu& cpu);
/// The LDT of the running vCPU: `entries` 0 unloads.
void load_ldt(Cpu& cpu, uint64_t base, uint32_t entries);

}  // namespace hv
