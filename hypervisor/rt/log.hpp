// SPDX-License-Identifier: Apache-2.0
/// Formatted log output: "(XEN) ..." lines into the ring and onto the consoles.
#pragma once

#include <cstdint>

#include "lib/base/format.hpp"
#include "lib/base/log_settings.hpp"

namespace hv {

using base::format;
using base::LogLevel;
using base::vformat;

/// Writes one line; formats as in lib/base/format.hpp.
/// Context: anywhere; takes the console lock.
void log(LogLevel level, const char* fmt, ...) __attribute__((format(printf, 2, 3)));
/// The same for what the guest that this CPU runs caused: subject to guest_loglvl, and limited for each domain.
void guest_log(LogLevel level, const char* fmt, ...) __attribute__((format(printf, 2, 3)));

/// False: a line of this level would not be kept, so its text need not be found out.
bool guest_log_wanted(LogLevel level);

/// Stops the machine: registers, stack and domain go to the console, then halt or reboot as the command line asks.
[[noreturn]] void panic(const char* fmt, ...) __attribute__((format(printf, 1, 2)));

/// A mistake of the user's at boot, not ours: the line, 5 s to read it, and the end as after a panic, without a dump.
[[noreturn]] void give_up(const char* fmt, ...) __attribute__((format(printf, 1, 2)));

}  // namespace hv

#define HV_STR2(x) #x
#define HV_STR(x) HV_STR2(x)
/// A broken invariant of ours after which continuing is unsafe; present in every build.
#define HV_ASSERT(c)                                                                      \
    do {                                                                                  \
        if (!(c)) [[unlikely]]                                                            \
            ::hv::panic("Assertion failed: %s at %s", #c, __FILE__ ":" HV_STR(__LINE__)); \
    } while (false)
#ifdef HV_DEBUG
#define HV_DEBUG_ASSERT(c) HV_ASSERT(c)
#else
#define HV_DEBUG_ASSERT(c) \
    do {                   \
    } while (false)
#endif
