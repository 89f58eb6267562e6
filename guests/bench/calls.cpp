// SPDX-License-Identifier: Apache-2.0
/// Event channels, vCPU operations, multicalls.
#include "abi/xen/event_channel.hpp"
#include "abi/xen/sched.hpp"
#include "abi/xen/vcpu.hpp"
#include "guests/bench/bench.hpp"
#include "guests/tiny/events.hpp"

namespace bench {

using namespace xen;

void events() {
    auto* shared = &shared_info();
    EvtchnBindIpi ipi{0, 0};
    expect("bind_ipi", hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, addr(&ipi)) == 0);
    EvtchnSend send{ipi.port};
    measure("evtchn send self (pending)", 1000, [&] {
        shared->evtchn_pending[0] = 0;
        shared->vcpu_info[0].evtchn_pending_sel = 0;
        shared->vcpu_info[0].evtchn_upcall_pending = 0;
        hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_send, addr(&send));
    });
    expect("pending", shared->evtchn_pending[0] >> ipi.port & 1);
    measure("evtchn send self (already)", 1000, [&] { hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_send, addr(&send)); });
    auto status = zeroed<EvtchnStatus>();
    status.dom = DOMID_SELF;
    status.port = ipi.port;
    measure("evtchn status", 1000, [&] { hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_status, addr(&status)); });
    measure("evtchn unmask", 1000, [&] { hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_unmask, addr(&send)); });
    measure("evtchn alloc+close", 1000, [&] {
        EvtchnAllocUnbound a{DOMID_SELF, DOMID_SELF, 0};
        hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, addr(&a));
        EvtchnClose c{a.port};
        hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_close, addr(&c));
    });
    shared->vcpu_info[0].evtchn_upcall_pending = 0;
}

void vcpus() {
    const uint64_t far = uint64_t{1} << 45;
    measure("set_timer_op far", 1000, [&] { hypercall(HYPERVISOR_set_timer_op, far); });
    VcpuSetSingleshotTimer shot{far, 0, 0};
    measure("vcpu_op singleshot set", 1000, [&] { hypercall(HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, addr(&shot)); });
    measure("vcpu_op singleshot stop", 1000, [&] { hypercall(HYPERVISOR_vcpu_op, VCPUOP_stop_singleshot_timer, 0); });
    VcpuRunstateInfo runstate;
    measure("vcpu_op get_runstate", 1000, [&] { hypercall(HYPERVISOR_vcpu_op, VCPUOP_get_runstate_info, 0, addr(&runstate)); });
    measure("vcpu_op is_up", 1000, [&] { hypercall(HYPERVISOR_vcpu_op, VCPUOP_is_up, 0); });
    measure("sched yield (alone)", 1000, [&] { hypercall(HYPERVISOR_sched_op, SCHEDOP_yield); });
    measure("stack_switch", 1000, [&] { hypercall(HYPERVISOR_stack_switch, 0xe02b, addr(windows.other)); });
    measure("fpu_taskswitch set+clr", 1000, [&] {
        hypercall(HYPERVISOR_fpu_taskswitch, 1);
        hypercall(HYPERVISOR_fpu_taskswitch, 0);
    });
    measure("set_segment_base fs", 1000, [&] { hypercall(HYPERVISOR_set_segment_base, 0, 0x1000); });
    measure("get_debugreg 7", 1000, [&] { hypercall(HYPERVISOR_get_debugreg, 7); });
}

void batches() {
    static MulticallEntry calls[32];
    for (MulticallEntry& c : calls) c.op = HYPERVISOR_xen_version;
    measure("multicall x8 xen_version", 200, [] { hypercall(HYPERVISOR_multicall, addr(calls), 8); });
    measure("multicall x32 xen_version", 200, [] { hypercall(HYPERVISOR_multicall, addr(calls), 32); });
    expect("multicall", calls[31].result >> 16 == 4);
}

}  // namespace bench
