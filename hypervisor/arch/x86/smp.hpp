// SPDX-License-Identifier: Apache-2.0
/// Starting the other CPUs, and requests between CPUs.
#pragma once

#include <cstdint>

namespace hv {

/// Starts a CPU by its APIC id and waits for it. Its `Cpu`, timers and idle vCPU must be ready: it goes straight to the
/// idle loop. False: it does not answer. Boot only, one at a time.
bool smp_start_cpu(unsigned cpu, uint32_t apic_id);
/// The same, to switch it off: with its control registers and descriptors set it halts for good, and still takes the machine
/// checks and NMIs that are sent to a whole core. `cpu` must be a number that no running CPU has.
bool smp_park_cpu(unsigned cpu, uint32_t apic_id);
/// Does what other CPUs asked of this one (TLB flush). Callable anywhere.
void smp_serve_requests();
/// Prepares `cpu` as the CPU that executes this. First thing on every CPU.
void cpu_attach(unsigned cpu);
/// Stops all other CPUs for good.
void smp_stop_others();

namespace arch {
/// Leaves the start-up stack and enters the idle loop / first guest.
[[noreturn]] void enter_guest_loop();
}  // namespace arch

}  // namespace hv
