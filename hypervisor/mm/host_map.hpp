// SPDX-License-Identifier: Apache-2.0
/// The machine's memory map, as dom0 reads it.
#pragma once

#include "lib/parse/e820.hpp"

namespace hv {

extern parse::MemoryMap host_memory_map;

}  // namespace hv
