// SPDX-License-Identifier: Apache-2.0
/// Port I/O of guests that drive devices: dom0, over the whole port space but for what the hypervisor uses itself.
#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/guest/pv/emulate.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/irq/pci_config.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv {
namespace {

constexpr uint16_t pci_address_port = 0xcf8;
constexpr uint16_t pci_data_port = 0xcfc;

bool is_pci_address(uint16_t port, unsigned bytes) { return port == pci_address_port && bytes == 4; }
bool is_pci_data(uint16_t port) { return port >= pci_data_port && port < pci_data_port + 4; }

uint32_t all_ones(unsigned bytes) { return bytes == 4 ? ~0u : (1u << (8 * bytes)) - 1; }

/// The register that an access to the data port names, through the guest's copy of the address port.
bool pci_register(const Vcpu& v, uint16_t port, uint32_t& address) {
    constexpr uint32_t enable = 1u << 31;
    address = (v.domain.pci_address & ~(enable | 3u)) | (port & 3u);
    return v.domain.pci_address & enable;
}

/// The bitmap lies in the address space of the guest's kernel. What cannot be read is closed.
bool open_in_bitmap(const Vcpu& v, uint16_t port, unsigned bytes) {
    const PvVcpu& pv = *v.pv;
    if (uint32_t{port} + bytes > pv.io_bitmap_ports) return false;
    const unsigned first_bit = port & 7, mask = ((1u << bytes) - 1) << first_bit;
    uint8_t bits[2] = {0xff, 0xff};
    if (!pv.in_kernel) arch::load_root(pv.kernel_cr3.address());
    const size_t needed = mask > 0xff ? 2 : 1;
    const bool read = arch::copy_from_guest(bits, pv.io_bitmap + port / 8, needed);
    if (!pv.in_kernel) arch::load_root(pv.user_cr3.address());
    return read && ((bits[0] | bits[1] << 8) & static_cast<int>(mask)) == 0;
}

}  // namespace

bool pv_port_open(const Vcpu& v, uint16_t port, unsigned bytes) { return open_in_bitmap(v, port, bytes); }

uint32_t pv_port_in(Vcpu& v, uint16_t port, unsigned bytes) {
    if (is_pci_address(port, bytes)) return v.domain.pci_address;
    if (v.domain.privileged && is_pci_data(port)) {
        uint32_t address = 0;
        return pci_register(v, port, address) ? pci_config_read(address, bytes) : all_ones(bytes);
    }
    // Ports the hypervisor keeps for itself read as if nothing was there.
    if (!v.domain.ioports.contains(port, uint64_t{port} + bytes - 1)) return all_ones(bytes);
    return hw::port_in(port, bytes);
}

void pv_port_out(Vcpu& v, uint16_t port, unsigned bytes, uint32_t value) {
    if (is_pci_address(port, bytes)) {
        v.domain.pci_address = value;
        return;
    }
    if (v.domain.privileged && is_pci_data(port)) {
        uint32_t address = 0;
        if (pci_register(v, port, address)) pci_config_write(address, bytes, value);
        return;
    }
    if (v.domain.ioports.contains(port, uint64_t{port} + bytes - 1)) hw::port_out(port, bytes, value);
}

}  // namespace hv
