// SPDX-License-Identifier: Apache-2.0
/// The I/O APICs: redirection entries by global interrupt number (GSI).
#pragma once

#include <cstdint>

#include "lib/x86/interrupt_message.hpp"

namespace hv::ioapic {
#ifdef HV_HOST
inline unsigned gsi_count() { return 24; }
inline uint64_t host_entries[24];  ///< what the inputs' entries say
inline void route(uint32_t gsi, uint64_t entry) { host_entries[gsi] = entry; }
inline void set_mask(uint32_t gsi, bool masked) {
    constexpr uint64_t bit = x86::ioapic_entry::masked;
    host_entries[gsi] = masked ? host_entries[gsi] | bit : host_entries[gsi] & ~bit;
}
inline bool read(uint64_t, uint32_t, uint32_t&) { return false; }
inline void local_eoi() {}
inline uint32_t destination() { return 0; }
#else
// An I/O APIC's registers are reached through one index: after boot these are for who holds the interrupt lock.
/// Boot: adds an I/O APIC; all its inputs are masked.
void add(uint64_t physical, uint32_t gsi_base);
/// GSIs 0..gsi_count()-1 may exist.
unsigned gsi_count();
/// Programs a GSI's entry: masked, as x86::ioapic_entry_for() makes it.
void route(uint32_t gsi, uint64_t entry);
void set_mask(uint32_t gsi, bool masked);
/// Register `reg` of the I/O APIC at `physical` (dom0 reads version and id). False: no such I/O APIC.
bool read(uint64_t physical, uint32_t reg, uint32_t& value);
void local_eoi();
/// The local APIC's id of the CPU that takes device interrupts: the boot CPU.
uint32_t destination();
#endif
}  // namespace hv::ioapic
