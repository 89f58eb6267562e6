// SPDX-License-Identifier: Apache-2.0
/// A 16550 serial line as console.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/base/result.hpp"

namespace hv {

struct SerialSettings {
    uint32_t baud = 115200;
    uint16_t port = 0x3f8;
    uint8_t irq = 4;
    uint8_t line = 3;  ///< line control register: 8n1
};

/// "115200,8n1[,IO[,IRQ]]" as com1= and com2= have it; `auto` keeps the rate the firmware set.
/// Errors: inval.
base::Result<SerialSettings> parse_serial(std::string_view text, SerialSettings defaults);
/// Takes the line as a console for output.
void serial_start(const SerialSettings& s);
/// Lets characters come in, by interrupt `gsi`. After the interrupt controllers are up.
void serial_enable_input(uint32_t gsi);
/// I/O ports of the console, which dom0 must not touch. False: no serial console.
bool serial_ports(uint16_t& first, uint16_t& last);
uint8_t serial_irq();

/// The text screen at 0xb8000.
void vga_start();

}  // namespace hv
