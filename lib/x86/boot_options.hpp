// SPDX-License-Identifier: Apache-2.0
/// The options on the hypervisor's command line. Pure; their table is docs/boot-options.md.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/base/log_settings.hpp"
#include "lib/parse/bytes.hpp"
#include "lib/parse/serial.hpp"
#include "lib/x86/cpu_set.hpp"
#include "lib/x86/speculation_policy.hpp"

namespace x86 {

/// dom0_mem=[min:A,][max:B,][C]; negative: all but that. Bytes; 0 with `given` false: the default.
struct MemoryAmount {
    bool given = false;
    bool negative = false;
    uint64_t bytes = 0;
};

struct BootOptions {
    bool console_serial = false;
    bool console_vga = true;
    parse::SerialSettings com1{115200, 0x3f8, 4, 3};
    MemoryAmount dom0_mem, dom0_min, dom0_max;
    unsigned dom0_max_vcpus = 0;  ///< 0: as many as there are CPUs
    unsigned max_cpus = x86::max_cpus;
    uint64_t mem_limit = 0;    ///< 0: all
    bool efi_services = true;  ///< UEFI's run-time services are called
    bool noreboot = false;
    SpeculationOptions speculation;
    bool sync_console = false;
    bool vga_keep = false;
    base::LogLevels own_levels = base::default_own_levels;
    base::LogLevels guest_levels = base::default_guest_levels;
    base::Timestamps timestamps = base::Timestamps::none;
    bool console_to_ring = false;
    uint32_t ring_size = base::log_ring_size;  ///< of the log; a power of two
    char scheduler[16] = "credit2";
};

/// A word that was not understood, and why: "is ...", "has ...".
struct OptionComplaint {
    std::string_view option;  ///< a part of the line
    const char* why;
};
using OptionComplaints = parse::FixedList<OptionComplaint, 32>;

/// Reads `line` into `options`: later words win. A word that is not known, or whose value makes no sense, changes nothing (of
/// spec-ctrl=, xpti= and pv-l1tf= the items that are known count) and gets a complaint while there is room for it.
/// `dom0_most_vcpus`: dom0_max_vcpus= may say this much.
void parse_boot_options(std::string_view line, unsigned dom0_most_vcpus, BootOptions& options, OptionComplaints& complaints);

}  // namespace x86
