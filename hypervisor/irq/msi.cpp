// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/irq/msi.hpp"

#include "hypervisor/arch/x86/ioapic.hpp"
#include "hypervisor/irq/pci_config.hpp"

namespace hv {
namespace {

constexpr uint8_t capability_msi = 5, capability_msix = 0x11;
constexpr uint16_t status_register = 0x06, capability_pointer = 0x34;
constexpr uint32_t status_has_capabilities = 1u << 4;
constexpr uint32_t msi_64bit = 1u << 7;
constexpr unsigned msix_slot_bytes = 16;

uint32_t config(const IrqLine& l, uint16_t reg, unsigned bytes) {
    return pci_config_read(pci_address(l.bus, l.devfn, reg), bytes);
}
void set_config(const IrqLine& l, uint16_t reg, unsigned bytes, uint32_t v) {
    pci_config_write(pci_address(l.bus, l.devfn, reg), bytes, v);
}

/// Configuration offset of a capability, 0 when absent. A list longer than the space is a broken device.
uint16_t find_capability(const IrqLine& l, uint8_t id) {
    if (!(config(l, status_register, 2) & status_has_capabilities)) return 0;
    auto at = static_cast<uint16_t>(config(l, capability_pointer, 1) & 0xfc);
    for (unsigned steps = 0; at >= 0x40 && steps < 48; ++steps) {
        if (config(l, at, 1) == id) return at;
        at = static_cast<uint16_t>(config(l, static_cast<uint16_t>(at + 1), 1) & 0xfc);
    }
    return 0;
}

}  // namespace

base::Status msi_find(IrqLine& line, uint8_t bus, uint8_t devfn, uint16_t entry, uint64_t bar) {
    line.bus = bus;
    line.devfn = devfn;
    const bool msix = bar != 0;
    line.capability = find_capability(line, msix ? capability_msix : capability_msi);
    if (line.capability == 0) return Err{Errc::noent};
    line.kind = msix ? IrqKind::msix : IrqKind::msi;
    line.entry = entry;
    if (!msix) return base::ok;
    const uint64_t table = bar + (config(line, static_cast<uint16_t>(line.capability + 4), 4) & ~7u);
    const uint32_t entries = (config(line, static_cast<uint16_t>(line.capability + 2), 2) & 0x7ff) + 1;
    constexpr uint64_t below_4g = uint64_t{1} << 32;
    if (entry >= entries || table + uint64_t{entries} * msix_slot_bytes > below_4g) return Err{Errc::inval};
    line.table = table;
    return base::ok;
}

void msi_program(IrqLine& line) {
    const uint32_t address = ioapic::msi_address();
    if (line.kind == IrqKind::msix) {
        ioapic::msix_write(line.table + uint64_t{line.entry} * msix_slot_bytes, address, line.vector, 1);
        return;
    }
    const uint16_t cap = line.capability;
    const uint32_t control = config(line, static_cast<uint16_t>(cap + 2), 2);
    set_config(line, static_cast<uint16_t>(cap + 4), 4, address);
    const bool wide = control & msi_64bit;
    if (wide) set_config(line, static_cast<uint16_t>(cap + 8), 4, 0);
    set_config(line, static_cast<uint16_t>(cap + (wide ? 12 : 8)), 2, line.vector);
    // One message; the enable bit is the guest's to set when it is ready, as is MSI-X's.
    set_config(line, static_cast<uint16_t>(cap + 2), 2, control & ~0x70u);
}

void msi_set_mask(IrqLine& line, bool masked) {
    if (line.kind == IrqKind::msix) {
        ioapic::msix_write(line.table + uint64_t{line.entry} * msix_slot_bytes, ioapic::msi_address(), line.vector,
                           masked ? 1 : 0);
        return;
    }
    constexpr uint32_t enable = 1;
    const auto reg = static_cast<uint16_t>(line.capability + 2);
    const uint32_t control = config(line, reg, 2);
    set_config(line, reg, 2, masked ? control & ~enable : control | enable);
}

}  // namespace hv
