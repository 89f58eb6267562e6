// SPDX-License-Identifier: Apache-2.0
/// Message-signalled interrupts: programming a device's MSI capability, or an entry of its MSI-X table.
#include "abi/xen/basic.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/irq/internal.hpp"
#include "hypervisor/irq/message.hpp"
#include "hypervisor/irq/pci_config.hpp"

namespace hv::irq {
namespace {

constexpr uint32_t msi_enable = 1, msi_messages = 0x70, msi_64bit = 1u << 7, msix_enable_bit = 1u << 15;
constexpr unsigned msix_entry_bytes = 16, msix_entry_alignment = 8;

uint32_t config(const PciDevice& dev, uint32_t reg, unsigned bytes) {
    return pci_config_read(pci_address(dev.at.bus, dev.at.devfn, static_cast<uint16_t>(reg)), bytes);
}
void set_config(const PciDevice& dev, uint32_t reg, unsigned bytes, uint32_t v) {
    pci_config_write(pci_address(dev.at.bus, dev.at.devfn, static_cast<uint16_t>(reg)), bytes, v);
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

/// Where the table begins: what the device says, or else (virtual functions have no BARs of their own) the caller.
uint64_t table_base(const PciDevice& dev, const MsiRequest& m) {
    const parse::PciBar bar = parse::pci_bar(pci_space(dev.at.bus, dev.at.devfn), dev.msix.table.bar);
    return bar.kind == parse::PciBar::Kind::memory && bar.address != 0 ? bar.address : m.table_base;
}

Status find_entry(IrqLine& line, const PciDevice& dev, const MsiRequest& m) {
    const uint64_t address_end = uint64_t{1} << cpu_features.physical_bits;
    const uint64_t base = table_base(dev, m);
    if (m.entry >= dev.msix.entries || base >= address_end) return Err{Errc::inval};
    const uint64_t at = base + dev.msix.table.offset + uint64_t{m.entry} * msix_entry_bytes;
    // An entry stands in one page, and that alone is mapped: where tables may be, all do.
    if (at % msix_entry_alignment != 0 || at % page_size > page_size - msix_entry_bytes) return Err{Errc::inval};
    if (at >= address_end || !is_device(Mfn::of_address(at))) return Err{Errc::inval};
    line.entry = static_cast<volatile uint32_t*>(map_device(at));
    return line.entry ? Status(ok) : Status(Err{Errc::nospc});
}

}  // namespace

Status msi_find(IrqLine& line, PciDevice& dev, const MsiRequest& m) {
    const IrqKind kind = m.table_base != 0 ? IrqKind::msix : IrqKind::msi;
    if ((kind == IrqKind::msix ? dev.msix.capability : dev.msi) == 0) return Err{Errc::nodev};
    if (kind == IrqKind::msix) TRY(find_entry(line, dev, m));
    for (const IrqLine& other : dev.lines)
        if (other.kind == kind && (kind == IrqKind::msi || other.entry == line.entry)) return Err{Errc::exist};
    line.kind = kind;
    return ok;
}

void msi_program(IrqLine& line) {
    if (line.kind == IrqKind::msix) return write_entry(line, 1);
    const PciDevice& dev = *line.device;
    const x86::InterruptMessage m = compose_message(line);
    const uint32_t control = config(dev, dev.msi + 2u, 2);
    const bool wide = control & msi_64bit;
    set_config(dev, dev.msi + 4u, 4, static_cast<uint32_t>(m.address));
    if (wide) set_config(dev, dev.msi + 8u, 4, static_cast<uint32_t>(m.address >> 32));
    set_config(dev, dev.msi + (wide ? 12u : 8u), 2, m.data);
    // One message; the enable bit is the guest's to set when it is ready, as is MSI-X's.
    set_config(dev, dev.msi + 2u, 2, control & ~msi_messages);
}

void msi_set_mask(IrqLine& line, bool masked) {
    if (line.kind == IrqKind::msix) return write_entry(line, masked ? 1 : 0);
    const uint32_t reg = line.device->msi + 2u, control = config(*line.device, reg, 2);
    set_config(*line.device, reg, 2, masked ? control & ~msi_enable : control | msi_enable);
}

void msix_enable(const PciDevice& dev) {
    const uint32_t reg = dev.msix.capability + 2u;
    set_config(dev, reg, 2, config(dev, reg, 2) | msix_enable_bit);
}

}  // namespace hv::irq
