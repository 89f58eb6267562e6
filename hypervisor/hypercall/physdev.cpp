// SPDX-License-Identifier: Apache-2.0
/// physdev_op: interrupts and devices for the domain that drives them.
#include "abi/xen/physdev.hpp"
#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/hypercall/control.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/row.hpp"
#include "hypervisor/irq/irq.hpp"
#include "hypervisor/irq/pci_device.hpp"
#include "hypervisor/irq/pirq.hpp"

namespace hv {
namespace {

Status need_eoi(Vcpu& v, GuestPtr<xen::PhysdevIrqStatusQuery> p) {
    auto q = TRY(p.fetch());
    q.flags = pirq_needs_eoi(v.domain.pirqs, q.irq) ? xen::XENIRQSTAT_needs_eoi : 0;
    return p.store(q);
}

Status set_iopl(Vcpu& v, GuestPtr<xen::PhysdevSetIopl> p) { return v.domain.kind.set_io_level(v, TRY(p.fetch()).iopl); }

Status set_iobitmap(Vcpu& v, GuestPtr<xen::PhysdevSetIobitmap> p) {
    const auto s = TRY(p.fetch());
    return v.domain.kind.set_io_bitmap(v, s.bitmap.addr, s.nr_ports);
}

Status apic_read(Vcpu&, GuestPtr<xen::PhysdevApic> p) {
    auto a = TRY(p.fetch());
    a.value = TRY(ioapic_register(a.apic_physbase, a.reg));
    return p.store(a);
}

Status alloc_vector(Vcpu&, GuestPtr<xen::PhysdevIrq> p) {
    auto i = TRY(p.fetch());
    i.vector = TRY(gsi_vector(i.irq));
    return p.store(i);
}

Result<uint32_t> map(Domain& d, const xen::PhysdevMapPirq& m) {
    switch (static_cast<uint32_t>(m.type)) {
        case xen::MAP_PIRQ_TYPE_GSI:
            if (m.index < 0) return Err{Errc::inval};
            return pirq_map_gsi(d.pirqs, static_cast<uint32_t>(m.index), m.pirq);
        case xen::MAP_PIRQ_TYPE_MSI:
        case xen::MAP_PIRQ_TYPE_MSI_SEG:
            // The segment is in the upper half of `bus`; machines reached through ports 0xcf8 have segment 0 only.
            if ((m.bus >> 16) != 0) return Err{Errc::opnotsupp};
            return pirq_map_msi(d.pirqs,
                                {{0, static_cast<uint8_t>(m.bus), static_cast<uint8_t>(m.devfn)},
                                 static_cast<uint16_t>(m.entry_nr),
                                 m.table_base},
                                m.pirq);
        default: return Err{Errc::inval};
    }
}

/// What is mapped for a domain it may use; dom0 may use all.
Status permit(Domain& d, uint32_t pirq, bool allow) {
    if (d.privileged) return ok;
    const auto number = pirq_machine_number(d.pirqs, pirq);
    return number ? set_right(d, d.irqs, number.value(), number.value(), allow) : Status(ok);
}

/// With a device go its messages, and the rights to them, whoever has those: their numbers will be another device's.
Status remove_device(PciAddress at) {
    const auto has_right = [](Domain& d, uint32_t number) {
        Guard g(d.lock);
        return d.irqs.contains(number, number);
    };
    for (auto number = pci_next_message(at, 0); number; number = pci_next_message(at, number.value() + 1))
        for (DomainRef d = next_domain(DomId(0)); d; d = next_domain(DomId::from_reg(d->id.raw + 1u)))
            if (has_right(*d, number.value())) TRY(set_right(*d, d->irqs, number.value(), number.value(), false));
    return pci_device_remove(at);
}

Status map_pirq(Vcpu&, GuestPtr<xen::PhysdevMapPirq> p) {
    auto m = TRY(p.fetch());
    DomainRef d = TRY(find_domain(DomId(m.domid)));
    const uint32_t pirq = TRY(map(*d, m));
    if (Status s = permit(*d, pirq, true); !s) {
        (void)pirq_unmap(d->pirqs, pirq);
        return s;
    }
    m.pirq = static_cast<int32_t>(pirq);
    return p.store(m);
}

Status unmap_pirq(Vcpu&, GuestPtr<xen::PhysdevUnmapPirq> p) {
    const auto u = TRY(p.fetch());
    DomainRef d = TRY(find_domain(DomId(u.domid)));
    const auto pirq = static_cast<uint32_t>(u.pirq);
    TRY(permit(*d, pirq, false));
    return pirq_unmap(d->pirqs, pirq);
}

Status setup_gsi(Vcpu&, GuestPtr<xen::PhysdevSetupGsi> p) {
    const auto s = TRY(p.fetch());
    if (s.gsi < 0) return Err{Errc::inval};
    Status done = gsi_setup(static_cast<uint32_t>(s.gsi), s.triggering != 0, s.polarity != 0);
    // The serial line's interrupt is the hypervisor's: dom0 need not know.
    if (!done && done.error() == Errc::busy) return ok;
    return done;
}

Status free_pirq(Vcpu& v, GuestPtr<xen::PhysdevGetFreePirq> p) {
    auto f = TRY(p.fetch());
    f.pirq = TRY(pirq_free_number(v.domain.pirqs));
    return p.store(f);
}

Status add_device(Vcpu& v, GuestPtr<xen::PhysdevPciDeviceAdd> p) {
    const auto a = TRY(p.fetch());
    // XEN_PCI_DEV_PXM tells the node; memory is one here.
    return pci_device_add(
        {a.seg, a.bus, a.devfn},
        {(a.flags & xen::XEN_PCI_DEV_EXTFN) != 0, (a.flags & xen::XEN_PCI_DEV_VIRTFN) != 0, a.physfn.bus, a.physfn.devfn},
        v.domain.id);
}

// The older calls know segment 0 only.
Status add_in_segment_0(Vcpu& v, GuestPtr<xen::PhysdevManagePci> p) {
    const auto a = TRY(p.fetch());
    return pci_device_add({0, a.bus, a.devfn}, {}, v.domain.id);
}

Status add_ext_in_segment_0(Vcpu& v, GuestPtr<xen::PhysdevManagePciExt> p) {
    const auto a = TRY(p.fetch());
    if (a.is_extfn > 1 || a.is_virtfn > 1) return Err{Errc::inval};
    return pci_device_add({0, a.bus, a.devfn}, {a.is_extfn != 0, a.is_virtfn != 0, a.physfn.bus, a.physfn.devfn}, v.domain.id);
}

PciAddress address_of(const xen::PhysdevPciDevice& p) { return {p.seg, p.bus, p.devfn}; }
PciAddress address_of(const auto& p) { return {0, p.bus, p.devfn}; }

/// Operations that name a device and no more.
template <auto act, class Argument>
Status device(Vcpu&, GuestPtr<Argument> p) {
    return act(address_of(TRY(p.fetch())));
}

void apic_write(Vcpu&, AnyGuestPtr) {}  // the I/O APICs are programmed from setup_gsi

Status eoi(Vcpu& v, GuestPtr<xen::PhysdevEoi> p) {
    pirq_eoi(v.domain.pirqs, TRY(p.fetch()).irq);
    return ok;
}

// clang-format off
using OnDevices = Operations<
    Op<xen::PHYSDEVOP_eoi,                eoi>,
    Op<xen::PHYSDEVOP_irq_status_query,   need_eoi>,
    Op<xen::PHYSDEVOP_set_iopl,           set_iopl>,
    Op<xen::PHYSDEVOP_set_iobitmap,       set_iobitmap>,
    Op<xen::PHYSDEVOP_apic_read,          apic_read,    Who::control>,
    Op<xen::PHYSDEVOP_apic_write,         apic_write,   Who::control>,
    Op<xen::PHYSDEVOP_alloc_irq_vector,   alloc_vector, Who::control>,
    Op<xen::PHYSDEVOP_map_pirq,           map_pirq,     Who::control>,
    Op<xen::PHYSDEVOP_unmap_pirq,         unmap_pirq,   Who::control>,
    Op<xen::PHYSDEVOP_setup_gsi,          setup_gsi,    Who::control>,
    Op<xen::PHYSDEVOP_get_free_pirq,      free_pirq,    Who::control>,
    Op<xen::PHYSDEVOP_pci_device_add,     add_device,               Who::control>,
    Op<xen::PHYSDEVOP_pci_device_remove,  device<remove_device, xen::PhysdevPciDevice>, Who::control>,
    Op<xen::PHYSDEVOP_restore_msi_ext,    device<pci_restore_msi, xen::PhysdevPciDevice>, Who::control>,
    Op<xen::PHYSDEVOP_manage_pci_add,     add_in_segment_0,         Who::control>,
    Op<xen::PHYSDEVOP_manage_pci_add_ext, add_ext_in_segment_0,     Who::control>,
    Op<xen::PHYSDEVOP_manage_pci_remove,  device<remove_device, xen::PhysdevManagePci>, Who::control>,
    Op<xen::PHYSDEVOP_restore_msi,        device<pci_restore_msi, xen::PhysdevRestoreMsi>, Who::control>,
    Op<xen::PHYSDEVOP_prepare_msix,       device<pci_prepare_msix, xen::PhysdevPciDevice>, Who::control>,
    Op<xen::PHYSDEVOP_release_msix,       device<pci_release_msix, xen::PhysdevPciDevice>, Who::control>,
    // Configuration space is reached through ports only.
    Op<xen::PHYSDEVOP_pci_mmcfg_reserved, refused<Errc::nosys>,     Who::control>>;
// clang-format on

}  // namespace

Answer hypercall_physdev_op(Vcpu& v, uint32_t cmd, AnyGuestPtr arg) {
    if (!OnDevices::has(cmd) && !authorised(v.domain, Who::control)) return Err{Errc::perm};
    return OnDevices::run("physdev_op", cmd, v, arg);
}

}  // namespace hv
