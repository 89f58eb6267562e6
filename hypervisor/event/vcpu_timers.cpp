// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/event/vcpu_timers.hpp"

#include "hypervisor/domain/run.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/rt/clock.hpp"

namespace hv {

void vcpu_singleshot_expired(void* vcpu) { send_virq(*static_cast<Vcpu*>(vcpu), xen::VIRQ_TIMER); }

void vcpu_periodic_tick(void* vcpu) {
    Vcpu& v = *static_cast<Vcpu*>(vcpu);
    const Nanos period = v.period;
    if (period.n <= 0) return;
    const Nanos now = clock::now();
    v.periodic_last = now;
    send_virq(v, xen::VIRQ_TIMER);
    // Ticks are for a vCPU that runs; the scheduler starts them again when it comes back.
    if (v.running_on.load(std::memory_order_acquire) >= 0) timer::set(v.periodic, now + period, this_cpu().id);
}

void vcpu_poll_timeout(void* vcpu) {
    Vcpu& v = *static_cast<Vcpu*>(vcpu);
    if (v.polling.load(std::memory_order_seq_cst)) vcpu_unblock(v);
}

}  // namespace hv
