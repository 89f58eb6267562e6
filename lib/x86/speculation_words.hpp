// SPDX-License-Identifier: Apache-2.0
/// What is said at boot about speculation, in the manner of Xen's own lines. Pure.
#pragma once

#include "lib/x86/speculation_policy.hpp"

namespace x86 {

/// Says, a line a call, what the CPU tells of itself and what the plan turned on, and why.
void describe_speculation(const CpuTraits& cpu, const SpeculationPlan& plan, void (*say)(const char* line));

}  // namespace x86
