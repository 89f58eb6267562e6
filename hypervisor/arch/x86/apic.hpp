// SPDX-License-Identifier: Apache-2.0
/// The local APIC of each CPU (xAPIC mode), and the vectors the hypervisor uses.
#pragma once

#include <cstdint>

#include "hypervisor/arch/x86/cpu.hpp"
#include "lib/base/types.hpp"

namespace hv {

/// Vectors: devices get 0x30..0xef, handed out by irq/.
inline constexpr uint8_t vector_first_device = 0x30;
inline constexpr uint8_t vector_last_device = 0xef;
inline constexpr uint8_t vector_timer = 0xf8;
inline constexpr uint8_t vector_kick = 0xfb;
inline constexpr uint8_t vector_flush = 0xfc;
inline constexpr uint8_t vector_halt = 0xfd;
inline constexpr uint8_t vector_error = 0xfe;
inline constexpr uint8_t vector_spurious = 0xff;

namespace apic {
/// Maps the registers and measures the timer against the TSC. Boot CPU, after the clock is calibrated.
void init_boot_cpu(uint64_t physical_base);
/// Enables this CPU's APIC.
void init_this_cpu();
uint32_t id();
void eoi();
/// Sends a fixed interrupt to one CPU / all others.
void send_ipi(uint32_t apic_id, uint8_t vector);
void send_ipi_others(uint8_t vector);
/// INIT, then start-up at `page` (physical address >> 12).
void send_init(uint32_t apic_id);
void send_startup(uint32_t apic_id, uint8_t page);
/// One-shot timer; base::Nanos::never() stops it.
void set_timer(base::Nanos deadline);
}  // namespace apic

}  // namespace hv
