// SPDX-License-Identifier: Apache-2.0
/// The command line of xentrace, as Xen 2.0 to 4.17 have it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/outcome.hpp"

namespace xentrace {

struct Options {
    std::string file;                          ///< empty: standard output
    std::optional<uint32_t> events;            ///< bits of TRC_ALL; none: as they are
    std::optional<std::vector<uint8_t>> cpus;  ///< a map, bit n of byte n/8; none: as they are
    uint32_t pages = 32;                       ///< of a buffer, where there is none yet
    uint32_t threshold = 0;                    ///< records that have to wait before any is written
    std::chrono::milliseconds sleep{100};      ///< between looks
    std::chrono::seconds duration{0};          ///< 0: until a signal
    uint64_t reserve = 0;                      ///< bytes that stay free on the disk
    bool discard = false;                      ///< what waits already
    bool leave_on = false;
    bool start = true;
    bool help = false, version = false;
};

extern const char usage[];

/// Errors: inval, with one line that names the option.
base::Outcome<Options> parse(int argc, char** argv);

/// "0x3" (at most 32 CPUs), "all", or a list of "1", "0-3", "-3", "3-". Errors: inval.
base::Outcome<std::vector<uint8_t>> parse_cpus(const std::string& text);
/// A number, or the name of a class: gen sched dom0op hvm mem pv shadow hw guest all. Errors: inval.
base::Outcome<uint32_t> parse_events(const std::string& text);

}  // namespace xentrace
