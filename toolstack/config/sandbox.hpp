// SPDX-License-Identifier: Apache-2.0
#pragma once

// Internal to config/: a process that may read files and compute.

#include "toolstack/config/program.hpp"

namespace config {

/// Makes this process one that can only read files and compute, for good: system calls of any other kind fail with EPERM,
/// and the limits of `limits` hold. Between fork and exec; allocates. Returns errno, 0 when it holds.
int enter_sandbox(const ProgramLimits& limits);

}  // namespace config
