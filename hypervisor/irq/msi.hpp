// SPDX-License-Identifier: Apache-2.0
/// Message-signalled interrupts: finding and programming a device's capability.
#pragma once

#include "hypervisor/irq/irq.hpp"

namespace hv {

/// Fills kind, device and capability of `line` for one vector of a device: MSI-X when `bar` (machine address of the
/// memory that holds its table; the device says where in it) is given, else MSI. Errors: noent the device has no such
/// capability, inval: no such entry, or a table in RAM; nospc: too many tables. Locks: the interrupt lock.
base::Status msi_find(IrqLine& line, uint8_t bus, uint8_t devfn, uint16_t entry, uint64_t bar);
/// Writes message address and data for line.vector; the entry stays masked where it can be.
void msi_program(IrqLine& line);
void msi_set_mask(IrqLine& line, bool masked);

}  // namespace hv
