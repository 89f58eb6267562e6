// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/irq/msi.hpp"

#include "abi/xen/basic.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/irq/message.hpp"
#include "hypervisor/irq/pci_config.hpp"

namespace hv {
namespace {

constexpr uint8_t capability_msi = 5, capability_msix = 0x11;
constexpr uint16_t status_register = 0x06, capability_pointer = 0x34;
constexpr uint32_t status_has_capabilities = 1u << 4;
constexpr uint32_t msi_64bit = 1u << 7;
constexpr unsigned msix_entry_bytes = 16;

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

/// A table in memory would let dom0's mistake write over anyone's: what is no RAM is a device's.
bool is_device(Mfn m) { return m.raw >= max_frame || page_of(m).owner.load(std::memory_order_relaxed) == xen::DOMID_IO; }

void write_entry(const IrqLine& l, uint32_t control) {
    const x86::InterruptMessage m = compose_message(l);
    l.entry[0] = static_cast<uint32_t>(m.address);
    l.entry[1] = static_cast<uint32_t>(m.address >> 32);
    l.entry[2] = m.data;
    l.entry[3] = control;
}

}  // namespace

base::Status msi_find(IrqLine& line, uint8_t bus, uint8_t devfn, uint16_t entry, uint64_t bar) {
    line.bus = bus;
    line.devfn = devfn;
    const bool msix = bar != 0;
    line.capability = find_capability(line, msix ? capability_msix : capability_msi);
    if (line.capability == 0) return Err{Errc::noent};
    line.kind = msix ? IrqKind::msix : IrqKind::msi;
    if (!msix) return base::ok;
    const uint32_t entries = (config(line, static_cast<uint16_t>(line.capability + 2), 2) & 0x7ff) + 1;
    const uint64_t address_end = uint64_t{1} << cpu_features.physical_bits;
    if (entry >= entries || bar >= address_end) return Err{Errc::inval};
    const uint64_t table = bar + (config(line, static_cast<uint16_t>(line.capability + 4), 4) & ~7u);
    const uint64_t at = table + uint64_t{entry} * msix_entry_bytes;
    if (at >= address_end || !is_device(Mfn::of_address(at))) return Err{Errc::inval};
    line.entry = static_cast<volatile uint32_t*>(map_device(at));
    return line.entry ? Status(base::ok) : Status(Err{Errc::nospc});
}

void msi_program(IrqLine& line) {
    if (line.kind == IrqKind::msix) {
        write_entry(line, 1);
        return;
    }
    const uint16_t cap = line.capability;
    const uint32_t control = config(line, static_cast<uint16_t>(cap + 2), 2);
    const x86::InterruptMessage m = compose_message(line);
    set_config(line, static_cast<uint16_t>(cap + 4), 4, static_cast<uint32_t>(m.address));
    const bool wide = control & msi_64bit;
    if (wide) set_config(line, static_cast<uint16_t>(cap + 8), 4, static_cast<uint32_t>(m.address >> 32));
    set_config(line, static_cast<uint16_t>(cap + (wide ? 12 : 8)), 2, m.data);
    // One message; the enable bit is the guest's to set when it is ready, as is MSI-X's.
    set_config(line, static_cast<uint16_t>(cap + 2), 2, control & ~0x70u);
}

void msi_set_mask(IrqLine& line, bool masked) {
    if (line.kind == IrqKind::msix) {
        write_entry(line, masked ? 1 : 0);
        return;
    }
    constexpr uint32_t enable = 1;
    const auto reg = static_cast<uint16_t>(line.capability + 2);
    const uint32_t control = config(line, reg, 2);
    set_config(line, reg, 2, masked ? control & ~enable : control | enable);
}

}  // namespace hv
