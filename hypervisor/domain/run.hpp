// SPDX-License-Identifier: Apache-2.0
/// When vCPUs run: blocking, waking, and the switch from one to the next.
#pragma once

#include "hypervisor/domain/vcpu.hpp"

namespace hv {

/// Blocks the current vCPU unless an event is pending; the switch happens on the way out to the guest.
void vcpu_block_current();
/// Lets others go first once; on the way out to the guest.
void vcpu_yield_current();
/// Makes a blocked vCPU runnable. Any CPU; no locks above Rank::sched needed.
void vcpu_unblock(Vcpu& v);
/// Picks and switches; returns only when the same vCPU goes on. Called by the soft interrupt loop.
void schedule();

}  // namespace hv
