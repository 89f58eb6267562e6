// SPDX-License-Identifier: Apache-2.0
/// What the instruction CPUID answers.
#pragma once

#include <cstdint>

namespace x86 {

struct CpuidResult {
    uint32_t a, b, c, d;
};
/// Asks the machine's CPUs, or plays some others.
using CpuidReader = CpuidResult (*)(uint32_t leaf, uint32_t subleaf);

}  // namespace x86
