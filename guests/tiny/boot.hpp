// SPDX-License-Identifier: Apache-2.0
/// How a guest starts and ends.
#pragma once

#include "guests/tiny/cpu.hpp"

/// What a guest does; each guest defines it. It runs on vCPU 0 with upcalls masked, exceptions caught and the shared page
/// mapped. What it returns is the status that power_off reports.
int guest_main();

namespace guest {

extern const xen::StartInfo* info;

/// Is this kernel in dom0's place?
inline bool is_dom0() { return info->flags & xen::SIF_INITDOMAIN; }

/// The value of `key=VALUE` in the command line as a number (decimal, or hexadecimal after 0x), or `otherwise`.
uint64_t option(const char* key, uint64_t otherwise);
/// Is `word` one of the words of the command line?
bool has_word(const char* word);

/// Prints `guest: status N` and ends the domain; a guest in dom0's place restarts the machine, which ends an emulator that
/// was told not to restart.
[[noreturn]] void power_off(int status);
/// Ends the domain for one of SHUTDOWN_*.
[[noreturn]] void shut_down(uint32_t reason);

}  // namespace guest
