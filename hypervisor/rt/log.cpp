// SPDX-License-Identifier: Apache-2.0
/// The log: lines into the ring and onto the consoles.
#include "hypervisor/rt/log.hpp"

#include <atomic>
#include <cstdarg>
#include <cstring>

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log_ring.hpp"
#include "hypervisor/rt/timestamp.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv {
namespace {

constinit Spinlock console_lock{Rank::console};
char first_ring[log_ring_size];
char* ring = first_ring;
uint32_t ring_size = log_ring_size;  ///< a power of two
// Positions count bytes ever written; the ring holds [ring_start, ring_end).
uint32_t ring_start = 0;
uint32_t ring_end = 0;
ConsoleSink* sinks = nullptr;
// Chosen while others write: each by itself, in no order.
std::atomic<LogLevels> own_levels{default_own_levels};
std::atomic<LogLevels> guest_levels{default_guest_levels};
std::atomic<Timestamps> timestamps{Timestamps::none};
std::atomic<bool> console_to_ring{false};
std::atomic<bool> lock_broken{false};
constinit base::RateLimit own_limit{10, base::Nanos::ms(500)};

/// Does `f` under the console lock, or without it once a panic broke it.
template <class F>
auto locked(F f) {
    if (lock_broken.load(std::memory_order_relaxed)) return f();
    Guard g(console_lock);
    return f();
}

void show(TextFrom from, const char* text, size_t n) {
    for (ConsoleSink* s = sinks; s; s = s->next) s->write(from, text, n);
}

void append(const char* text, size_t n) {
    for (size_t i = 0; i < n; ++i) ring[(ring_end + i) % ring_size] = text[i];
    ring_end += static_cast<uint32_t>(n);
    if (ring_end - ring_start > ring_size) ring_start = ring_end - ring_size;
}

void write_line(TextFrom from, const char* prefix, const char* fmt, va_list ap) __attribute__((format(printf, 3, 0)));
void write_line(TextFrom from, const char* prefix, const char* fmt, va_list ap) {
    constexpr size_t size = 512;
    char line[size];
    size_t n = format(line, size, "%s", prefix);
    n += format_timestamp(line + n, size - n, timestamps.load(std::memory_order_relaxed));
    n += vformat(line + n, size - n - 1, fmt, ap);
    if (n > size - 2) n = size - 2;
    line[n++] = '\n';
    log_write(from, line, n);
}

void write(TextFrom from, const char* prefix, const char* fmt, ...) __attribute__((format(printf, 3, 4)));
void write(TextFrom from, const char* prefix, const char* fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    write_line(from, prefix, fmt, ap);
    va_end(ap);
}

constexpr const char* own_prefix = "(XEN) ";

/// True when a line of this level is to be kept. `source` is asked for its share only when the level is a limited one.
template <class Source>
bool kept(const std::atomic<LogLevels>& chosen, LogLevel level, Source source) {
    const LogLevels levels = chosen.load(std::memory_order_relaxed);
    const auto l = static_cast<uint8_t>(level);
    if (l < levels.always) return true;
    return l < levels.limited && source();
}

/// Takes a line from a domain's share, and says how many went before it without one.
bool share_of(base::RateLimit& limit, unsigned domain) {
    if (!limit.take(clock::now())) return false;
    if (const uint32_t refused = limit.take_refused())
        write(TextFrom::guest, own_prefix, "d%u: %u lines suppressed", domain, refused);
    return true;
}

}  // namespace

void log_write(TextFrom from, const char* text, size_t n) {
    locked([&] {
        append(text, n);
        show(from, text, n);
    });
}

bool console_write(const char* text, size_t n) {
    return locked([&] {
        for (ConsoleSink* s = sinks; s; s = s->next)
            if (s->has_room && !s->has_room(n)) return false;
        if (console_to_ring.load(std::memory_order_relaxed)) append(text, n);
        show(TextFrom::dom0_console, text, n);
        return true;
    });
}

bool console_pump() {
    return locked([] {
        bool waits = false;
        for (ConsoleSink* s = sinks; s; s = s->next)
            if (s->pump && s->pump()) waits = true;
        return waits;
    });
}

void console_flush() {
    locked([] {
        for (ConsoleSink* s = sinks; s; s = s->next)
            if (s->flush) s->flush();
    });
}

void console_break_lock() { lock_broken.store(true, std::memory_order_relaxed); }

void add_console(ConsoleSink& sink) {
    Guard g(console_lock);
    sink.next = sinks;
    sinks = &sink;
}

void set_log_levels(LogLevels own, LogLevels guest) {
    own_levels.store(own, std::memory_order_relaxed);
    guest_levels.store(guest, std::memory_order_relaxed);
}

void set_timestamps(Timestamps t) { timestamps.store(t, std::memory_order_relaxed); }
void set_console_to_ring(bool on) { console_to_ring.store(on, std::memory_order_relaxed); }

void log_ring_move(char* to, uint32_t size) {
    Guard g(console_lock);
    if (ring_end - ring_start > size) ring_start = ring_end - size;
    for (uint32_t at = ring_start; at != ring_end; ++at) to[at % size] = ring[at % ring_size];
    ring = to;
    ring_size = size;
}

void log(LogLevel level, const char* fmt, ...) {
    if (!kept(own_levels, level, [] { return own_limit.take(clock::now()); })) return;
    va_list ap;
    va_start(ap, fmt);
    write_line(TextFrom::hypervisor, own_prefix, fmt, ap);
    va_end(ap);
}

bool guest_log_wanted(LogLevel level) {
    return kept(guest_levels, level, [] { return true; });
}

void guest_log(LogLevel level, const char* fmt, ...) {
    const auto share = [] {
        const GuestLogSource source = guest_log_source();
        return share_of(source.limit, source.domain);
    };
    if (!kept(guest_levels, level, share)) return;
    va_list ap;
    va_start(ap, fmt);
    write_line(TextFrom::guest, own_prefix, fmt, ap);
    va_end(ap);
}

void guest_console_line(base::RateLimit& limit, unsigned domain, const char* text) {
    if (!kept(guest_levels, LogLevel::debug, [&] { return share_of(limit, domain); })) return;
    char prefix[16];
    format(prefix, sizeof prefix, "(d%u) ", domain);
    write(TextFrom::guest, prefix, "%s", text);
}

size_t log_read(char* dst, size_t size, uint32_t& index, bool clear) {
    Guard g(console_lock);
    uint32_t at = ring_start;
    if (static_cast<int32_t>(index - ring_start) > 0 && index - ring_start <= ring_end - ring_start) at = index;
    size_t n = ring_end - at;
    if (n > size) n = size;
    for (size_t i = 0; i < n; ++i) dst[i] = ring[(at + i) % ring_size];
    index = at + static_cast<uint32_t>(n);
    if (clear) ring_start = index;
    return n;
}

}  // namespace hv
