// SPDX-License-Identifier: Apache-2.0
/// CR4 of a PV guest: a few bits are its own, some show what holds for every guest, the rest is the hypervisor's.
#pragma once

#include <cstdint>

#include "hypervisor/arch/x86/hw.hpp"

namespace hv {

struct Domain;
struct Vcpu;

/// Bits that a guest turns on and off. The CPU's own register follows them while the guest runs.
inline constexpr uint64_t cr4_guest_bits = hw::cr4_tsd | hw::cr4_de | hw::cr4_fsgsbase | hw::cr4_osxsave;

/// What is left of `wanted`: the guest's own bits, as far as `d`'s CPUID offers their features.
uint64_t pv_cr4_allowed(const Domain& d, uint64_t wanted);
/// What a MOV from CR4 shows.
uint64_t pv_cr4_shown(const Vcpu& v);

}  // namespace hv
