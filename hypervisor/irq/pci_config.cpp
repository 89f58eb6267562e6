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
    return hw::port_in(select(address), bytes);
}

void pci_config_write(uint32_t address, unsigned bytes, uint32_t value) {
    Guard g(config_lock);
    hw::port_out(select(address), bytes, value);
}

}  // namespace hv
