// SPDX-License-Identifier: Apache-2.0
/// What tests of device interrupts share: a control domain that maps them, for itself and others.
#pragma once

#include "abi/xen/domctl.hpp"
#include "abi/xen/event_channel.hpp"
#include "abi/xen/physdev.hpp"
#include "hypervisor/arch/x86/ioapic.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/irq/irq.hpp"
#include "hypervisor/irq/message.hpp"
#include "tests/host/hv_calls.hpp"

namespace hvtest {

/// Fixture: `number` and `port` are what the last call that worked gave.
class InterruptTest : public testing::Test {
protected:
    Guest& dom0 = control_domain();

    static Errc physdev(Guest& caller, uint32_t op, void* argument) {
        const auto r = hypercall(hypercall_handler(xen::HYPERVISOR_physdev_op), caller.vcpu(), op, address(argument));
        return r ? Errc{} : r.error();
    }
    /// Maps a GSI for a domain, under the same number unless another one is wanted.
    Errc map(Guest& caller, uint16_t domain, uint32_t gsi, int32_t wanted = -1) {
        auto m = xen::zeroed<xen::PhysdevMapPirq>();
        m.domid = domain;
        m.type = xen::MAP_PIRQ_TYPE_GSI;
        m.index = static_cast<int32_t>(gsi);
        m.pirq = wanted;
        const Errc e = physdev(caller, xen::PHYSDEVOP_map_pirq, &m);
        number = m.pirq;
        return e;
    }
    Errc unmap(Guest& caller, uint16_t domain, uint32_t pirq) {
        xen::PhysdevUnmapPirq u{domain, 0, static_cast<int32_t>(pirq)};
        return physdev(caller, xen::PHYSDEVOP_unmap_pirq, &u);
    }
    /// EVTCHNOP_bind_pirq; the port is in `port`.
    Errc bind(Guest& g, uint32_t pirq) {
        auto b = xen::zeroed<xen::EvtchnBindPirq>();
        b.pirq = pirq;
        const auto r =
            hypercall(hypercall_handler(xen::HYPERVISOR_event_channel_op), g.vcpu(), xen::EVTCHNOP_bind_pirq, address(&b));
        if (r) port = Port(b.port);
        return r ? Errc{} : r.error();
    }
    Errc permit(uint16_t domain, uint32_t pirq, bool allow) {
        auto op = xen::zeroed<xen::Domctl>();
        op.cmd = xen::XEN_DOMCTL_irq_permission;
        op.interface_version = xen::XEN_DOMCTL_INTERFACE_VERSION;
        op.domain = domain;
        op.u.irq_permission.pirq = pirq;
        op.u.irq_permission.allow_access = allow;
        const auto r = hypercall(hypercall_handler(xen::HYPERVISOR_domctl), dom0.vcpu(), address(&op));
        return r ? Errc{} : r.error();
    }
    static uint64_t entry(uint32_t gsi) { return ioapic::host_entries[gsi]; }
    static bool masked(uint32_t gsi) { return entry(gsi) & x86::ioapic_entry::masked; }
    /// The device behind a GSI interrupts, if it can.
    static void interrupt(uint32_t gsi) {
        if (!masked(gsi)) irq_dispatch(static_cast<uint8_t>(entry(gsi)));
    }
    static bool pending(Guest& g, Port p) { return must(event_port_pending(g, p)); }
    static void clear(Guest& g, Port p) { g->shared->evtchn_pending[p.raw / 64] &= ~(uint64_t{1} << p.raw % 64); }

    int32_t number = -1;
    Port port{0};
};

}  // namespace hvtest
