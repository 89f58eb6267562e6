// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/trace/counters.hpp"

#include <algorithm>
#include <array>

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/mm/heap.hpp"

namespace hv::counters {

namespace {

constexpr Description all[] = {
    {"hypercalls, by number", 64},
    {"calls in multicalls, by number", 64},
    {"traps given to guests, by vector", 33},
    {"interrupts, by vector", 256},
    {"run state changes, from * 4 + to", 16},
    {"page faults given to guests", 1},
    {"instructions executed for guests", 1},
    {"forced invalid instructions", 1},
    {"page table writes for guests", 1},
    {"switches of vCPUs", 1},
    {"vCPUs that went on", 1},
    {"vCPUs woken", 1},
    {"vCPUs put to sleep", 1},
    {"vCPUs that blocked", 1},
    {"vCPUs that yielded", 1},
    {"grants mapped", 1},
    {"grants unmapped", 1},
    {"reservations decreased", 1},
    {"domains made", 1},
    {"domains ended", 1},
    {"timers that came", 1},
    {"calls that stopped to go on later", 1},
    {"page tables validated", 1},
};
static_assert(std::size(all) == counter_count);

/// Where each counter's elements begin, and behind the last one where all end.
constexpr auto first_slots = [] {
    std::array<uint32_t, counter_count + 1> first{};
    for (uint32_t c = 0; c < counter_count; ++c) first[c + 1] = first[c] + all[c].elements;
    return first;
}();
constexpr uint32_t slots = first_slots[counter_count];

/// One CPU's.
struct Counts {
    std::atomic<uint32_t> now[slots];  ///< only the CPU itself writes them
    uint32_t at_reset[slots];          ///< who controls counting does
};
std::atomic<Counts*> counts[max_cpus];

constexpr uint32_t index_of(Counter c) { return static_cast<uint32_t>(c); }

uint32_t since_reset(unsigned cpu, uint32_t slot) {
    const Counts* k = counts[cpu].load(std::memory_order_acquire);
    return k ? k->now[slot].load(std::memory_order_relaxed) - k->at_reset[slot] : 0;
}

uint32_t on_all_cpus(uint32_t slot) {
    uint32_t sum = 0;
    for (unsigned cpu = 0; cpu < cpu_count; ++cpu) sum += since_reset(cpu, slot);
    return sum;
}

}  // namespace

const Description& description(uint32_t index) { return all[index]; }

uint32_t value_count(uint32_t index) { return all[index].elements == 1 ? cpu_count : all[index].elements; }

uint32_t value(uint32_t index, uint32_t n) {
    const uint32_t first = first_slots[index];
    return all[index].elements == 1 ? since_reset(n, first) : on_all_cpus(first + n);
}

uint32_t total(uint32_t index) {
    uint32_t sum = 0;
    for (uint32_t slot = first_slots[index]; slot < first_slots[index + 1]; ++slot) sum += on_all_cpus(slot);
    return sum;
}

void detail::add(Counter c, uint32_t element) {
    if (!counting()) return;
    Counts* const k = counts[this_cpu().id].load(std::memory_order_acquire);
    if (!k) return;
    std::atomic<uint32_t>& n = k->now[first_slots[index_of(c)] + std::min(element, all[index_of(c)].elements - 1)];
    n.store(n.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

bool counting() { return trace::detail::wanted.load(std::memory_order_acquire) & trace::counting_too; }

base::Status begin() {
    for (unsigned cpu = 0; cpu < cpu_count; ++cpu) {
        if (counts[cpu].load(std::memory_order_relaxed)) continue;
        counts[cpu].store(TRY(make<Counts>()), std::memory_order_release);
    }
    for (unsigned cpu = 0; cpu < cpu_count; ++cpu) {
        Counts& k = *counts[cpu].load(std::memory_order_relaxed);
        for (uint32_t slot = 0; slot < slots; ++slot) k.at_reset[slot] = k.now[slot].load(std::memory_order_relaxed);
    }
    trace::detail::wanted.fetch_or(trace::counting_too, std::memory_order_release);
    return base::ok;
}

void end() { trace::detail::wanted.fetch_and(~trace::counting_too, std::memory_order_release); }

namespace {

struct Counted {
    uint32_t event;
    Counter counter;
};
constexpr Counted plain_events[] = {
    {xen::TRC_PV_PAGE_FAULT, Counter::page_faults},
    {xen::TRC_PV_EMULATE_PRIVOP, Counter::privileged_instructions},
    {xen::TRC_PV_FORCED_INVALID_OP, Counter::forced_invalid_instructions},
    {xen::TRC_PV_PTWR_EMULATION, Counter::page_table_writes},
    {xen::TRC_SCHED_SWITCH, Counter::switches},
    {xen::TRC_SCHED_CONTINUE_RUNNING, Counter::continuations},
    {xen::TRC_SCHED_WAKE, Counter::wakes},
    {xen::TRC_SCHED_SLEEP, Counter::sleeps},
    {xen::TRC_SCHED_BLOCK, Counter::blocks},
    {xen::TRC_SCHED_YIELD, Counter::yields},
    {xen::TRC_MEM_PAGE_GRANT_MAP, Counter::grant_maps},
    {xen::TRC_MEM_PAGE_GRANT_UNMAP, Counter::grant_unmaps},
    {xen::TRC_MEM_DECREASE_RESERVATION, Counter::reservations_decreased},
    {xen::TRC_DOM0_DOM_ADD, Counter::domains_made},
    {xen::TRC_DOM0_DOM_REM, Counter::domains_ended},
};

/// The states are bits 4 and 5 (to), 8 and 9 (from), so one of them looks like TRC_64_FLAG.
constexpr uint32_t states = 0x330;

}  // namespace

void count_event(uint32_t event, const uint32_t* words) {
    constexpr uint32_t number = ~xen::TRC_PV_HYPERCALL_V2_ARG_MASK;
    if ((event & ~states) == xen::TRC_SCHED_RUNSTATE_CHANGE)
        return detail::add(Counter::state_changes, (event >> 8 & 3) * 4 + (event >> 4 & 3));
    switch (event & ~xen::TRC_64_FLAG) {
        case xen::TRC_PV_HYPERCALL_V2: return detail::add(Counter::hypercalls, words[0] & number);
        case xen::TRC_PV_HYPERCALL_SUBCALL: return detail::add(Counter::multicall_entries, words[0] & number);
        case xen::TRC_PV_TRAP: return detail::add(Counter::traps, words[2] & 0xff);  // behind the address
        default: break;
    }
    for (const Counted& e : plain_events)
        if (e.event == (event & ~xen::TRC_64_FLAG)) return detail::add(e.counter, 0);
}

}  // namespace hv::counters
