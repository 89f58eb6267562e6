// SPDX-License-Identifier: Apache-2.0
/// Waiting for a lock, and the check of the lock order.
#include "hypervisor/sync/spinlock.hpp"

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sync/lock_profile.hpp"

namespace hv {

void Spinlock::wait() {
    const uint64_t began = arch::read_tsc();
    do {
        while (locked_.load(std::memory_order_relaxed)) detail::spin_wait();
    } while (locked_.exchange(true, std::memory_order_acquire));
    lock_profile::waited(static_cast<uint8_t>(rank_), arch::read_tsc() - began);
}

}  // namespace hv

#ifdef HV_DEBUG
namespace hv {
void Spinlock::profile_begins() { since_ = arch::read_tsc(); }
void Spinlock::profile_ends() { lock_profile::taken_for(static_cast<uint8_t>(rank_), arch::read_tsc() - since_); }
}  // namespace hv

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
