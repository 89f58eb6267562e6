// SPDX-License-Identifier: Apache-2.0
/// Those options of the command line that may change while the machine runs.
#pragma once

#include "lib/x86/boot_options.hpp"

namespace hv {

/// Makes what they say true, from now on; x86::OptionRow::longest is not 0 for just these. The others are not looked at.
void apply_run_time_options(const x86::BootOptions& options);

}  // namespace hv
