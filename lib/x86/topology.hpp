// SPDX-License-Identifier: Apache-2.0
/// Which bits of an APIC id say what of a CPU's place: its thread, below that of its core, below that of its package. Pure.
#pragma once

#include <cstdint>

#include "lib/x86/cpuid.hpp"

namespace x86 {

struct Topology {
    unsigned thread_bits = 0;   ///< the low bits that tell the threads of a core apart
    unsigned package_bits = 0;  ///< those that tell CPUs of a package apart; at least thread_bits

    uint32_t core(uint32_t apic_id) const { return (apic_id & ((1u << package_bits) - 1)) >> thread_bits; }
    uint32_t socket(uint32_t apic_id) const { return apic_id >> package_bits; }
};

/// By leaf 0xb where it is (SDM 3A 9.9); else by leaves 0x80000008 and 0x8000001e of AMD's CPUs (APM 3 E.4.7, E.4.16), else by leaf 1.
Topology read_topology(CpuidReader read, bool amd);

}  // namespace x86
