// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cstdarg>
#include <cstring>

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log_ring.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv {
namespace {

constinit Spinlock console_lock{Rank::console};
char ring[log_ring_size];
// Positions count bytes ever written; the ring holds [ring_start, ring_end).
uint32_t ring_start = 0;
uint32_t ring_end = 0;
ConsoleSink* sinks = nullptr;
LogLevel own_level = LogLevel::debug;
GuestLogLevels guest_levels;
std::atomic<bool> lock_broken{false};

void show(const char* text, size_t n) {
    for (ConsoleSink* s = sinks; s; s = s->next) s->write(text, n);
}

void append(const char* text, size_t n) {
    for (size_t i = 0; i < n; ++i) ring[(ring_end + i) % log_ring_size] = text[i];
    ring_end += static_cast<uint32_t>(n);
    if (ring_end - ring_start > log_ring_size) ring_start = ring_end - static_cast<uint32_t>(log_ring_size);
    show(text, n);
}

/// Guest-caused lines: at most 10 a second, so that no guest can drown the log.
bool guest_line_allowed() {
    static std::atomic<int64_t> window_start{0};
    static std::atomic<uint32_t> lines{0};
    constexpr uint32_t lines_per_second = 10;
    const int64_t now = clock::now().n;
    if (now - window_start.load(std::memory_order_relaxed) > 1'000'000'000) {
        window_start.store(now, std::memory_order_relaxed);
        lines.store(0, std::memory_order_relaxed);
    }
    return lines.fetch_add(1, std::memory_order_relaxed) < lines_per_second;
}

void write_line(const char* fmt, va_list ap) {
    char line[512] = "(XEN) ";
    size_t n = 6 + vformat(line + 6, sizeof line - 8, fmt, ap);
    if (n > sizeof line - 2) n = sizeof line - 2;
    line[n++] = '\n';
    log_write(line, n);
}

}  // namespace

void log_write(const char* text, size_t n) {
    if (lock_broken.load(std::memory_order_relaxed)) {
        append(text, n);
        return;
    }
    Guard g(console_lock);
    append(text, n);
}

void console_write(const char* text, size_t n) {
    Guard g(console_lock);
    show(text, n);
}

void console_break_lock() { lock_broken.store(true, std::memory_order_relaxed); }

void add_console(ConsoleSink& sink) {
    Guard g(console_lock);
    sink.next = sinks;
    sinks = &sink;
}

void set_log_levels(LogLevel own, GuestLogLevels guest) {
    own_level = own;
    guest_levels = guest;
}

void log(LogLevel level, const char* fmt, ...) {
    if (level > own_level) return;
    va_list ap;
    va_start(ap, fmt);
    write_line(fmt, ap);
    va_end(ap);
}

void guest_log(LogLevel level, const char* fmt, ...) {
    if (level > guest_levels.always && (level > guest_levels.limited || !guest_line_allowed())) return;
    va_list ap;
    va_start(ap, fmt);
    write_line(fmt, ap);
    va_end(ap);
}

size_t log_read(char* dst, size_t size, uint32_t& index, bool clear) {
    Guard g(console_lock);
    uint32_t at = ring_start;
    if (static_cast<int32_t>(index - ring_start) > 0 && index - ring_start <= ring_end - ring_start) at = index;
    size_t n = ring_end - at;
    if (n > size) n = size;
    for (size_t i = 0; i < n; ++i) dst[i] = ring[(at + i) % log_ring_size];
    index = at + static_cast<uint32_t>(n);
    if (clear) ring_start = index;
    return n;
}

}  // namespace hv
