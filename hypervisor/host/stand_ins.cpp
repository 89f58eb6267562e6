// SPDX-License-Identifier: Apache-2.0
/// The few data and functions of arch/x86, boot/ and rt/ that the core names.
#include <cstdio>
#include <cstdlib>

#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/machine.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/rt/log_ring.hpp"

namespace hv {

CpuFeatures cpu_features;

namespace {
uint64_t empty_l4[512];

[[noreturn]] void end(const char* how) {
    std::fprintf(stderr, "host machine: %s\n", how);
    std::exit(0);
}
}  // namespace

uint64_t* idle_l4 = empty_l4;
uint64_t idle_cr3() { return 0; }

void machine_power_off() { end("power off"); }
void machine_restart() { end("restart"); }
void machine_halt() { end("halt"); }

size_t log_read(char*, size_t, uint32_t&, bool) { return 0; }
void log_write(const char*, size_t) {}
void console_write(const char*, size_t) {}
void set_log_levels(LogLevel, GuestLogLevels) {}

}  // namespace hv
