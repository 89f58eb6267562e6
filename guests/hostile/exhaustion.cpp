// SPDX-License-Identifier: Apache-2.0
/// As much as there is of everything: timers, memory, grant frames, nodes and watches in the store, and a flood on the console.
#include "abi/xen/memory.hpp"
#include "abi/xen/sched.hpp"
#include "abi/xen/vcpu.hpp"
#include "guests/hostile/hostile.hpp"
#include "guests/tiny/events.hpp"
#include "guests/tiny/grants.hpp"
#include "guests/tiny/store.hpp"

namespace {

using namespace hostile;
using namespace xen;

void timers() {
    const uint64_t times[] = {
        0, 1, ~uint64_t{0}, ~uint64_t{0} >> 1, uint64_t{1} << 63, 6'100'000'000'000'000'000, uint64_t{1} << 32, now() + 1};
    for (const uint64_t t : times) {
        VcpuSetSingleshotTimer shot{t, 0, 0};
        hypercall(HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, addr(&shot));
        hypercall(HYPERVISOR_set_timer_op, t);
        VcpuSetPeriodicTimer period{t};
        hypercall(HYPERVISOR_vcpu_op, VCPUOP_set_periodic_timer, 0, addr(&period));
        sleep(20'000'000);
        SchedPoll poll{{0}, 0, 0, t ? t : 1};
        if (poll.timeout < now() + 1'000'000) hypercall(HYPERVISOR_sched_op, SCHEDOP_poll, addr(&poll));
        hypercall(HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0);
    }
    VcpuSetPeriodicTimer fastest{1'000'000};
    hypercall(HYPERVISOR_vcpu_op, VCPUOP_set_periodic_timer, 0, addr(&fastest));
}

/// More memory than the domain may have, in blocks of every size.
void memory() {
    uint64_t got = 0;
    for (uint32_t order = 0; order < 24; ++order) {
        for (int i = 0; i < 64; ++i) {
            uint64_t pfn = info->nr_pages + got;
            MemoryReservation r{{addr(&pfn)}, 1, order, 0, DOMID_SELF, {}};
            if (hypercall(HYPERVISOR_memory_op, XENMEM_populate_physmap, addr(&r)) != 1) break;
            got += uint64_t{1} << order;
        }
    }
    expect("there is an end of memory", got < info->nr_pages);
    MemoryReservation huge{{0}, ~uint64_t{0}, 0, 0, DOMID_SELF, {}};
    hypercall(HYPERVISOR_memory_op, XENMEM_increase_reservation, addr(&huge));
    hypercall(HYPERVISOR_memory_op, XENMEM_populate_physmap, addr(&huge));
}

void grant_frames() {
    static uint64_t frames[4096];
    const uint32_t counts[] = {32, 64, 65, 4096, 0xffffffff};
    for (const uint32_t n : counts) {
        auto setup = zeroed<GnttabSetupTable>();
        setup.dom = DOMID_SELF;
        setup.nr_frames = n;
        setup.frame_list = {addr(frames)};
        grant_op(GNTTABOP_setup_table, setup);
        expect("there is an end of grant frames", n < 1000 || setup.status != 0);
    }
}

/// name + number, at most 5 digits.
size_t numbered(char* to, const char* name, unsigned n) {
    size_t length = 0;
    while (name[length]) to[length] = name[length], ++length;
    for (unsigned d = 10000; d; d /= 10) to[length++] = static_cast<char>('0' + n / d % 10);
    to[length++] = 0;
    return length;
}

void nodes_and_watches() {
    char text[64];
    unsigned nodes = 0, watches = 0, transactions = 0;
    for (; nodes < 3000; ++nodes) {
        numbered(text, "data/n", nodes);
        if (!store_write(text, "x")) break;
    }
    for (; watches < 2000; ++watches) {
        size_t n = numbered(text, "data/w", watches);
        n += numbered(text + n, "t", watches);
        if (store_request(XS_WATCH, text, n) == XS_ERROR) break;
    }
    for (; transactions < 1000; ++transactions)
        if (store_request(XS_TRANSACTION_START, "", 1) == XS_ERROR) break;
    print("guest: ", nodes, " nodes, ", watches, " watches, ", transactions, " transactions\n");
    expect("there is an end of nodes", nodes < 3000);
    expect("and of watches", watches < 2000);
    expect("and of transactions", transactions < 1000);
}

void flood() {
    const uint64_t end = now() + 2'000'000'000;
    char text[200];
    for (char& c : text) c = '#';
    text[199] = '\n';
    while (now() < end) {
        hypercall(HYPERVISOR_console_io, 0, sizeof text, addr(text));
        for (int i = 0; i < 8; ++i) send(info->console.domU.evtchn);
        write_console(text, sizeof text);
    }
}

}  // namespace

int guest_main() {
    timers();
    memory();
    grant_frames();
    nodes_and_watches();
    flood();
    return failures;
}
