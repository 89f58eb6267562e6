// SPDX-License-Identifier: Apache-2.0
/// PCI devices, as the domain that drives the machine announces them: whose they are, and the interrupts that they send.
#pragma once

#include <cstdint>

#include "hypervisor/irq/irq.hpp"
#include "lib/base/list.hpp"
#include "lib/base/types.hpp"
#include "lib/parse/pci.hpp"

namespace hv {

/// What is said of a device when it is announced.
struct PciAnnouncement {
    bool extended_function = false;
    bool virtual_function = false;
    uint8_t physical_bus = 0, physical_devfn = 0;  ///< of a virtual function: whose part it is
};

struct PciDevice {
    PciDevice(PciAddress a, DomId o) : at(a), owner(o) {}
    const PciAddress at;
    PciAnnouncement said;
    DomId owner;
    uint16_t msi = 0;  ///< offset of its capability; 0: none
    parse::PciMsix msix;
    bool msix_prepared = false;                      ///< PHYSDEVOP_prepare_msix: kept for somebody
    base::List<IrqLine, &IrqLine::of_device> lines;  ///< MSIs and MSI-X entries in use
};

inline constexpr unsigned max_pci_devices = 4096;

/// Takes note of a device of `owner`'s; again is no error. Errors: nomem (also when there are max_pci_devices).
base::Status pci_device_add(PciAddress at, const PciAnnouncement& said, DomId owner);
/// It is gone: its interrupts are unmapped, whoever has them. Errors: nodev.
base::Status pci_device_remove(PciAddress at);
/// The least machine number from `from` on of its messages that are mapped (pirq_machine_number()). Errors: nodev, noent.
base::Result<uint32_t> pci_next_message(PciAddress at, uint32_t from);
/// Keeps MSI-X of a device for somebody else's use, or gives it up. Errors: nodev (no such device, or it has no MSI-X), busy (in use).
base::Status pci_prepare_msix(PciAddress at);
base::Status pci_release_msix(PciAddress at);
/// After a reset of the device: writes what its MSIs were. Errors: nodev.
base::Status pci_restore_msi(PciAddress at);
/// Debug key 'Q'.
void pci_devices_show();
#ifdef HV_HOST
/// Removes them all, for tests that look for what is lost.
void pci_devices_forget();
#endif

}  // namespace hv
