// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/options.hpp"

#include <cstring>

#include "hypervisor/boot/dom0.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

Options options;

namespace {
x86::OptionComplaints complaints;
}

void parse_options(std::string_view line) {
    const size_t n = line.size() < sizeof options.command_line - 1 ? line.size() : sizeof options.command_line - 1;
    memcpy(options.command_line, line.data(), n);
    options.command_line[n] = 0;
    options.words = options.command_line + x86::image_name_length({options.command_line, n});
    x86::parse_boot_options({options.command_line, n}, dom0_most_vcpus(), options, complaints);
}

void report_options() {
    log(LogLevel::info, "Command line: %s", options.words);
    for (const x86::OptionComplaint& c : complaints)
        log(LogLevel::warning, "Option \"%.*s\" %s: ignored", static_cast<int>(c.option.size()), c.option.data(), c.why);
}

}  // namespace hv
