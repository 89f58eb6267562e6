// SPDX-License-Identifier: Apache-2.0
/// CPUID as a PV guest finds it: its domain's policy, and what depends on the state of the vCPU.
#pragma once

#include "hypervisor/domain/vcpu.hpp"

namespace hv {

/// Executes CPUID for the guest: eax and ecx select, eax to edx are replaced.
void pv_cpuid(Vcpu& v, Regs& r);

}  // namespace hv
