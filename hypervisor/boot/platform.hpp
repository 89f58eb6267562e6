// SPDX-License-Identifier: Apache-2.0
/// The machine as ACPI describes it: CPUs, interrupt controllers, power registers.
#pragma once

#include <cstdint>

#include "lib/parse/acpi.hpp"
#include "lib/parse/multiboot.hpp"

namespace hv {

struct Platform {
    bool has_fadt = false, has_hpet = false, has_madt = false;
    parse::AcpiFadt fadt;
    parse::AcpiHpet hpet;
    parse::AcpiMadt madt;
    parse::AcpiSleepType s5{};
    bool has_s5 = false;
};
extern Platform platform;

/// Reads the ACPI tables; a machine without them gets one CPU and no power-off.
void platform_discover(const parse::BootRecord& record, const parse::PhysicalWindow& memory);
/// Brings up local APIC and I/O APICs. After the clock is calibrated.
void platform_init_interrupts();
/// The GSI of an ISA interrupt.
uint32_t isa_gsi(uint8_t irq);

}  // namespace hv
