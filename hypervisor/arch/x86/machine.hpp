// SPDX-License-Identifier: Apache-2.0
/// Ending the machine.
#pragma once

namespace hv {

/// Powers off through ACPI S5; halts for ever when the machine has none.
[[noreturn]] void machine_power_off();
/// Resets: ACPI reset register, keyboard controller, port 0xcf9, triple fault.
[[noreturn]] void machine_restart();
/// Stops every CPU with interrupts off.
[[noreturn]] void machine_halt();

}  // namespace hv
