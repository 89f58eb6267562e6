// SPDX-License-Identifier: Apache-2.0
/// One-shot timers. Each belongs to one CPU's queue at a time; callbacks run there, with no locks held.
#pragma once

#include <atomic>
#include <cstdint>

#include "lib/base/types.hpp"

namespace hv {

struct Timer {
    using Callback = void (*)(void*);
    base::Nanos deadline{};
    Callback fn;
    void* arg;
    std::atomic<uint32_t> cpu{0};  ///< queue it is or was on; changes under the locks of both queues
    // A pairing heap of each CPU's timers: earliest at the root. Timer lock of `cpu`.
    bool armed = false;
    Timer* child = nullptr;
    Timer* next = nullptr;      ///< right sibling
    Timer* previous = nullptr;  ///< left sibling, or the parent for a first child
    Timer(Callback f, void* a) : fn(f), arg(a) {}
};

namespace timer {
/// (Re)arms `t` on `cpu`; a deadline in the past fires at once. Callable from any CPU.
void set(Timer& t, base::Nanos deadline, unsigned cpu);
/// Stops it; afterwards the callback is not running unless stop() is called from within it.
/// Locks: none that the callback takes.
void stop(Timer& t);
/// Runs what has expired on this CPU and programs the next interrupt. Called by the soft interrupt loop.
void run_expired();
/// Makes the queue of a CPU (Cpu::timers). Boot only.
void init_cpu(unsigned cpu);
}  // namespace timer

}  // namespace hv
