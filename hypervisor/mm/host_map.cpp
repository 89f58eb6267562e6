// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/mm/host_map.hpp"

namespace hv {

parse::MemoryMap host_memory_map;

}  // namespace hv
