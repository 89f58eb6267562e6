// SPDX-License-Identifier: Apache-2.0
/// The options on the hypervisor's command line. Pure; their table is docs/boot-options.md.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "lib/base/log_settings.hpp"
#include "lib/parse/bytes.hpp"
#include "lib/parse/cmdline.hpp"
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

inline constexpr unsigned option_count = 27;  ///< rows of the table of options

inline constexpr uint32_t default_ratelimit_us = 100;
inline constexpr uint32_t default_tslice_ms = 30;

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
    uint32_t ratelimit_us = default_ratelimit_us;  ///< of the scheduler; 0: none
    uint32_t tslice_ms = default_tslice_ms;        ///< of credit
    uint32_t trace_pages = 0;                      ///< of each CPU's trace buffer, made at boot; 0: none
    uint32_t trace_events = 0;                     ///< recorded from boot on; 0: none
    std::string_view
        given[option_count];  ///< of each row the last value that was understood, a part of the line; null data: none
};

/// A word that was not understood, and why: "is ...", "has ...".
struct OptionComplaint {
    std::string_view option;  ///< a part of the line
    const char* why;
};
using OptionComplaints = parse::FixedList<OptionComplaint, 32>;

enum class OptionKind : uint8_t { boolean, number, text };

struct OptionReading;

/// One option: a row of the table in boot_options.cpp, which is the only one.
struct OptionRow {
    std::string_view name;
    OptionKind kind;
    uint8_t longest;   ///< of a value that it may be given while the machine runs, bytes with a text's end; 0: at boot only
    bool takes_parts;  ///< of a list with an item that is not known the others count
    /// False: the value makes no sense.
    bool (*set)(const parse::Option& o, OptionReading& to);
    uint64_t (*number)(const BootOptions& o);                      ///< of booleans (0 and 1) and numbers
    std::string_view (*text)(const BootOptions& o, char (&)[32]);  ///< null: as the line has it, "default" if it does not
};

/// All of them, by name.
std::span<const OptionRow> option_rows();

/// What an option is: the number of booleans and numbers, or a text, which may stand in `room`.
struct OptionValue {
    uint64_t number = 0;
    std::string_view text;
};
OptionValue option_value(const OptionRow& row, const BootOptions& options, char (&room)[32]);

/// Gives an option that can change while the machine runs another value, in the words of the command line.
/// False: it makes no sense, and nothing has changed.
bool change_option(const OptionRow& row, std::string_view value, BootOptions& options);

/// Bytes of the image's name in front of the options, with the blanks behind it; 0: the loader does not pass it.
size_t image_name_length(std::string_view line);

/// Reads `line` into `options`: later words win. A word that is not known, or whose value makes no sense, changes nothing (of
/// spec-ctrl=, xpti= and pv-l1tf= the items that are known count) and gets a complaint while there is room for it.
/// `dom0_most_vcpus`: dom0_max_vcpus= may say this much.
void parse_boot_options(std::string_view line, unsigned dom0_most_vcpus, BootOptions& options, OptionComplaints& complaints);

}  // namespace x86
