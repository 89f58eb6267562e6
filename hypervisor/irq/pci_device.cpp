// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/irq/pci_device.hpp"

#include <utility>

#include "hypervisor/irq/internal.hpp"
#include "hypervisor/irq/pci_config.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/log.hpp"
#include "lib/base/format.hpp"

namespace hv {
namespace {

/// A bus with a device on it; in order of segment and number.
struct Bus {
    explicit Bus(PciAddress a) : segment(a.segment), number(a.bus) {}
    const uint16_t segment;
    const uint8_t number;
    unsigned count = 0;
    PciDevice* devices[256] = {};
    Bus* next = nullptr;
};
Bus* buses GUARDED_BY(irq::lock) = nullptr;
unsigned device_count GUARDED_BY(irq::lock) = 0;

/// Where the bus is linked, or belongs.
Bus** place_of(PciAddress at) REQUIRES(irq::lock) {
    Bus** place = &buses;
    while (*place && std::pair((*place)->segment, (*place)->number) < std::pair(at.segment, at.bus)) place = &(*place)->next;
    return place;
}

bool is(const Bus* b, PciAddress at) { return b && b->segment == at.segment && b->number == at.bus; }

/// Errors: nomem.
Result<Bus*> bus_for(PciAddress at) REQUIRES(irq::lock) {
    Bus** place = place_of(at);
    if (is(*place, at)) return *place;
    Bus* b = TRY(make<Bus>(at));
    b->next = std::exchange(*place, b);
    return b;
}

void free_if_empty(Bus** place) REQUIRES(irq::lock) {
    if ((*place)->count == 0) destroy(std::exchange(*place, (*place)->next));
}

/// Only segment 0 can be reached through the ports.
void read_capabilities(PciDevice& dev) {
    if (dev.at.segment != 0) return;
    const parse::PciSpace space = pci_space(dev.at.bus, dev.at.devfn);
    dev.msi = parse::pci_capability(space, parse::PciCapability::msi);
    dev.msix = parse::pci_msix(space);
}

Result<PciDevice*> add(PciAddress at, DomId owner) REQUIRES(irq::lock) {
    if (PciDevice* known = irq::find_device(at)) return known;
    if (device_count == max_pci_devices) return Err{Errc::nomem};
    Bus* bus = TRY(bus_for(at));
    auto dev = make<PciDevice>(at, owner);
    if (!dev) {
        free_if_empty(place_of(at));
        return Err{dev.error()};
    }
    read_capabilities(*dev.value());
    ++device_count;
    ++bus->count;
    bus->devices[at.devfn] = dev.value();
    log(LogLevel::debug, "PCI add device %04x:%02x:%02x.%u", at.segment, at.bus, at.devfn >> 3, at.devfn & 7u);
    return dev;
}

unsigned msix_users(PciDevice& dev) REQUIRES(irq::lock) {
    unsigned n = dev.msix_prepared ? 1 : 0;
    for (const IrqLine& line : dev.lines) n += line.kind == IrqKind::msix ? 1 : 0;
    return n;
}

/// Errors: nodev.
Result<PciDevice*> device_with_msix(PciAddress at) REQUIRES(irq::lock) {
    PciDevice* dev = irq::find_device(at);
    if (!dev || dev->msix.capability == 0) return Err{Errc::nodev};
    return dev;
}

void show(PciDevice& dev) REQUIRES(irq::lock) {
    char lines[96] = "";
    size_t n = 0;
    for (const IrqLine& line : dev.lines)
        if (n + 8 < sizeof lines) n += base::format(lines + n, sizeof lines - n, "%u ", irq::machine_number(line));
    log(LogLevel::info, "%04x:%02x:%02x.%u - d%u - node -1%s%s%s", dev.at.segment, dev.at.bus, dev.at.devfn >> 3,
        dev.at.devfn & 7u, unsigned{dev.owner.raw}, n ? " - MSIs < " : "", lines, n ? ">" : "");
}

}  // namespace

PciDevice* irq::find_device(PciAddress at) {
    const Bus* b = *place_of(at);
    return is(b, at) ? b->devices[at.devfn] : nullptr;
}

base::Status pci_device_add(PciAddress at, const PciAnnouncement& said, DomId owner) {
    Guard g(irq::lock);
    // A part of a device whose whole was not announced yet announces it, too.
    if (said.virtual_function) TRY(add({at.segment, said.physical_bus, said.physical_devfn}, owner));
    PciDevice* dev = TRY(add(at, owner));
    dev->said = said;
    return ok;
}

base::Status pci_device_remove(PciAddress at) {
    Guard g(irq::lock);
    Bus** place = place_of(at);
    Bus* bus = *place;
    PciDevice* dev = is(bus, at) ? bus->devices[at.devfn] : nullptr;
    if (!dev) return Err{Errc::nodev};
    while (IrqLine* line = dev->lines.front()) irq::unmap_msi(*line);
    bus->devices[at.devfn] = nullptr;
    --bus->count;
    --device_count;
    free_if_empty(place);
    destroy(dev);
    return ok;
}

base::Result<uint32_t> pci_next_message(PciAddress at, uint32_t from) {
    Guard g(irq::lock);
    PciDevice* dev = irq::find_device(at);
    if (!dev) return Err{Errc::nodev};
    constexpr uint32_t none = ~0u;
    uint32_t next = none;
    for (const IrqLine& line : dev->lines)
        if (const uint32_t n = irq::machine_number(line); n >= from && n < next) next = n;
    if (next == none) return Err{Errc::noent};
    return next;
}

base::Status pci_prepare_msix(PciAddress at) {
    Guard g(irq::lock);
    PciDevice* dev = TRY(device_with_msix(at));
    if (msix_users(*dev) != 0) return Err{Errc::busy};
    dev->msix_prepared = true;
    return ok;
}

base::Status pci_release_msix(PciAddress at) {
    Guard g(irq::lock);
    PciDevice* dev = TRY(device_with_msix(at));
    if (!dev->msix_prepared || msix_users(*dev) != 1) return Err{Errc::busy};
    dev->msix_prepared = false;
    return ok;
}

base::Status pci_restore_msi(PciAddress at) {
    Guard g(irq::lock);
    PciDevice* dev = irq::find_device(at);
    if (!dev) return Err{Errc::nodev};
    for (IrqLine& line : dev->lines) {
        irq::msi_program(line);
        irq::msi_set_mask(line, !line.target.load(std::memory_order_relaxed));
    }
    if (dev->msix.capability && msix_users(*dev)) irq::msix_enable(*dev);
    return ok;
}

#ifdef HV_HOST
void pci_devices_forget() {
    const auto first = []() -> Bus* {
        Guard g(irq::lock);
        return buses;
    };
    while (const Bus* b = first())
        for (unsigned devfn = 0, left = b->count; left; ++devfn)
            left -= pci_device_remove({b->segment, b->number, static_cast<uint8_t>(devfn)}) ? 1 : 0;
}
#endif

void pci_devices_show() {
    log(LogLevel::info, "==== PCI devices ====");
    Guard g(irq::lock);
    const Bus* before = nullptr;
    for (const Bus* b = buses; b; before = b, b = b->next) {
        if (!before || before->segment != b->segment) log(LogLevel::info, "==== segment %04x ====", b->segment);
        for (PciDevice* dev : b->devices)
            if (dev) show(*dev);
    }
}

}  // namespace hv
