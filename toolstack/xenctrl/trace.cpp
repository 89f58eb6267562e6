// SPDX-License-Identifier: Apache-2.0
// Trace buffers.
#include "abi/xen/sysctl.hpp"
#include "toolstack/xenctrl/call.hpp"

namespace xenctrl {

Outcome<Control::Buffer<xen::Sysctl>> Control::trace_call(uint32_t cmd) {
    auto call = OTRY(sysctl_buffer(xen::XEN_SYSCTL_tbuf_op));
    call->u.tbuf_op.cmd = cmd;
    return call;
}

Outcome<TraceInfo> Control::trace_info() {
    auto call = OTRY(trace_call(xen::XEN_SYSCTL_TBUFOP_get_info));
    OTRY(sysctl(call, "look at the trace buffers"));
    const xen::SysctlTbufOp& t = call->u.tbuf_op;
    return TraceInfo{t.buffer_mfn, t.size, t.evt_mask};
}

Outcome<> Control::make_trace_buffers(uint32_t pages) {
    auto call = OTRY(trace_call(xen::XEN_SYSCTL_TBUFOP_set_size));
    call->u.tbuf_op.size = pages;
    return sysctl(call, "make trace buffers");
}

Outcome<> Control::set_trace_events(uint32_t mask) {
    auto call = OTRY(trace_call(xen::XEN_SYSCTL_TBUFOP_set_evt_mask));
    call->u.tbuf_op.evt_mask = mask;
    return sysctl(call, "choose the events to trace");
}

Outcome<> Control::set_trace_cpus(const BitMap& cpus) {
    auto map = OTRY(Buffer<uint8_t>::copy_of(backend_, cpus));
    auto call = OTRY(trace_call(xen::XEN_SYSCTL_TBUFOP_set_cpu_mask));
    call->u.tbuf_op.cpu_mask.bitmap.addr = map.address();
    call->u.tbuf_op.cpu_mask.nr_bits = static_cast<uint32_t>(cpus.size() * 8);
    return sysctl(call, "choose the CPUs to trace");
}

Outcome<> Control::trace(bool on) {
    auto call = OTRY(trace_call(on ? xen::XEN_SYSCTL_TBUFOP_enable : xen::XEN_SYSCTL_TBUFOP_disable));
    return sysctl(call, on ? "begin tracing" : "end tracing");
}

}  // namespace xenctrl
