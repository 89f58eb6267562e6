// SPDX-License-Identifier: Apache-2.0
/// From the firmware's memory map to the heap: direct map, frame table, M2P.
#pragma once

#include "lib/parse/multiboot.hpp"

namespace hv {

/// Boot, once. Takes away the hypervisor, the modules and the loader's records; gives all other RAM to the heap.
void memory_init(const parse::BootRecord& record);
/// Gives a module's RAM to the heap, once its contents are no longer needed.
void memory_free_boot_range(uint64_t start, uint64_t end);

}  // namespace hv
