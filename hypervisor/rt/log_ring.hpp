// SPDX-License-Identifier: Apache-2.0
/// The log ring: the last lines the hypervisor wrote, for `xm dmesg`.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hypervisor/rt/log.hpp"
#include "lib/dev/transmit_ring.hpp"

namespace hv {

using dev::TextFrom;

inline constexpr uint32_t log_ring_size = 64 * 1024;  ///< without conring_size=

/// Copies text from ring position `index` on (0: the oldest text kept) and advances `index`.
/// With `clear`, what was read is forgotten. Returns the bytes copied.
size_t log_read(char* dst, size_t size, uint32_t& index, bool clear);

/// Appends raw text to the ring and the consoles.
void log_write(TextFrom from, const char* text, size_t n);
/// Shows text on the consoles only: dom0's own console, which is not the hypervisor's log. False: a console has no room
/// for it now, and nothing was shown.
bool console_write(const char* text, size_t n);

/// How many levels are kept, from 0 (none) to 4 (all): so many always, and so many at a limited rate.
struct LogLevels {
    uint8_t always;
    uint8_t limited;
    static constexpr uint8_t up_to(LogLevel l) { return static_cast<uint8_t>(static_cast<unsigned>(l) + 1); }
};
inline constexpr LogLevels default_own_levels{LogLevels::up_to(LogLevel::info), LogLevels::up_to(LogLevel::info)};
inline constexpr LogLevels default_guest_levels{0, LogLevels::up_to(LogLevel::warning)};
/// Set from loglvl= and guest_loglvl=.
void set_log_levels(LogLevels own, LogLevels guest);

/// What stands in brackets at the start of each line: console_timestamps=.
enum class Timestamps : uint8_t { none, date, date_ms, boot, raw };
void set_timestamps(Timestamps t);
/// Lets the ring keep what dom0 writes to its console too: console_to_ring.
void set_console_to_ring(bool on);
/// Moves the ring's text to other memory, of a power of two bytes: conring_size=.
void log_ring_move(char* to, uint32_t size);

/// A line of a guest's own text, at debug level: "(dN) text", without the hypervisor's name.
class LogLimit;
void guest_console_line(LogLimit& limit, unsigned domain, const char* text);

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
