// SPDX-License-Identifier: Apache-2.0
/// One-shot timers. Each belongs to one CPU's queue at a time; callbacks run there, with no locks held.
#pragma once

#include <cstdint>

#include "lib/base/list.hpp"
#include "lib/base/types.hpp"

namespace hv {

struct Timer {
    using Callback = void (*)(void*);
    base::ListNode link;            ///< on the queue of `cpu`, sorted by deadline; timer lock of that CPU
    base::Nanos deadline{};
    Callback fn;
    void* arg;
    uint32_t cpu = 0;
    Timer(Callback f, void* a) : fn(f), arg(a) {}
};

namespace timer {
/// (Re)arms `t` on `cpu`; a deadline in the past fires at once. Callable from any CPU.
void set(Timer& t, base::Nanos deadline, unsigned cpu);
/// Stops it; afterwards the callback is not running unless stop() is called from within it.
void stop(Timer& t);
/// Runs what has expired on this CPU and programs the next interrupt. Called by the soft interrupt loop.
void run_expired();
/// Makes the queues. Boot only.
void init_cpu(unsigned cpu);
}  // namespace timer

}  // namespace hv
