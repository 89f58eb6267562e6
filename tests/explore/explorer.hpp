// SPDX-License-Identifier: Apache-2.0
/// Explores interleavings exhaustively: a scenario gives each CPU a short program over the hypervisor's own sources, and every
/// schedule with up to so many preemptions is run, one after the other, in one thread.
///
/// How: the sources under test are compiled with the compiler's thread-sanitizer instrumentation, but linked with the
/// runtime in instrument.cpp instead of its own. So every atomic operation of the unmodified sources, and with it every lock
/// operation, is a call into the explorer, which decides there which CPU goes on. CPUs are fibers. A schedule is the list of
/// decisions; the next one differs in the last decision that had an alternative left. Every store is written to a journal,
/// so that each schedule starts from the same memory.
///
/// What is a decision:
///  - before an atomic operation on a word that two CPUs use and one writes: to go on, or (a preemption) another CPU;
///  - where a CPU waits (detail::spin_wait) or ends: any other. Who waits runs again only after somebody changed a word;
///  - with delayed stores (x86-TSO): a store that is no locked operation may stay in its CPU's store buffer until its next
///    locked operation or fence, unseen by others; when it gets out is a decision too.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace explore {

struct Bounds {
    unsigned preemptions = 2;
    unsigned delayed_stores = 0;
    uint64_t schedules = 4'000'000;  ///< give up (and say so) beyond
};

/// What one exploration found.
struct Outcome {
    uint64_t schedules = 0;
    uint64_t decisions = 0;  ///< of the longest schedule
    bool complete = false;   ///< every schedule within the bounds was run
    std::string failure;     ///< empty: none; else the property that broke, and the schedule line by line
};

using Program = std::function<void()>;

struct Scenario {
    Program setup;              ///< runs before each schedule, on CPU 0; what it stores is undone as everything else
    std::vector<Program> cpus;  ///< one program a CPU
    Program end = [] {};        ///< runs when all CPUs are done: checks of the final state
    std::function<void(unsigned)> arrives = [](unsigned) {};  ///< the CPU that runs from now on
    Program always = [] {};  ///< runs before each decision: checks of what must hold at any time; may not wait
};

Outcome run(const Scenario& s, Bounds b);

// -- for programs -------------------------------------------------------------------------------------------------------
/// The property `what` broke unless `holds`; ends the schedule.
void check(bool holds, const char* what);
[[noreturn]] void fail(const char* what);
/// A line of the schedule that is printed on failure.
void note(const char* format, ...) __attribute__((format(printf, 1, 2)));
/// Lets this CPU wait until somebody changed a word. For spin_wait().
void wait_for_change();
/// A decision that belongs to no operation: for what a guest does by itself.
void step();
/// The CPU whose program this is.
unsigned cpu();
/// It has none (left): it runs its guest.
bool ended(unsigned cpu);
/// How the schedule prints accesses to [p, p + bytes).
void name(const volatile void* p, unsigned long bytes, const char* text);
/// Memory whose contents are the same at the beginning of each schedule: what is stored there is undone. Once per region.
void watch(const void* p, unsigned long bytes);

}  // namespace explore
