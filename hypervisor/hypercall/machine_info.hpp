// SPDX-License-Identifier: Apache-2.0
/// What boot code knows about the machine and hypercalls tell: written before the first domain runs.
#pragma once

#include <cstdint>

#include "abi/xen/version.hpp"
#include "lib/parse/e820.hpp"
#include "lib/x86/boot_options.hpp"

namespace hv {

struct MachineInfo {
    static constexpr uint32_t max_ranges = parse::MemoryMap::capacity;
    parse::E820Entry memory_map[max_ranges] = {};  ///< as firmware tells it, sanitised
    uint32_t memory_map_entries = 0;
    char command_line[xen::XEN_COMMANDLINE_LEN] = {};  ///< without the image's name
    x86::BootOptions options;                          ///< those of rt/run_time_options.hpp change by hypfs_op, in its turn
    char build_date[32] = {};  ///< of the source that the image was built from, or of its build; may be empty
};
extern MachineInfo machine_info;

}  // namespace hv
