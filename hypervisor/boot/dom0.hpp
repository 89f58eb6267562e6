// SPDX-License-Identifier: Apache-2.0
/// The first domain: built from the loader's modules (kernel, initrd), the one domain the hypervisor makes itself.
#pragma once

#include "lib/parse/multiboot.hpp"

namespace hv {

/// Builds dom0 paused. Panics with one line that names the cause when that cannot be.
void dom0_build(const parse::BootRecord& record);
/// Lets it run.
void dom0_start();

}  // namespace hv
