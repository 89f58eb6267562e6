// SPDX-License-Identifier: Apache-2.0
/// Event channels: every port there is, FIFO words with links to nowhere and to themselves, control blocks full of garbage
/// while events are sent, and at last all ports closed under the kernel's feet.
#include "abi/xen/event_channel.hpp"
#include "guests/hostile/hostile.hpp"
#include "guests/tiny/events.hpp"
#include "guests/tiny/vcpus.hpp"

namespace {

using namespace hostile;
using namespace xen;

Page control[2], words[4];

template <class T>
long event_op(uint32_t op, T argument) {
    return hypercall(HYPERVISOR_event_channel_op, op, addr(&argument));
}

uint64_t pfn_of(const void* p) { return (addr(p) - kernel_base) / page_bytes; }

void all_ports() {
    unsigned n = 0;
    while (n < 200000 && alloc_unbound(DOMID_SELF) > 0) ++n;
    print("guest: ", n, " more ports\n");
    expect("there is an end of ports", n < 200000);
}

void fifo() {
    const long first = event_op(EVTCHNOP_init_control, EvtchnInitControl{mfn_of(&control[0]), 0, 0, 0, {}});
    if (first != 0) event_op(EVTCHNOP_init_control, EvtchnInitControl{pfn_of(&control[0]), 0, 0, 0, {}});
    event_op(EVTCHNOP_init_control, EvtchnInitControl{mfn_of(&control[1]), 0, 1, 0, {}});
    event_op(EVTCHNOP_init_control, EvtchnInitControl{mfn_of(&control[1]), 4090, 1, 0, {}});
    for (const Page& p : words)
        if (event_op(EVTCHNOP_expand_array, EvtchnExpandArray{mfn_of(&p)}) != 0)
            event_op(EVTCHNOP_expand_array, EvtchnExpandArray{pfn_of(&p)});
    Random random(3);
    for (int round = 0; round < 3000; ++round) {
        for (int i = 0; i < 8; ++i) {
            const auto port = static_cast<uint32_t>(random.below(1024));
            auto* word = reinterpret_cast<volatile uint32_t*>(&words[0]) + port;
            *word = static_cast<uint32_t>(random.one_in(2) ? (port | random.below(8) << 29) : random.next());
            auto* head = reinterpret_cast<volatile uint32_t*>(&control[random.below(2)]) + random.below(18);
            *head = static_cast<uint32_t>(random.one_in(2) ? random.below(1024) : random.next());
            send(port);
            event_op(EVTCHNOP_unmask, EvtchnUnmask{port});
            event_op(EVTCHNOP_set_priority, EvtchnSetPriority{port, static_cast<uint32_t>(random.below(20))});
            event_op(EVTCHNOP_bind_vcpu, EvtchnBindVcpu{port, static_cast<uint32_t>(random.below(4))});
        }
        if (random.one_in(4)) {
            const auto port = static_cast<uint32_t>(random.below(1024));
            if (port != info->console.domU.evtchn && port != info->store_evtchn) close_port(port);
        }
        alloc_unbound(DOMID_SELF);
    }
}

void wrong_numbers() {
    Random random(4);
    for (int i = 0; i < 5000; ++i) {
        const auto odd = static_cast<uint32_t>(random.odd());
        if (odd == info->console.domU.evtchn || odd == info->store_evtchn) continue;
        event_op(EVTCHNOP_bind_virq, EvtchnBindVirq{odd, static_cast<uint32_t>(random.odd()), 0});
        event_op(EVTCHNOP_bind_pirq, EvtchnBindPirq{odd, 0, 0});
        event_op(EVTCHNOP_bind_ipi, EvtchnBindIpi{odd, 0});
        event_op(EVTCHNOP_bind_interdomain, EvtchnBindInterdomain{static_cast<domid_t>(random.below(8)), 0, odd, 0});
        send(odd);
        close_port(odd);
    }
}

}  // namespace

int guest_main() {
    wrong_numbers();
    fifo();
    all_ports();
    print("guest: now without its console\nguest: status ", failures, "\n");
    drain_console();
    event_op(EVTCHNOP_reset, EvtchnReset{DOMID_SELF});
    fifo();
    shut_down(0);
}
