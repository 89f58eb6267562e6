// SPDX-License-Identifier: Apache-2.0
/// Between pools.cpp and sched.cpp.
#pragma once

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/sched/scheduler.hpp"

namespace hv::sched {

/// The policy that chooses for each CPU. A CPU in no pool has pool 0's, which has nothing for it.
extern std::atomic<Scheduler*> policies_on[max_cpus];
inline Scheduler& policy_on(unsigned cpu) { return *policies_on[cpu].load(std::memory_order_acquire); }

/// Makes the timer that ends the CPU's slices. Errors: nomem.
base::Status init_slices(unsigned cpu);

}  // namespace hv::sched
