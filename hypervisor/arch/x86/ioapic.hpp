// SPDX-License-Identifier: Apache-2.0
/// The I/O APICs: redirection entries by global interrupt number (GSI).
#pragma once

#include <cstdint>

namespace hv::ioapic {
#ifdef HV_HOST
inline unsigned gsi_count() { return 24; }
inline void route(uint32_t, uint8_t, bool, bool) {}
inline void set_mask(uint32_t, bool) {}
inline bool read(uint64_t, uint32_t, uint32_t&) { return false; }
inline void local_eoi() {}
inline uint32_t msi_address() { return 0xfee00000; }
#else
/// Boot: adds an I/O APIC; all its inputs are masked.
void add(uint64_t physical, uint32_t gsi_base);
/// GSIs 0..gsi_count()-1 may exist.
unsigned gsi_count();
/// Programs a GSI's entry, masked; delivered to the boot CPU.
void route(uint32_t gsi, uint8_t vector, bool level, bool active_low);
void set_mask(uint32_t gsi, bool masked);
/// Register `reg` of the I/O APIC at `physical` (dom0 reads version and id). False: no such I/O APIC.
bool read(uint64_t physical, uint32_t reg, uint32_t& value);
void local_eoi();
/// Message address for MSIs to the boot CPU.
uint32_t msi_address();
#endif
}  // namespace hv::ioapic
