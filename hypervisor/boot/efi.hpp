// SPDX-License-Identifier: Apache-2.0
/// UEFI firmware, when the machine was started by it.
#pragma once

#include "lib/parse/multiboot.hpp"

namespace hv {

/// Reads what the boot loader's record says of UEFI into efi_firmware, and makes the address space that its services run in, unless
/// `services` is false. Says in the log what there is. After the heap is there, before dom0.
void efi_discover(const parse::BootRecord& record, const parse::PhysicalWindow& memory, bool services);

}  // namespace hv
