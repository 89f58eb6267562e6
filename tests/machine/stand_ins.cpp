// SPDX-License-Identifier: Apache-2.0
/// The few data and functions of arch/x86, boot/ and rt/ that the core names.
#include <cstdio>
#include <cstdlib>

#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/firmware.hpp"
#include "hypervisor/arch/x86/machine.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "tests/machine/host.hpp"

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

parse::EfiFirmware efi_firmware;
host::EfiFake host::efi_service = nullptr;
uint64_t arch::efi_call(parse::EfiService s, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
    return host::efi_service(s, a, b, c, d, e);
}

void machine_power_off() { end("power off"); }
void machine_restart() { end("restart"); }
void machine_halt() { end("halt"); }
void machine_failed(const char* what) { end(what); }

}  // namespace hv
