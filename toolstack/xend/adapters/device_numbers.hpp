// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <string>

namespace xend {

/// A device's numbers as the block back end reads them in its node physical-device: "MAJOR:MINOR" in hexadecimal.
inline std::string device_numbers(unsigned major, unsigned minor) { return fmt::format("{:x}:{:x}", major, minor); }

}  // namespace xend
