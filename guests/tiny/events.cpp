// SPDX-License-Identifier: Apache-2.0
#include "guests/tiny/events.hpp"

#include "abi/xen/event_channel.hpp"
#include "abi/xen/sched.hpp"
#include "guests/tiny/paging.hpp"
#include "guests/tiny/vcpus.hpp"

namespace guest {

using namespace xen;

namespace {

Page shared_window;
EventHandler handler;

template <class T>
long event_op(uint32_t op, T& argument) {
    return hypercall(HYPERVISOR_event_channel_op, op, addr(&argument));
}

long port_or_error(long error, uint32_t port) { return error ? error : static_cast<long>(port); }

}  // namespace

void map_shared_info() { set_entry(&shared_window, info->shared_info | read_write); }
SharedInfo& shared_info() { return *reinterpret_cast<SharedInfo*>(&shared_window); }

void set_event_handler(EventHandler h) { handler = h; }

void dispatch_events() {
    VcpuInfo& vcpu = *this_vcpu().info;
    SharedInfo& shared = shared_info();
    __atomic_store_n(&vcpu.evtchn_upcall_pending, uint8_t{0}, __ATOMIC_SEQ_CST);
    uint64_t words = __atomic_exchange_n(&vcpu.evtchn_pending_sel, uint64_t{0}, __ATOMIC_SEQ_CST);
    for (; words; words &= words - 1) {
        const auto w = static_cast<unsigned>(__builtin_ctzll(words));
        uint64_t bits = __atomic_load_n(&shared.evtchn_pending[w], __ATOMIC_ACQUIRE) & ~shared.evtchn_mask[w];
        __atomic_fetch_and(&shared.evtchn_pending[w], ~bits, __ATOMIC_SEQ_CST);
        for (; bits && handler; bits &= bits - 1) handler(w * 64 + static_cast<unsigned>(__builtin_ctzll(bits)));
    }
}

void allow_upcalls() {
    VcpuInfo& vcpu = *this_vcpu().info;
    __atomic_store_n(&vcpu.evtchn_upcall_mask, uint8_t{0}, __ATOMIC_SEQ_CST);
    // Any hypercall delivers what became pending while they were masked.
    if (__atomic_load_n(&vcpu.evtchn_upcall_pending, __ATOMIC_SEQ_CST)) hypercall(HYPERVISOR_xen_version, 0);
}

void mask_upcalls() { __atomic_store_n(&this_vcpu().info->evtchn_upcall_mask, uint8_t{1}, __ATOMIC_SEQ_CST); }

long bind_ipi(unsigned vcpu) {
    EvtchnBindIpi op{vcpu, 0};
    const long error = event_op(EVTCHNOP_bind_ipi, op);
    return port_or_error(error, op.port);
}

long bind_virq(uint32_t virq, unsigned vcpu) {
    EvtchnBindVirq op{virq, vcpu, 0};
    const long error = event_op(EVTCHNOP_bind_virq, op);
    return port_or_error(error, op.port);
}

long alloc_unbound(domid_t remote) {
    EvtchnAllocUnbound op{DOMID_SELF, remote, 0};
    const long error = event_op(EVTCHNOP_alloc_unbound, op);
    return port_or_error(error, op.port);
}

long bind_interdomain(domid_t remote, uint32_t remote_port) {
    EvtchnBindInterdomain op{remote, 0, remote_port, 0};
    const long error = event_op(EVTCHNOP_bind_interdomain, op);
    return port_or_error(error, op.local_port);
}

long send(uint32_t port) {
    EvtchnSend op{port};
    return event_op(EVTCHNOP_send, op);
}

long close_port(uint32_t port) {
    EvtchnClose op{port};
    return event_op(EVTCHNOP_close, op);
}

domid_t own_domid() {
    const long port = alloc_unbound(DOMID_SELF);
    auto status = zeroed<EvtchnStatus>();
    status.dom = DOMID_SELF;
    status.port = static_cast<uint32_t>(port);
    event_op(EVTCHNOP_status, status);
    close_port(status.port);
    return status.u.unbound.dom;
}

uint64_t now() {
    const volatile VcpuTimeInfo& t = this_vcpu().info->time;
    for (;;) {
        const uint32_t version = t.version;
        asm volatile("" : : : "memory");
        uint64_t delta = ticks() - t.tsc_timestamp;
        const int shift = t.tsc_shift;
        delta = shift >= 0 ? delta << shift : delta >> -shift;
        const auto scaled = static_cast<uint64_t>(static_cast<unsigned __int128>(delta) * t.tsc_to_system_mul >> 32);
        const uint64_t result = t.system_time + scaled;
        asm volatile("" : : : "memory");
        if (!(version & 1) && version == t.version) return result;
    }
}

void sleep(uint64_t ns) {
    const uint64_t end = now() + ns;
    while (now() < end) {
        // A poll of no port: only its time limit ends it, and an upcall that is not masked.
        SchedPoll poll{{0}, 0, 0, end};
        hypercall(HYPERVISOR_sched_op, SCHEDOP_poll, addr(&poll));
    }
}

}  // namespace guest
