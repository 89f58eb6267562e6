// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/domain/domain_log.hpp"

#include <cstring>

#include "hypervisor/domain/domain.hpp"
#include "hypervisor/rt/log_ring.hpp"

namespace hv {

namespace {

constexpr char shown(char c) {
    if (c == '\t') return ' ';
    return c >= 0x20 && c < 0x7f ? c : '.';
}

using WholeLine = char[ConsoleLine::longest + 1];

size_t take_line(ConsoleLine& line, WholeLine& to) REQUIRES(line.lock) {
    const size_t n = line.used;
    memcpy(to, line.text, n);
    to[n] = 0;
    line.used = 0;
    return n;
}

}  // namespace

void domain_console_add(Domain& d, const char* text, size_t n) {
    ConsoleLine& line = d.log_state.line;
    WholeLine whole;
    for (size_t at = 0; at < n;) {
        bool ended = false;
        {
            Guard g(line.lock);
            while (at < n && !ended) {
                const char c = text[at++];
                if (c != '\n' && c != '\r') line.text[line.used++] = shown(c);
                ended = c == '\n' || line.used == ConsoleLine::longest;
            }
            if (ended) take_line(line, whole);
        }
        // The log has a lock of the same rank.
        if (ended) guest_console_line(d.log_state.limit, d.id.raw, whole);
    }
}

void domain_console_flush(Domain& d) {
    WholeLine whole;
    size_t n = 0;
    {
        Guard g(d.log_state.line.lock);
        n = take_line(d.log_state.line, whole);
    }
    if (n) guest_console_line(d.log_state.limit, d.id.raw, whole);
}

bool domain_msr_is_news(Domain& d, uint32_t msr, bool write) {
    constexpr uint64_t in_use = uint64_t{1} << 33, for_writing = uint64_t{1} << 32;
    const uint64_t name = msr | in_use | (write ? for_writing : 0);
    for (std::atomic<uint64_t>& place : d.log_state.refused_msrs) {
        uint64_t there = place.load(std::memory_order_relaxed);
        if (there == 0 && place.compare_exchange_strong(there, name, std::memory_order_relaxed)) return true;
        if (there == name) return false;
    }
    return false;
}

}  // namespace hv
