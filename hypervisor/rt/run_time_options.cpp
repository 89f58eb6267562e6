// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/rt/run_time_options.hpp"

#include "hypervisor/rt/log_ring.hpp"
#include "hypervisor/rt/panic.hpp"

namespace hv {

void apply_run_time_options(const x86::BootOptions& options) {
    set_log_levels(options.own_levels, options.guest_levels);
    set_timestamps(options.timestamps);
    set_console_to_ring(options.console_to_ring);
    set_panic_reboot(!options.noreboot);
}

}  // namespace hv
