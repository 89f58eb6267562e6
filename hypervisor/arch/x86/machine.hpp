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

/// The end after a failure: says `what` and what comes, and reboots after 5 s, or halts when the command line says noreboot.
[[noreturn]] void machine_failed(const char* what);

}  // namespace hv
