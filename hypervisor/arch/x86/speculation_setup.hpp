// SPDX-License-Identifier: Apache-2.0
/// Carrying out the plan about speculation on this machine's CPUs.
#pragma once

#include "hypervisor/arch/x86/speculation_plan.hpp"

namespace hv {

/// Boot CPU: reads what the CPU is and makes the plan; the entry stubs become what it needs. Before the text becomes
/// read-only, and before enable_features().
void speculation_init(const SpeculationOptions& o);
/// Every CPU: the registers that the plan sets once.
void speculation_init_cpu();
/// Says what is on, and why.
void speculation_report();

}  // namespace hv
