// SPDX-License-Identifier: Apache-2.0
/// What the CPUs of this machine can do, as far as the hypervisor uses it. Read once on the boot CPU.
#pragma once

#include <cstdint>

#include "lib/x86/topology.hpp"

namespace hv {

struct CpuFeatures {
    bool smep = false, smap = false, umip = false, xsave = false, rdtscp = false;
    bool gib_pages = false, pge = false;
    uint64_t xcr0 = 0;          ///< XCR0 bits guests may use: x87, SSE, AVX as far as present
    uint32_t xsave_size = 512;  ///< bytes of the save area for xcr0
    unsigned physical_bits = 36;
    x86::Topology topology;
    uint64_t cr4 = 0;  ///< CR4 while the hypervisor runs, before a guest's bits
    bool amd = false;
    bool x87_pointers_stay = false;  ///< FXRSTOR and XRSTOR load FIP, FDP and FOP only with an exception pending
    char brand[49] = {};
};
extern CpuFeatures cpu_features;

/// Whether XSETBV takes `xcr0` and guests may have it: another value is a fault of whoever executes that.
inline bool xcr0_allowed(uint64_t xcr0) {
    constexpr uint64_t x87 = 1, sse = 2, avx = 4;
    return (xcr0 & x87) && (!(xcr0 & avx) || (xcr0 & sse)) && !(xcr0 & ~cpu_features.xcr0);
}

/// Boot CPU: fills cpu_features.
void detect_features();
/// Every CPU: control registers, PAT, XCR0 for our use.
void enable_features();
/// Makes STAC/CLAC real where the CPU has SMAP. Boot, before the text becomes read-only.
void patch_smap_sites();

}  // namespace hv
