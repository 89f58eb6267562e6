// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_event_channel_op: decode, authorise, act.
#include "abi/xen/event_channel.hpp"

#include "hypervisor/event/event.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/hypercall.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

namespace {

using Answer = Result<uint64_t>;

DomId own_or(const Vcpu& v, uint16_t domid) { return domid == xen::DOMID_SELF ? v.domain.id : DomId(domid); }

Answer alloc_unbound(Vcpu& v, GuestPtr<xen::EvtchnAllocUnbound> p) {
    auto op = TRY(p.fetch());
    DomainRef other;
    if (op.dom != xen::DOMID_SELF) other = TRY(target_domain(v, op.dom));
    Domain& d = other ? *other : v.domain;
    if (!d.events) return Err{Errc::srch};
    const Port port = TRY(event_alloc_unbound(d, own_or(v, op.remote_dom)));
    op.port = port.raw;
    if (!p.store(op)) {
        (void)event_close(d, port);
        return Err{Errc::fault};
    }
    return 0;
}

Answer bind_interdomain(Vcpu& v, GuestPtr<xen::EvtchnBindInterdomain> p) {
    auto op = TRY(p.fetch());
    DomainRef remote = TRY(find_domain(DomId(op.remote_dom)));
    if (!remote->events) return Err{Errc::srch};
    op.local_port = TRY(event_bind_interdomain(v.domain, *remote, Port(op.remote_port))).raw;
    if (!p.store(op)) {
        (void)event_close(v.domain, Port(op.local_port));
        return Err{Errc::fault};
    }
    return 0;
}

/// Hands a new port to the guest; closes it again when the guest cannot be told.
template <class Op>
Answer give_port(Vcpu& v, GuestPtr<Op> p, Op& op, Result<Port> bound) {
    const Port port = TRY(std::move(bound));
    op.port = port.raw;
    if (!p.store(op)) {
        (void)event_close(v.domain, port);
        return Err{Errc::fault};
    }
    return 0;
}

Answer bind_virq(Vcpu& v, GuestPtr<xen::EvtchnBindVirq> p) {
    auto op = TRY(p.fetch());
    return give_port(v, p, op, event_bind_virq(v.domain, op.virq, VcpuId(op.vcpu)));
}

Answer bind_ipi(Vcpu& v, GuestPtr<xen::EvtchnBindIpi> p) {
    auto op = TRY(p.fetch());
    return give_port(v, p, op, event_bind_ipi(v.domain, VcpuId(op.vcpu)));
}

Answer bind_pirq(Vcpu& v, GuestPtr<xen::EvtchnBindPirq> p) {
    auto op = TRY(p.fetch());
    return give_port(v, p, op, event_bind_pirq(v.domain, op.pirq, op.flags & xen::BIND_PIRQ__WILL_SHARE));
}

Answer status(Vcpu& v, GuestPtr<xen::EvtchnStatus> p) {
    auto op = TRY(p.fetch());
    if (op.dom == xen::DOMID_SELF) {
        TRY(event_status(v.domain, Port(op.port), op));
    } else {
        DomainRef d = TRY(target_domain(v, op.dom));
        if (!d->events) return Err{Errc::srch};
        TRY(event_status(*d, Port(op.port), op));
    }
    TRY(p.store(op));
    return 0;
}

Answer done(Vcpu& v, Status s) {
    if (!s && s.error() == Errc::restart) return restart_same(v);
    TRY(std::move(s));
    return 0;
}

Answer reset(Vcpu& v, GuestPtr<xen::EvtchnReset> p) {
    auto op = TRY(p.fetch());
    DomainRef d = TRY(target_domain(v, op.dom));
    if (!d->events) return Err{Errc::srch};
    return done(v, event_reset(*d));
}

Answer init_control(Vcpu& v, GuestPtr<xen::EvtchnInitControl> p) {
    auto op = TRY(p.fetch());
    TRY(event_init_control(v.domain, VcpuId(op.vcpu), Mfn(op.control_gfn), op.offset));
    op.link_bits = xen::EVTCHN_FIFO_LINK_BITS;
    TRY(p.store(op));
    return 0;
}

Answer act(Vcpu& v, uint64_t cmd, uint64_t uarg) {
    Domain& d = v.domain;
    if (!d.events) return Err{Errc::nosys};
    switch (cmd) {
        case xen::EVTCHNOP_send: return done(v, event_send(d, Port(TRY(GuestPtr<xen::EvtchnSend>(uarg).fetch()).port)));
        case xen::EVTCHNOP_unmask: return done(v, event_unmask(d, Port(TRY(GuestPtr<xen::EvtchnUnmask>(uarg).fetch()).port)));
        case xen::EVTCHNOP_alloc_unbound: return alloc_unbound(v, GuestPtr<xen::EvtchnAllocUnbound>(uarg));
        case xen::EVTCHNOP_bind_interdomain: return bind_interdomain(v, GuestPtr<xen::EvtchnBindInterdomain>(uarg));
        case xen::EVTCHNOP_bind_virq: return bind_virq(v, GuestPtr<xen::EvtchnBindVirq>(uarg));
        case xen::EVTCHNOP_bind_ipi: return bind_ipi(v, GuestPtr<xen::EvtchnBindIpi>(uarg));
        case xen::EVTCHNOP_bind_pirq: return bind_pirq(v, GuestPtr<xen::EvtchnBindPirq>(uarg));
        case xen::EVTCHNOP_close: return done(v, event_close(d, Port(TRY(GuestPtr<xen::EvtchnClose>(uarg).fetch()).port)));
        case xen::EVTCHNOP_status: return status(v, GuestPtr<xen::EvtchnStatus>(uarg));
        case xen::EVTCHNOP_bind_vcpu: {
            const auto op = TRY(GuestPtr<xen::EvtchnBindVcpu>(uarg).fetch());
            TRY(event_bind_vcpu(d, Port(op.port), VcpuId(op.vcpu)));
            return 0;
        }
        case xen::EVTCHNOP_reset: return reset(v, GuestPtr<xen::EvtchnReset>(uarg));
        case xen::EVTCHNOP_init_control: return init_control(v, GuestPtr<xen::EvtchnInitControl>(uarg));
        case xen::EVTCHNOP_expand_array:
            return done(v, event_expand_array(d, Mfn(TRY(GuestPtr<xen::EvtchnExpandArray>(uarg).fetch()).array_gfn)));
        case xen::EVTCHNOP_set_priority: {
            const auto op = TRY(GuestPtr<xen::EvtchnSetPriority>(uarg).fetch());
            TRY(event_set_priority(d, Port(op.port), op.priority));
            return 0;
        }
        default:
            guest_log(LogLevel::debug, "d%u: unknown event_channel_op %lu", unsigned{d.id.raw}, cmd);
            return Err{Errc::nosys};
    }
}

}  // namespace

Result<uint64_t> hypercall_event_channel_op(Vcpu& v, const uint64_t (&args)[6]) {
    // The two that guests issue thousands of times a second skip the long way.
    if ((args[0] == xen::EVTCHNOP_send || args[0] == xen::EVTCHNOP_unmask) && v.domain.events) {
        const Port port(TRY(GuestPtr<xen::EvtchnSend>(args[1]).fetch()).port);
        const Status s = args[0] == xen::EVTCHNOP_send ? event_send(v.domain, port) : event_unmask(v.domain, port);
        if (!s) return Err{s.error()};
        return 0;
    }
    return act(v, static_cast<int32_t>(args[0]) < 0 ? ~uint64_t{0} : static_cast<uint32_t>(args[0]), args[1]);
}

Result<uint64_t> hypercall_event_channel_op_compat(Vcpu& v, const uint64_t (&args)[6]) {
    const uint32_t cmd = TRY(GuestPtr<uint32_t>(args[0]).fetch());
    if (cmd > xen::EVTCHNOP_unmask) return Err{Errc::nosys};  // later operations have no form of this kind
    return act(v, cmd, args[0] + offsetof(xen::EvtchnOp, u));
}

}  // namespace hv
