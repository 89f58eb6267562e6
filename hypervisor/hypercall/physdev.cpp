// SPDX-License-Identifier: Apache-2.0
/// physdev_op: interrupts and devices for the domain that drives them.
#include "abi/xen/physdev.hpp"
#include "hypervisor/arch/x86/ioapic.hpp"
#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/irq/irq.hpp"
#include "hypervisor/irq/pirq.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {
namespace {

template <class T>
Result<T> fetch(uint64_t arg) {
    return GuestPtr<T>::from_reg(arg).fetch();
}

Result<uint64_t> need_eoi(Vcpu& v, uint64_t arg) {
    auto q = TRY(fetch<xen::PhysdevIrqStatusQuery>(arg));
    q.flags = pirq_needs_eoi(v.domain, q.irq) ? xen::XENIRQSTAT_needs_eoi : 0;
    TRY(GuestPtr<xen::PhysdevIrqStatusQuery>::from_reg(arg).store(q));
    return uint64_t{0};
}

Result<uint64_t> set_iopl(Vcpu& v, uint64_t arg) {
    const auto s = TRY(fetch<xen::PhysdevSetIopl>(arg));
    TRY(v.domain.kind.set_io_level(v, s.iopl));
    return uint64_t{0};
}

Result<uint64_t> set_iobitmap(Vcpu& v, uint64_t arg) {
    const auto s = TRY(fetch<xen::PhysdevSetIobitmap>(arg));
    TRY(v.domain.kind.set_io_bitmap(v, s.bitmap.addr, s.nr_ports));
    return uint64_t{0};
}

Result<uint64_t> apic_read(uint64_t arg) {
    auto a = TRY(fetch<xen::PhysdevApic>(arg));
    if (!ioapic::read(a.apic_physbase, a.reg, a.value)) return Err{Errc::inval};
    TRY(GuestPtr<xen::PhysdevApic>::from_reg(arg).store(a));
    return uint64_t{0};
}

Result<uint64_t> alloc_vector(uint64_t arg) {
    auto i = TRY(fetch<xen::PhysdevIrq>(arg));
    i.vector = TRY(gsi_vector(i.irq));
    TRY(GuestPtr<xen::PhysdevIrq>::from_reg(arg).store(i));
    return uint64_t{0};
}

Result<uint64_t> map_pirq(Vcpu& v, uint64_t arg) {
    auto m = TRY(fetch<xen::PhysdevMapPirq>(arg));
    DomainRef d = TRY(find_domain(DomId(m.domid)));
    if (m.index < 0 && m.type == static_cast<int32_t>(xen::MAP_PIRQ_TYPE_GSI)) return Err{Errc::inval};
    (void)v;
    switch (static_cast<uint32_t>(m.type)) {
        case xen::MAP_PIRQ_TYPE_GSI:
            m.pirq = static_cast<int32_t>(TRY(pirq_map_gsi(*d, static_cast<uint32_t>(m.index), m.pirq)));
            break;
        case xen::MAP_PIRQ_TYPE_MSI:
        case xen::MAP_PIRQ_TYPE_MSI_SEG: {
            // The segment is in the upper half of `bus`; machines reached through ports 0xcf8 have segment 0 only.
            if ((m.bus >> 16) != 0) return Err{Errc::opnotsupp};
            m.pirq = static_cast<int32_t>(TRY(pirq_map_msi(*d, static_cast<uint8_t>(m.bus), static_cast<uint8_t>(m.devfn),
                                                           static_cast<uint16_t>(m.entry_nr), m.table_base, m.pirq)));
            break;
        }
        default: return Err{Errc::inval};
    }
    TRY(GuestPtr<xen::PhysdevMapPirq>::from_reg(arg).store(m));
    return uint64_t{0};
}

Result<uint64_t> unmap_pirq(uint64_t arg) {
    const auto u = TRY(fetch<xen::PhysdevUnmapPirq>(arg));
    DomainRef d = TRY(find_domain(DomId(u.domid)));
    TRY(pirq_unmap(*d, static_cast<uint32_t>(u.pirq)));
    return uint64_t{0};
}

Result<uint64_t> setup_gsi(uint64_t arg) {
    const auto s = TRY(fetch<xen::PhysdevSetupGsi>(arg));
    if (s.gsi < 0) return Err{Errc::inval};
    const Status done = gsi_setup(static_cast<uint32_t>(s.gsi), s.triggering != 0, s.polarity != 0);
    // The serial line's interrupt is the hypervisor's: dom0 need not know.
    if (!done && done.error() != Errc::busy) return Err{done.error()};
    return uint64_t{0};
}

Result<uint64_t> free_pirq(Vcpu& v, uint64_t arg) {
    auto f = TRY(fetch<xen::PhysdevGetFreePirq>(arg));
    f.pirq = TRY(pirq_free_number(v.domain));
    TRY(GuestPtr<xen::PhysdevGetFreePirq>::from_reg(arg).store(f));
    return uint64_t{0};
}

Result<uint64_t> privileged_op(Vcpu& v, uint32_t cmd, uint64_t arg) {
    switch (cmd) {
        case xen::PHYSDEVOP_apic_read: return apic_read(arg);
        case xen::PHYSDEVOP_apic_write: return uint64_t{0};  // the I/O APICs are programmed from setup_gsi
        case xen::PHYSDEVOP_alloc_irq_vector: return alloc_vector(arg);
        case xen::PHYSDEVOP_map_pirq: return map_pirq(v, arg);
        case xen::PHYSDEVOP_unmap_pirq: return unmap_pirq(arg);
        case xen::PHYSDEVOP_setup_gsi: return setup_gsi(arg);
        case xen::PHYSDEVOP_get_free_pirq: return free_pirq(v, arg);
        // Notices about PCI devices: there is no IOMMU to set up for them.
        case xen::PHYSDEVOP_manage_pci_add:
        case xen::PHYSDEVOP_manage_pci_add_ext:
        case xen::PHYSDEVOP_manage_pci_remove:
        case xen::PHYSDEVOP_pci_device_add:
        case xen::PHYSDEVOP_pci_device_remove:
        case xen::PHYSDEVOP_pci_mmcfg_reserved: return uint64_t{0};
        default: return Err{Errc::nosys};
    }
}

}  // namespace

Result<uint64_t> hypercall_physdev_op(Vcpu& v, const uint64_t (&args)[6]) {
    const auto cmd = static_cast<uint32_t>(args[0]);
    switch (cmd) {
        case xen::PHYSDEVOP_eoi: {
            const auto e = TRY(fetch<xen::PhysdevEoi>(args[1]));
            pirq_eoi(v.domain, e.irq);
            return uint64_t{0};
        }
        case xen::PHYSDEVOP_irq_status_query: return need_eoi(v, args[1]);
        case xen::PHYSDEVOP_set_iopl: return set_iopl(v, args[1]);
        case xen::PHYSDEVOP_set_iobitmap: return set_iobitmap(v, args[1]);
        default: break;
    }
    if (!v.domain.privileged) return Err{Errc::perm};
    auto result = privileged_op(v, cmd, args[1]);
    if (!result && result.error() == Errc::nosys)
        guest_log(LogLevel::debug, "d%u: physdev_op %u is not implemented", v.domain.id.raw, cmd);
    return result;
}

}  // namespace hv
