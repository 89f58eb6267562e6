// SPDX-License-Identifier: Apache-2.0
/// Waiting for a lock, and the check of the lock order.
#include "hypervisor/sync/spinlock.hpp"

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

void Spinlock::wait() {
    do {
        while (locked_.load(std::memory_order_relaxed)) detail::spin_wait();
    } while (locked_.exchange(true, std::memory_order_acquire));
}

}  // namespace hv

#ifdef HV_DEBUG
namespace hv::detail {

uint8_t rank_push(uint8_t rank, bool same) {
    Cpu& c = this_cpu();
    const uint8_t outer = c.lock_rank;
    if (rank > outer || (rank == outer && !same)) {
        c.lock_rank = 0xff;  // the panic itself takes locks
        panic("Lock order: rank %u taken inside rank %u", unsigned{rank}, unsigned{outer});
    }
    c.lock_rank = rank;
    return outer;
}

void rank_pop(uint8_t outer) { this_cpu().lock_rank = outer; }

}  // namespace hv::detail
#endif
