// SPDX-License-Identifier: Apache-2.0
/// The log ring: the last lines the hypervisor wrote, for `xm dmesg`.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hypervisor/rt/log.hpp"
#include "lib/base/rate_limit.hpp"
#include "lib/dev/transmit_ring.hpp"

namespace hv {

using base::default_guest_levels;
using base::default_own_levels;
using base::log_ring_size;
using base::LogLevels;
using base::Timestamps;
using dev::TextFrom;

/// Copies text from ring position `index` on (0: the oldest text kept) and advances `index`.
/// With `clear`, what was read is forgotten. Returns the bytes copied.
size_t log_read(char* dst, size_t size, uint32_t& index, bool clear);

/// Appends raw text to the ring and the consoles.
void log_write(TextFrom from, const char* text, size_t n);
/// Shows text on the consoles only: dom0's own console, which is not the hypervisor's log. False: a console has no room
/// for it now, and nothing was shown.
bool console_write(const char* text, size_t n);

/// From loglvl= and guest_loglvl=. These three may change at any time: the next line is written as they are then.
void set_log_levels(LogLevels own, LogLevels guest);

void set_timestamps(Timestamps t);
/// Lets the ring keep what dom0 writes to its console too: console_to_ring.
void set_console_to_ring(bool on);
/// Moves the ring's text to other memory, of a power of two bytes: conring_size=.
void log_ring_move(char* to, uint32_t size);

/// Who caused a line of guest_log(): the domain whose vCPU this CPU runs. domain/ knows.
struct GuestLogSource {
    base::RateLimit& limit;
    unsigned domain;
};
GuestLogSource guest_log_source();
/// A line of a guest's own text, at debug level: "(dN) text", without the hypervisor's name.
void guest_console_line(base::RateLimit& limit, unsigned domain, const char* text);

/// Somewhere that log text appears: serial line, screen. Registered once at boot, never removed. Its functions are called
/// under the console lock.
struct ConsoleSink {
    void (*write)(TextFrom from, const char* text, size_t n);
    bool (*has_room)(size_t n) = nullptr;  ///< for n characters of dom0's; without it: always
    bool (*pump)() = nullptr;              ///< sends what it can of what waits; true when some is left
    void (*flush)() = nullptr;             ///< sends all that waits, and from now on everything at once
    ConsoleSink* next = nullptr;
};
void add_console(ConsoleSink& sink);
/// True when text still waits afterwards. Context: anywhere.
bool console_pump();
/// Before the machine ends: what was written appears, and what will be written appears at once.
void console_flush();
/// Makes the console usable after a panic, whatever lock was held.
void console_break_lock();

}  // namespace hv
