// SPDX-License-Identifier: Apache-2.0
/// User mode: code of the kernel run with the kernel's mappings, but as its user.
#pragma once

#include "guests/tiny/traps.hpp"

namespace guest {

/// Makes this vCPU's user page tables: a root of their own with the same entries as the kernel's. False when refused.
bool make_user_tables();

/// Runs code at `rip` in user mode with rdi = argument, until an exception or SYSCALL brings it back; that is the Trap. The code
/// runs on `stack_top`; user_finish() ends it. Needs make_user_tables.
Trap run_user(uint64_t rip, uint64_t argument, uint64_t stack_top, uint64_t rflags = 0x202);

/// Runs a function of the guest in user mode on a stack for that. It must not call anything that needs the kernel.
Trap run_user(void (*fn)(uint64_t), uint64_t argument = 0);

}  // namespace guest
