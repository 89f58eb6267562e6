// SPDX-License-Identifier: Apache-2.0
/// XEN_SYSCTL_tbuf_op: tools make trace buffers, say what is recorded, and read what was.
#include "hypervisor/domain/trace_buffers.hpp"
#include "hypervisor/hypercall/sysctl/sysctl.hpp"
#include "hypervisor/hypercall/trace_control.hpp"
#include "hypervisor/trace/trace.hpp"

namespace hv::sysctl {

namespace {

Status get_info(const Call& c) {
    xen::SysctlTbufOp& t = c.op.u.tbuf_op;
    const TraceInfoPages info = trace_info_pages();
    t.evt_mask = trace::events();
    t.buffer_mfn = info.bytes ? info.first.raw : 0;
    t.size = info.bytes;
    return c.done();
}

Status set_size(const Call& c) {
    const Status s = make_trace_buffers(c.op.u.tbuf_op.size);
    if (!s && s.error() == Errc::restart) return c.again(0);
    return s;
}

}  // namespace

Status tbuf_op(const Call& c) {
    const xen::SysctlTbufOp& t = c.op.u.tbuf_op;
    switch (t.cmd) {
        case xen::XEN_SYSCTL_TBUFOP_get_info: return get_info(c);
        case xen::XEN_SYSCTL_TBUFOP_set_cpu_mask: trace::set_cpus(TRY(fetch_bitmap(t.cpu_mask))); return ok;
        case xen::XEN_SYSCTL_TBUFOP_set_evt_mask: trace_events(t.evt_mask); return ok;
        case xen::XEN_SYSCTL_TBUFOP_set_size: return set_size(c);
        case xen::XEN_SYSCTL_TBUFOP_enable: return trace_begin();
        case xen::XEN_SYSCTL_TBUFOP_disable: trace_end(); return ok;
        default: return Err{Errc::inval};
    }
}

}  // namespace hv::sysctl
