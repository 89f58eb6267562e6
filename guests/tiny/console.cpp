// SPDX-License-Identifier: Apache-2.0
#include "guests/tiny/console.hpp"

#include "abi/xen/event_channel.hpp"
#include "abi/xen/sched.hpp"
#include "guests/tiny/boot.hpp"
#include "guests/tiny/events.hpp"
#include "guests/tiny/paging.hpp"

namespace guest {

using namespace xen;

namespace {

/// Two vCPUs print at the same time; a line stays whole.
class Lock {
public:
    Lock() {
        while (__atomic_exchange_n(&held, true, __ATOMIC_ACQUIRE)) asm volatile("pause");
    }
    ~Lock() { __atomic_store_n(&held, false, __ATOMIC_RELEASE); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

private:
    static bool held;
};
bool Lock::held;

void wake_back_end() {
    EvtchnSend send{info->console.domU.evtchn};
    hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_send, addr(&send));
}

/// Bytes of the ring that the back end has still to take.
uint32_t waiting(const XenconsInterface& ring) { return ring.out_prod - __atomic_load_n(&ring.out_cons, __ATOMIC_ACQUIRE); }

/// Waits until fewer than `limit` bytes wait. False, then and for ever, when the back end takes none for ten seconds: it has
/// given up on a ring that somebody has written over, and a kernel that waits for it would never end.
bool wait_for_room(const XenconsInterface& ring, uint32_t limit) {
    static bool lost;
    constexpr uint64_t patience = 10'000'000'000;
    uint64_t since = now();
    for (uint32_t before = waiting(ring); !lost && waiting(ring) >= limit;) {
        wake_back_end();
        hypercall(HYPERVISOR_sched_op, SCHEDOP_yield);
        if (const uint32_t left = waiting(ring); left != before) before = left, since = now();
        else if (now() - since > patience) lost = true;
    }
    return !lost;
}

}  // namespace

void Line::add(Hex h) {
    add("0x");
    int shift = 60;
    while (shift > 0 && !(h.value >> shift)) shift -= 4;
    for (; shift >= 0; shift -= 4) add("0123456789abcdef"[h.value >> shift & 15]);
}

void Line::add_decimal(uint64_t v) {
    char digits[20];
    size_t n = 0;
    do digits[n++] = static_cast<char>('0' + v % 10);
    while (v /= 10);
    while (n) add(digits[--n]);
}

XenconsInterface* console_ring() { return is_dom0() ? nullptr : static_cast<XenconsInterface*>(page_of(info->console.domU.mfn)); }

void write_console(const char* text, size_t n) {
    const Lock lock;
    XenconsInterface* ring = console_ring();
    if (!ring) {
        hypercall(HYPERVISOR_console_io, CONSOLEIO_write, n, addr(text));
        return;
    }
    for (size_t i = 0; i < n; ++i) {
        if (!wait_for_room(*ring, sizeof ring->out)) return;
        ring->out[ring->out_prod % sizeof ring->out] = text[i];
        __atomic_store_n(&ring->out_prod, ring->out_prod + 1, __ATOMIC_RELEASE);
    }
    wake_back_end();
}

void drain_console() {
    const XenconsInterface* ring = console_ring();
    if (ring) (void)wait_for_room(*ring, 1);
}

}  // namespace guest
