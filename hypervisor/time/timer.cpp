// SPDX-License-Identifier: Apache-2.0
/// Per-CPU timer queues: pairing heaps, so that arming costs the same with two timers as with two thousand.
#include "hypervisor/time/timer.hpp"

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sync/spinlock.hpp"
#include "hypervisor/trace/counters.hpp"

namespace hv {

using base::Nanos;

struct TimerQueue {
    Spinlock lock{Rank::timer};
    Timer* root GUARDED_BY(lock) = nullptr;
    Nanos programmed GUARDED_BY(lock) = Nanos::never();  ///< what the hardware waits for; at or before the root's
    std::atomic<Timer*> running{nullptr};                ///< its callback is being called
};

namespace {

TimerQueue& queue_of(unsigned cpu) { return *static_cast<TimerQueue*>(cpus[cpu].timers); }

// -- pairing heap -----------------------------------------------------------------------------------------------------

/// Joins two heaps (either may be null); both roots are without siblings.
Timer* meld(Timer* a, Timer* b) {
    if (!a) return b;
    if (!b) return a;
    if (b->deadline < a->deadline) {
        Timer* t = a;
        a = b;
        b = t;
    }
    b->next = a->child;
    if (b->next) b->next->previous = b;
    b->previous = a;
    a->child = b;
    return a;
}

/// Joins a list of siblings into one heap: in pairs from the left, then the pairs from the right.
Timer* meld_siblings(Timer* first) {
    Timer* pairs = nullptr;  // linked through `next`, last pair first
    while (first) {
        Timer* a = first;
        Timer* b = a->next;
        first = b ? b->next : nullptr;
        a->next = a->previous = nullptr;
        if (b) b->next = b->previous = nullptr;
        Timer* pair = meld(a, b);
        pair->next = pairs;
        pairs = pair;
    }
    Timer* root = nullptr;
    while (pairs) {
        Timer* rest = pairs->next;
        pairs->next = nullptr;
        root = meld(root, pairs);
        pairs = rest;
    }
    return root;
}

void insert(TimerQueue& q, Timer& t) REQUIRES(q.lock) {
    t.child = t.next = t.previous = nullptr;
    t.armed = true;
    q.root = meld(q.root, &t);
}

void remove(TimerQueue& q, Timer& t) REQUIRES(q.lock) {
    if (!t.armed) return;
    t.armed = false;
    Timer* children = meld_siblings(t.child);
    t.child = nullptr;
    if (&t == q.root) {
        q.root = children;
        return;
    }
    if (t.previous->child == &t) t.previous->child = t.next;
    else t.previous->next = t.next;
    if (t.next) t.next->previous = t.previous;
    t.next = t.previous = nullptr;
    q.root = meld(q.root, children);
}

// -- hardware ---------------------------------------------------------------------------------------------------------

/// After an insertion: makes sure that `cpu` wakes up for its earliest timer. An interrupt that is too early only costs
/// itself, so a deadline that moved away is left programmed.
void program(TimerQueue& q, unsigned cpu) REQUIRES(q.lock) {
    if (!q.root || q.root->deadline >= q.programmed) return;
    Cpu& c = cpus[cpu];
    if (&c == &this_cpu()) {
        q.programmed = q.root->deadline;
        arch::set_timer_deadline(q.programmed);
    } else if (!c.wants(SoftIrq::timer)) {
        c.raise(SoftIrq::timer);
        arch::kick(cpu);
    }
}

}  // namespace

namespace timer {

void init_cpu(unsigned cpu) {
    if (cpus[cpu].timers) return;
    auto q = make<TimerQueue>();
    if (!q) panic("No memory for the timers of CPU %u", cpu);
    cpus[cpu].timers = q.value();
}

void set(Timer& t, Nanos deadline, unsigned cpu) {
    for (;;) {
        const uint32_t old = t.cpu.load(std::memory_order_acquire);
        TimerQueue& from = queue_of(old);
        TimerQueue& to = queue_of(cpu);
        Guard2 g(from.lock, to.lock);
        if (t.cpu.load(std::memory_order_relaxed) != old) continue;
        remove(from, t);
        t.deadline = deadline;
        t.cpu.store(cpu, std::memory_order_release);
        insert(to, t);
        program(to, cpu);
        return;
    }
}

void stop(Timer& t) {
    for (;;) {
        const uint32_t cpu = t.cpu.load(std::memory_order_acquire);
        if (!cpus[cpu].timers) return;
        TimerQueue& q = queue_of(cpu);
        {
            Guard g(q.lock);
            if (t.cpu.load(std::memory_order_relaxed) != cpu) continue;
            remove(q, t);
        }
        break;
    }
    // It may be running on any CPU it was armed on; usually on the last one, but a callback may have rearmed it elsewhere.
    for (unsigned c = 0; c < cpu_count; ++c) {
        if (!cpus[c].timers || &cpus[c] == &this_cpu()) continue;
        while (queue_of(c).running.load(std::memory_order_acquire) == &t) detail::spin_wait();
    }
}

void run_expired() {
    Cpu& c = this_cpu();
    c.pending.fetch_and(~static_cast<uint32_t>(SoftIrq::timer), std::memory_order_acq_rel);
    TimerQueue& q = queue_of(c.id);
    for (;;) {
        Timer::Callback fn = nullptr;
        void* arg = nullptr;
        {
            Guard g(q.lock);
            q.running.store(nullptr, std::memory_order_release);
            Timer* t = q.root;
            if (!t || t->deadline > clock::now()) {
                q.programmed = t ? t->deadline : Nanos::never();
                arch::set_timer_deadline(q.programmed);
                return;
            }
            remove(q, *t);
            fn = t->fn;
            arg = t->arg;
            q.running.store(t, std::memory_order_release);
        }
        counters::count(counters::Counter::timers);
        fn(arg);
    }
}

}  // namespace timer

}  // namespace hv
