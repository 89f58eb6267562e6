// SPDX-License-Identifier: Apache-2.0
/// A machine that is none: memory is an arena, the clock a variable, CPUs are threads (or whatever a test says), interrupts
/// are counts. What host tests of the hypervisor's core stand on.
#pragma once

#include <atomic>
#include <cstdint>

#include "hypervisor/arch/x86/cpu.hpp"
#include "lib/base/types.hpp"
#include "lib/parse/efi.hpp"

namespace hv::host {

/// Powers on: `cpu_count` CPUs with timers and run queues, `frames` free frames of memory, the system domains. Replaces
/// any machine before it. The calling thread becomes CPU 0.
void power_on(unsigned cpu_count, uint64_t frames = 4096);
/// Frees the arena.
void power_off();

/// The calling thread acts as this CPU from now on.
void become(unsigned cpu);

/// System time, and moving it.
base::Nanos now();
void advance(base::Nanos by);

/// What the hypervisor asked of the hardware.
struct CpuRecord {
    std::atomic<uint64_t> kicks{0};
    std::atomic<uint64_t> tlb_flushes{0};
    std::atomic<int64_t> deadline{INT64_MAX};  ///< of the timer interrupt
};
CpuRecord& record(unsigned cpu);

/// Lets arch::preempt_wanted() answer yes each n-th time; 0: never.
void preempt_every(unsigned n);

/// Only these addresses of the process are guest memory; anything else faults. Without it everything is but page 0.
void guest_window(uint64_t first, uint64_t bytes);

/// Called by arch::switch_to(), after `current` changed. For tests that check who runs where.
extern void (*on_switch)(Vcpu& prev, Vcpu& next);

/// Called by whoever waits for another CPU: what that CPU would do meanwhile. For tests where one thread plays all CPUs.
extern void (*on_spin)();
/// False: the log's lines go only where a test's own console takes them.
extern bool log_to_stderr;
extern bool reboot_after_panic;  ///< as noreboot says

/// What plays UEFI's run-time services, where a test sets efi_firmware.
using EfiFake = uint64_t (*)(parse::EfiService s, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e);
extern EfiFake efi_service;

/// One turn of the soft interrupt loop of the calling CPU: timers that expired, then rescheduling.
void soft_interrupts();

}  // namespace hv::host
