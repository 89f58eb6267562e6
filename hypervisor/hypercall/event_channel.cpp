// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_event_channel_op: decode, authorise, act.
#include "abi/xen/event_channel.hpp"

#include "hypervisor/event/event.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/row.hpp"

namespace hv {

namespace {

DomId own_or(const Vcpu& v, uint16_t domid) { return domid == xen::DOMID_SELF ? v.domain.id : DomId(domid); }

/// Hands a new port of `d`'s to the caller; closes it again when the caller cannot be told.
template <class Op>
Status give_port(Domain& d, GuestPtr<Op> p, Op& op, xen::evtchn_port_t Op::*member, Result<Port> bound) {
    const Port port = TRY(bound);
    op.*member = port.raw;
    if (!p.store(op)) {
        (void)event_close(d, port);
        return Err{Errc::fault};
    }
    return ok;
}

Status alloc_unbound(Vcpu& v, GuestPtr<xen::EvtchnAllocUnbound> p) {
    auto op = TRY(p.fetch());
    DomainRef other;
    if (op.dom != xen::DOMID_SELF) other = TRY(target_domain(v, op.dom));
    Domain& d = other ? *other : v.domain;
    if (!d.events) return Err{Errc::srch};
    return give_port(d, p, op, &xen::EvtchnAllocUnbound::port, event_alloc_unbound(d, own_or(v, op.remote_dom)));
}

Status bind_interdomain(Vcpu& v, GuestPtr<xen::EvtchnBindInterdomain> p) {
    auto op = TRY(p.fetch());
    DomainRef remote = TRY(find_domain(DomId(op.remote_dom)));
    if (!remote->events) return Err{Errc::srch};
    return give_port(v.domain, p, op, &xen::EvtchnBindInterdomain::local_port,
                     event_bind_interdomain(v.domain, *remote, Port(op.remote_port)));
}

Status bind_virq(Vcpu& v, GuestPtr<xen::EvtchnBindVirq> p) {
    auto op = TRY(p.fetch());
    return give_port(v.domain, p, op, &xen::EvtchnBindVirq::port, event_bind_virq(v.domain, op.virq, VcpuId(op.vcpu)));
}

Status bind_ipi(Vcpu& v, GuestPtr<xen::EvtchnBindIpi> p) {
    auto op = TRY(p.fetch());
    return give_port(v.domain, p, op, &xen::EvtchnBindIpi::port, event_bind_ipi(v.domain, VcpuId(op.vcpu)));
}

Status bind_pirq(Vcpu& v, GuestPtr<xen::EvtchnBindPirq> p) {
    auto op = TRY(p.fetch());
    return give_port(v.domain, p, op, &xen::EvtchnBindPirq::port, event_bind_pirq(v.domain, op.pirq));
}

Status status(Vcpu& v, GuestPtr<xen::EvtchnStatus> p) {
    auto op = TRY(p.fetch());
    if (op.dom == xen::DOMID_SELF) {
        TRY(event_status(v.domain, Port(op.port), op));
    } else {
        DomainRef d = TRY(target_domain(v, op.dom));
        if (!d->events) return Err{Errc::srch};
        TRY(event_status(*d, Port(op.port), op));
    }
    return p.store(op);
}

Status reset(Vcpu& v, GuestPtr<xen::EvtchnReset> p) {
    auto op = TRY(p.fetch());
    DomainRef d = TRY(target_domain(v, op.dom));
    if (!d->events) return Err{Errc::srch};
    return restarting_same(v, event_reset(*d));
}

Status init_control(Vcpu& v, GuestPtr<xen::EvtchnInitControl> p) {
    auto op = TRY(p.fetch());
    TRY(event_init_control(v.domain, VcpuId(op.vcpu), Gfn(op.control_gfn), op.offset));
    op.link_bits = xen::EVTCHN_FIFO_LINK_BITS;
    return p.store(op);
}

Status send(Vcpu& v, GuestPtr<xen::EvtchnSend> p) { return event_send(v.domain, Port(TRY(p.fetch()).port)); }
Status unmask(Vcpu& v, GuestPtr<xen::EvtchnUnmask> p) { return event_unmask(v.domain, Port(TRY(p.fetch()).port)); }
Status close(Vcpu& v, GuestPtr<xen::EvtchnClose> p) {
    return restarting_same(v, event_close(v.domain, Port(TRY(p.fetch()).port)));
}

Status bind_vcpu(Vcpu& v, GuestPtr<xen::EvtchnBindVcpu> p) {
    const auto op = TRY(p.fetch());
    return event_bind_vcpu(v.domain, Port(op.port), VcpuId(op.vcpu));
}

Status expand_array(Vcpu& v, GuestPtr<xen::EvtchnExpandArray> p) {
    return event_expand_array(v.domain, Gfn(TRY(p.fetch()).array_gfn));
}

Status set_priority(Vcpu& v, GuestPtr<xen::EvtchnSetPriority> p) {
    const auto op = TRY(p.fetch());
    return event_set_priority(v.domain, Port(op.port), op.priority);
}

// clang-format off
/// Guests do these thousands of times a second: they skip the long way.
using Frequent = FrequentOperations<
    Op<xen::EVTCHNOP_send,   send>,
    Op<xen::EVTCHNOP_unmask, unmask>>;

using Others = Operations<
    Op<xen::EVTCHNOP_alloc_unbound,    alloc_unbound>,
    Op<xen::EVTCHNOP_bind_interdomain, bind_interdomain>,
    Op<xen::EVTCHNOP_bind_virq,        bind_virq>,
    Op<xen::EVTCHNOP_bind_ipi,         bind_ipi>,
    Op<xen::EVTCHNOP_bind_pirq,        bind_pirq>,
    Op<xen::EVTCHNOP_close,            close, Who::anyone, Runs::in_parts>,
    Op<xen::EVTCHNOP_status,           status>,
    Op<xen::EVTCHNOP_bind_vcpu,        bind_vcpu>,
    Op<xen::EVTCHNOP_reset,            reset, Who::anyone, Runs::in_parts>,
    Op<xen::EVTCHNOP_init_control,     init_control>,
    Op<xen::EVTCHNOP_expand_array,     expand_array>,
    Op<xen::EVTCHNOP_set_priority,     set_priority>>;
// clang-format on

[[gnu::noinline]] Answer others(Vcpu& v, uint32_t cmd, AnyGuestPtr arg) { return Others::run("event_channel_op", cmd, v, arg); }

}  // namespace

Answer hypercall_event_channel_op(Vcpu& v, uint32_t cmd, AnyGuestPtr arg) {
    if (!v.domain.events) return Err{Errc::nosys};
    if (Frequent::has(cmd)) return Frequent::run("event_channel_op", cmd, v, arg);
    return others(v, cmd, arg);
}

Answer hypercall_event_channel_op_compat(Vcpu& v, GuestPtr<xen::EvtchnOp> op) {
    const uint32_t cmd = TRY(op.at<uint32_t>(offsetof(xen::EvtchnOp, cmd)).fetch());
    if (cmd > xen::EVTCHNOP_unmask) return Err{Errc::nosys};  // later operations have no form of this kind
    return hypercall_event_channel_op(v, cmd, AnyGuestPtr::from_reg(op.address() + offsetof(xen::EvtchnOp, u)));
}

}  // namespace hv
