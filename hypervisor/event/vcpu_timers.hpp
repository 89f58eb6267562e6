// SPDX-License-Identifier: Apache-2.0
/// Callbacks of a vCPU's timers (Vcpu::singleshot, periodic, poll_timer); the argument is the Vcpu.
#pragma once

namespace hv {

/// Raises VIRQ_TIMER.
void vcpu_singleshot_expired(void* vcpu);
/// Raises VIRQ_TIMER and arms the next tick.
void vcpu_periodic_tick(void* vcpu);
/// Ends SCHEDOP_poll.
void vcpu_poll_timeout(void* vcpu);

}  // namespace hv
