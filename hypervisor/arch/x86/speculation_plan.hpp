// SPDX-License-Identifier: Apache-2.0
/// What this machine's CPUs are, and what is done about speculation on them.
#pragma once

#include "lib/x86/speculation_policy.hpp"

namespace hv {

using namespace x86;

/// Set once at boot, on the boot CPU.
inline constinit CpuTraits cpu_traits;
inline constinit SpeculationPlan speculation;

}  // namespace hv
