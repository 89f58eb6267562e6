// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "lib/base/outcome.hpp"

namespace pygrub {

/// What is to be booted: files of dom0, and the kernel's command line.
struct Boot {
    std::string kernel, ramdisk, args;  // the ramdisk may be empty
};

/// How it is said: `linux (kernel K)(ramdisk R)(args "A")`; lines `kernel K`; the same with a NUL behind each.
enum class OutputFormat : uint8_t { sxp, simple, simple0 };
std::optional<OutputFormat> output_format(const std::string& name);

std::string print_boot(const Boot& boot, OutputFormat format);

}  // namespace pygrub
