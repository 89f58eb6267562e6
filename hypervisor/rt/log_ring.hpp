// SPDX-License-Identifier: Apache-2.0
/// The log ring: the last lines the hypervisor wrote, for `xm dmesg`.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hypervisor/rt/log.hpp"

namespace hv {

inline constexpr size_t log_ring_size = 64 * 1024;

/// Copies text from ring position `index` on (0: the oldest text kept) and advances `index`.
/// With `clear`, what was read is forgotten. Returns the bytes copied.
size_t log_read(char* dst, size_t size, uint32_t& index, bool clear);
/// Appends raw text to the ring and the consoles.
void log_write(const char* text, size_t n);
/// Shows text on the consoles only: dom0's own console, which is not the hypervisor's log.
void console_write(const char* text, size_t n);

/// Lines that guests cause: kept up to `always`; up to `limited` at most ten a second.
struct GuestLogLevels {
    LogLevel always = LogLevel::error;
    LogLevel limited = LogLevel::warning;
};
/// Levels up to which lines are kept: our own, and those caused by guests. Set from loglvl= and guest_loglvl=.
void set_log_levels(LogLevel own, GuestLogLevels guest);

/// Somewhere that log text appears: serial line, screen. Registered once at boot, never removed.
struct ConsoleSink {
    void (*write)(const char* text, size_t n);
    ConsoleSink* next = nullptr;
};
void add_console(ConsoleSink& sink);
/// Makes the console usable after a panic, whatever lock was held.
void console_break_lock();

}  // namespace hv
