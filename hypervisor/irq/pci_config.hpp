// SPDX-License-Identifier: Apache-2.0
/// PCI configuration space through ports 0xcf8 and 0xcfc, shared by dom0 and the hypervisor.
#pragma once

#include <cstdint>

#include "lib/parse/pci.hpp"

namespace hv {

/// `devfn`: device << 3 | function.
struct PciAddress {
    uint16_t segment;
    uint8_t bus, devfn;
};

/// `address`: bus << 16 | device << 11 | function << 8 | register (byte); `bytes` 1, 2 or 4, naturally aligned.
/// Locks: takes Rank::irq.
uint32_t pci_config_read(uint32_t address, unsigned bytes);
void pci_config_write(uint32_t address, unsigned bytes, uint32_t value);

constexpr uint32_t pci_address(uint8_t bus, uint8_t devfn, uint16_t reg) {
    return (uint32_t{bus} << 16) | (uint32_t{devfn} << 8) | reg;
}
/// The space of one function; the ports reach segment 0 only.
constexpr parse::PciSpace pci_space(uint8_t bus, uint8_t devfn) { return {pci_config_read, pci_address(bus, devfn, 0)}; }

}  // namespace hv
