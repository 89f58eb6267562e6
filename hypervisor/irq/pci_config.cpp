// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/irq/pci_config.hpp"

#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv {
namespace {

constinit Spinlock config_lock{Rank::pci};
constexpr uint16_t address_port = 0xcf8;
constexpr uint16_t data_port = 0xcfc;
constexpr uint32_t enable = 1u << 31;

uint16_t select(uint32_t address) {
    hw::out32(address_port, enable | (address & ~3u));
    return static_cast<uint16_t>(data_port + (address & 3));
}

}  // namespace

uint32_t pci_config_read(uint32_t address, unsigned bytes) {
    Guard g(config_lock);
    const uint16_t port = select(address);
    return bytes == 1 ? hw::in8(port) : bytes == 2 ? hw::in16(port) : hw::in32(port);
}

void pci_config_write(uint32_t address, unsigned bytes, uint32_t value) {
    Guard g(config_lock);
    const uint16_t port = select(address);
    if (bytes == 1) hw::out8(port, static_cast<uint8_t>(value));
    else if (bytes == 2) hw::out16(port, static_cast<uint16_t>(value));
    else hw::out32(port, value);
}

}  // namespace hv
