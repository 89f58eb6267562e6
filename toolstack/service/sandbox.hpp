// SPDX-License-Identifier: Apache-2.0
#pragma once

// A process that may read files and compute.

#include <cstddef>

namespace service {

/// What a process in the sandbox may use.
struct SandboxLimits {
    unsigned cpu_seconds = 2;
    size_t memory = size_t{512} << 20U;
};

/// Makes this process one that can only read files and compute, for good: system calls of any other kind fail with EPERM,
/// and `limits` hold. It can still write to descriptors that it has. Between fork and exec; allocates. Returns errno, 0 when it
/// holds.
int enter_sandbox(const SandboxLimits& limits);

}  // namespace service
