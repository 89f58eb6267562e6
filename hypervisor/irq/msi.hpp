// SPDX-License-Identifier: Apache-2.0
/// Message-signalled interrupts: finding and programming a device's capability.
#pragma once

#include "hypervisor/irq/irq.hpp"

namespace hv {

/// Fills kind, device and capability of `line` for one vector of a device: MSI-X when `table` (machine address of its
/// table) is given, else MSI. Errors: noent the device has no such capability, inval.
base::Status msi_find(IrqLine& line, uint8_t bus, uint8_t devfn, uint16_t entry, uint64_t table);
/// Writes message address and data for line.vector; the entry stays masked where it can be.
void msi_program(IrqLine& line);
void msi_set_mask(IrqLine& line, bool masked);

}  // namespace hv
