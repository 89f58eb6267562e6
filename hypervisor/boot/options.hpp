// SPDX-License-Identifier: Apache-2.0
/// The hypervisor's command line.
#pragma once

#include <cstdint>
#include <string_view>

#include "abi/xen/version.hpp"
#include "hypervisor/arch/x86/online_cpus.hpp"
#include "hypervisor/arch/x86/speculation_plan.hpp"
#include "hypervisor/dev/serial.hpp"
#include "hypervisor/rt/log_ring.hpp"

namespace hv {

/// dom0_mem=[min:A,][max:B,][C]; negative: all but that. Bytes; 0 with `given` false: the default.
struct MemoryAmount {
    bool given = false;
    bool negative = false;
    uint64_t bytes = 0;
};

struct Options {
    bool console_serial = false;
    bool console_vga = true;
    parse::SerialSettings com1{115200, 0x3f8, 4, 3};
    MemoryAmount dom0_mem, dom0_min, dom0_max;
    unsigned dom0_max_vcpus = 0;  ///< 0: as many as there are CPUs
    unsigned max_cpus = hv::max_cpus;
    uint64_t mem_limit = 0;  ///< 0: all
    bool noreboot = false;
    SpeculationOptions speculation;
    bool sync_console = false;
    bool vga_keep = false;
    LogLevels own_levels = default_own_levels;
    LogLevels guest_levels = default_guest_levels;
    Timestamps timestamps = Timestamps::none;
    bool console_to_ring = false;
    uint32_t ring_size = log_ring_size;  ///< of the log; a power of two
    char scheduler[16] = "credit2";
    char command_line[xen::XEN_COMMANDLINE_LEN] = {};
};
extern Options options;

/// Parses what can be known before anything else (consoles come first). Problems are kept for report_options().
void parse_options(std::string_view line);
/// Logs every option that was not understood, once the consoles work.
void report_options();

}  // namespace hv
