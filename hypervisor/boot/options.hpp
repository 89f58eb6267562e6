// SPDX-License-Identifier: Apache-2.0
/// The hypervisor's command line.
#pragma once

#include "abi/xen/version.hpp"
#include "lib/x86/boot_options.hpp"

namespace hv {

struct Options : x86::BootOptions {
    char command_line[xen::XEN_COMMANDLINE_LEN] = {};
    const char* words = command_line;  ///< behind the image's name, which some loaders put in front
};
extern Options options;

/// Parses what can be known before anything else (consoles come first). Problems are kept for report_options().
void parse_options(std::string_view line);
/// Logs every option that was not understood, once the consoles work.
void report_options();

}  // namespace hv
