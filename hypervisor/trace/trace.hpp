// SPDX-License-Identifier: Apache-2.0
/// Points in the code that leave a record when somebody wants to know: numbers and words are those of Xen 4.17's public trace.h, and where
/// that says nothing what xentrace's and xenalyze's readers expect.
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>

#include "abi/xen/trace.hpp"
#include "hypervisor/arch/x86/online_cpus.hpp"
#include "lib/base/result.hpp"

/// Of functions that are hardly ever called from paths that are taken all day: who calls need not keep its registers in memory for it.
#if defined(HV_HOST)
#define HV_ASIDE [[gnu::noinline, gnu::cold]]
#elif defined(__clang__)
#define HV_ASIDE [[gnu::noinline, gnu::cold, clang::preserve_most]]
#else
#define HV_ASIDE [[gnu::noinline, gnu::cold, gnu::no_caller_saved_registers]]
#endif

namespace hv::trace {

/// The bit of `wanted` that says that events are counted (counters.hpp), whichever are recorded: none of xen::TRC_ALL.
inline constexpr uint32_t counting_too = 1;

namespace detail {
extern std::atomic<uint32_t> wanted;
/// Cold: with tracing off, a point costs a load and a branch.
void record(uint32_t event, const uint32_t* words, unsigned n, bool timed);

inline void put(uint32_t*& to, uint32_t word) { *to++ = word; }
inline void put(uint32_t*& to, uint64_t word) {
    *to++ = static_cast<uint32_t>(word);
    *to++ = static_cast<uint32_t>(word >> 32);
}

template <class... Words>
HV_ASIDE void record_words(bool timed, uint32_t event, Words... words) {
    static_assert(((std::same_as<Words, uint32_t> || std::same_as<Words, uint64_t>)&&...),
                  "a word's width is part of the format");
    static_assert((sizeof(Words) + ... + 0) <= xen::TRACE_EXTRA_MAX * 4);
    uint32_t data[xen::TRACE_EXTRA_MAX] = {};
    uint32_t* end = data;
    (put(end, words), ...);
    record(event, data, static_cast<unsigned>(end - data), timed);
}
}  // namespace detail

/// True while something is recorded or counted: for points that have to work for their words.
[[gnu::always_inline]] inline bool on() {
#ifdef HV_HOST
    return detail::wanted.load(std::memory_order_relaxed) != 0;
#else
    // Two instructions, and no register.
    bool any = false;
    asm("cmpl $0, %[wanted]" : "=@ccne"(any) : [wanted] "m"(detail::wanted));
    return any;
#endif
}

/// Leaves a record with the time and these words (uint32_t one, uint64_t two of at most seven) if this event is wanted on this CPU.
/// Any context but NMI; any locks. Never waits: what finds no room is counted.
template <class... Words>
[[gnu::always_inline]] inline void event(uint32_t event, Words... words) {
    if (on()) [[unlikely]]
        detail::record_words(true, event, words...);
}
/// The same without the time.
template <class... Words>
[[gnu::always_inline]] inline void untimed_event(uint32_t event, Words... words) {
    if (on()) [[unlikely]]
        detail::record_words(false, event, words...);
}

// -- for who controls it: the turn of control operations, or boot ---------------------------------------------------------

/// Makes `cpus` buffers without pages. Once. Errors: nomem.
base::Status make_buffers(unsigned cpus);
/// Gives a CPU's buffer its pages, more than none, which nobody takes back: readers find xen::TBuf at the first one's beginning.
/// Before tracing first begins.
void give_pages(unsigned cpu, uint8_t* const* pages, uint32_t count);
/// Which events are recorded: class and subclass bits of TRC_ALL, as XEN_SYSCTL_TBUFOP_set_evt_mask has them. All at first.
void set_events(uint32_t mask);
uint32_t events();
/// On which CPUs. All at first.
void set_cpus(const CpuSet& cpus);
/// Begins to record; what was lost before is forgotten.
void enable();
void disable();
/// True when tracing is on and this event is wanted.
bool wants(uint32_t event);

/// domain/: the vCPU on this CPU, its domain in the lower half.
uint32_t running_vcpu();

}  // namespace hv::trace
