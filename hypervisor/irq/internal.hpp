// SPDX-License-Identifier: Apache-2.0
/// What the files of irq/ share.
#pragma once

#include "hypervisor/irq/pci_device.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv::irq {

/// Lines, numberings and devices.
extern constinit Spinlock lock;

/// Null when nobody announced it.
PciDevice* find_device(PciAddress at) REQUIRES(lock);
/// Takes an MSI out of its numbering; the line is free.
void unmap_msi(IrqLine& line) REQUIRES(lock);
/// The machine's number for it, see pirq_machine_number().
uint32_t machine_number(const IrqLine& line) REQUIRES(lock);

// -- msi.cpp. Locks: this one ------------------------------------------------------------------------------------------
/// Fills `line` for one message of a device: the MSI-X entry when `m.table_base` is given, else MSI. Errors: nodev (the device has no
/// such capability), inval (no such entry, or a table in RAM), exist (a line has it), nospc (too many tables).
base::Status msi_find(IrqLine& line, PciDevice& dev, const MsiRequest& m) REQUIRES(lock);
/// Writes the message; the line stays masked where it can be.
void msi_program(IrqLine& line) REQUIRES(lock);
void msi_set_mask(IrqLine& line, bool masked) REQUIRES(lock);
/// MSI-X as a whole is the driver's to switch on; after a reset it is ours again.
void msix_enable(const PciDevice& dev) REQUIRES(lock);

}  // namespace hv::irq
