// SPDX-License-Identifier: Apache-2.0
/// Starting the other CPUs, and requests between CPUs.
#pragma once

#include <cstdint>

namespace hv {

/// Starts the CPUs whose APIC ids are given (the boot CPU's own is skipped); fills `cpus` and cpu_count.
void smp_start(const uint32_t* apic_ids, unsigned count);
/// Does what other CPUs asked of this one (TLB flush). Callable anywhere.
void smp_serve_requests();
/// Prepares `cpu` as the CPU that executes this. First thing on every CPU.
void cpu_attach(unsigned cpu);
/// Stops all other CPUs for good.
void smp_stop_others();

namespace arch {
/// Leaves the start-up stack and enters the idle loop / first guest.
[[noreturn]] void enter_guest_loop();
}

}  // namespace hv
