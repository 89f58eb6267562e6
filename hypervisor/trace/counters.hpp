// SPDX-License-Identifier: Apache-2.0
/// Performance counters (xenperf): how often what has happened, on each CPU.
///
/// Most count what passes the points of trace.hpp, the others have count() in their place. Both look at the word that says whether anything
/// is watched at all, so that nothing is paid for them while nobody wants them. Each CPU writes its own counters alone, without locked
/// instructions; a reset notes where each stood. Counts go round at 2^32, as in Xen's interface.
#pragma once

#include <cstdint>

#include "hypervisor/trace/trace.hpp"

namespace hv::counters {

enum class Counter : uint8_t {
    // one count for each of many elements
    hypercalls,
    multicall_entries,
    traps,
    interrupts,
    state_changes,
    // one count
    page_faults,
    privileged_instructions,
    forced_invalid_instructions,
    page_table_writes,
    switches,
    continuations,
    wakes,
    sleeps,
    blocks,
    yields,
    grant_maps,
    grant_unmaps,
    reservations_decreased,
    domains_made,
    domains_ended,
    timers,
    restarts,
    tables_validated,
};
inline constexpr uint32_t counter_count = static_cast<uint32_t>(Counter::tables_validated) + 1;

struct Description {
    const char* name;   ///< less than 80 characters
    uint32_t elements;  ///< 1: there is a value for each CPU; else one for each element, of all CPUs together
};
/// `index`: a Counter, below counter_count.
const Description& description(uint32_t index);
uint32_t value_count(uint32_t index);

namespace detail {
HV_ASIDE void add(Counter c, uint32_t element);
}

/// Counts one; an element beyond the last counts as the last one. Any context but NMI; any locks.
[[gnu::always_inline]] inline void count(Counter c, uint32_t element = 0) {
    if (trace::on()) [[unlikely]]
        detail::add(c, element);
}
/// For trace.cpp: a point of tracing was passed.
void count_event(uint32_t event, const uint32_t* words);

// -- for who controls it: the turn of control operations ------------------------------------------------------------------

/// True while something is counted.
bool counting();
/// From now on things are counted, from 0. Errors: nomem.
base::Status begin();
/// Nothing is counted any more; what was stays to be read.
void end();
/// The nth of a counter's values. They go on while they are read.
uint32_t value(uint32_t index, uint32_t n);
/// All of them together.
uint32_t total(uint32_t index);

}  // namespace hv::counters
