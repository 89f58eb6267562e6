// SPDX-License-Identifier: Apache-2.0
/// A 16550 serial line as console.
#pragma once

#include <cstdint>

#include "lib/parse/serial.hpp"

namespace hv {

/// Takes the line as a console for output: what is written appears at once. Without such a port nothing happens.
void serial_start(const parse::SerialSettings& s);
/// From now on output waits in a ring and leaves by interrupt `gsi`, or by a timer when that never comes; `synchronous`:
/// it goes on to appear at once. Lets characters come in. After the interrupt controllers are up.
void serial_enable_interrupts(uint32_t gsi, bool synchronous);
/// Arms the timer that looks after the ring: SoftIrq::console. Context: no locks.
void serial_watch();
/// I/O ports of the console, which dom0 must not touch. False: no serial console.
bool serial_ports(uint16_t& first, uint16_t& last);
uint8_t serial_irq();

/// The text screen at 0xb8000.
void vga_start();
/// Writes to it no more: dom0 takes the adapter.
void vga_leave();

}  // namespace hv
