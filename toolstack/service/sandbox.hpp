// SPDX-License-Identifier: Apache-2.0
#pragma once

// A child process that may read files and compute.

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <initializer_list>

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

/// Makes these descriptors 0, 1, 2, … of this process, closes all others, and gives signals their defaults: the first of what a
/// child does that becomes another program. False: the system refused.
bool take_descriptors(std::initializer_list<int> wanted);

/// Whether a child ends in time. It is not reaped, nor ended.
bool ends_by(pid_t child, std::chrono::steady_clock::time_point end);

}  // namespace service
