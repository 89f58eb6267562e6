// SPDX-License-Identifier: Apache-2.0
/// Ranked spin lock and its guards: the only lock of the hypervisor.
///
/// The hypervisor runs with interrupts off (see docs/architecture.md, "One context"), so a lock never needs an
/// interrupt-safe variant. A CPU that spins keeps serving TLB shoot-down requests, so that the owner of the lock
/// may wait for it.
#pragma once

#include <atomic>
#include <cstdint>

#include "hypervisor/sync/annotations.hpp"

namespace hv {

/// Lock order: a CPU takes locks in DESCENDING rank. One line each; docs/architecture.md explains.
enum class Rank : uint8_t {
    console = 1,   ///< log ring, consoles and typed input: innermost, anyone may log
    heap,          ///< buddy allocator and slabs
    timer,         ///< one CPU's timer queue
    sched,         ///< run queues
    pci,           ///< PCI configuration ports
    irq,           ///< interrupt lines and the IO-APICs
    page_list,     ///< a domain's list of pages and its page accounting
    evtchn_queue,  ///< FIFO event queues of one domain
    evtchn,        ///< event channels of one domain
    grant_maptrack,
    grant,        ///< grant table of one domain
    page_table,   ///< page-table types and entries of one domain
    domain,       ///< life cycle of one domain
    domain_list,  ///< the table of domains
};

namespace detail {
/// Checks the order and records `rank` as the innermost lock of this CPU; returns the one before it.
/// Panics (debug images) unless rank < innermost; `same` allows equal ranks.
#ifdef HV_DEBUG
uint8_t rank_push(uint8_t rank, bool same);
void rank_pop(uint8_t outer);
#else
inline uint8_t rank_push(uint8_t, bool) { return 0xff; }
inline void rank_pop(uint8_t) {}
#endif
/// One turn of a waiting loop: serves this CPU's cross-CPU requests, then pauses.
void spin_wait();
}  // namespace detail

class CAPABILITY("spinlock") Spinlock {
    std::atomic<bool> locked_{false};
    const Rank rank_;
    friend class Guard;
    friend class Guard2;

    /// Until it is ours. Out of line: nearly every lock is free.
    void wait();
    [[gnu::always_inline]] inline void lock() ACQUIRE() {
        if (locked_.exchange(true, std::memory_order_acquire)) [[unlikely]]
            wait();
        profile_begins();
    }
    void unlock() RELEASE() {
        profile_ends();
        locked_.store(false, std::memory_order_release);
    }
#ifdef HV_DEBUG
    uint64_t since_ = 0;  ///< TSC when it was taken
    void profile_begins();
    void profile_ends();
#else
    void profile_begins() {}
    void profile_ends() {}
#endif

public:
    explicit constexpr Spinlock(Rank r) : rank_(r) {}
    Spinlock(const Spinlock&) = delete;
    Spinlock& operator=(const Spinlock&) = delete;
};

/// Holds one lock for a scope.
class SCOPED_CAPABILITY Guard {
    Spinlock& l_;
    const uint8_t outer_;

public:
    explicit Guard(Spinlock& l) ACQUIRE(l) : l_(l), outer_(detail::rank_push(static_cast<uint8_t>(l.rank_), false)) { l_.lock(); }
    ~Guard() RELEASE() {
        l_.unlock();
        detail::rank_pop(outer_);
    }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
};

/// Holds two locks of one rank, taken in address order; the same lock twice is taken once.
class SCOPED_CAPABILITY Guard2 {
    Spinlock& a_;
    Spinlock& b_;
    const uint8_t outer_;

public:
    Guard2(Spinlock& a, Spinlock& b) ACQUIRE(a, b)
        : a_(&a < &b ? a : b), b_(&a < &b ? b : a), outer_(detail::rank_push(static_cast<uint8_t>(a.rank_), false)) {
        take();
    }
    ~Guard2() RELEASE() { drop(); }
    Guard2(const Guard2&) = delete;
    Guard2& operator=(const Guard2&) = delete;

private:
    void take() NO_THREAD_SAFETY_ANALYSIS {
        a_.lock();
        if (&a_ != &b_) b_.lock();
    }
    void drop() NO_THREAD_SAFETY_ANALYSIS {
        if (&a_ != &b_) b_.unlock();
        a_.unlock();
        detail::rank_pop(outer_);
    }
};

}  // namespace hv
