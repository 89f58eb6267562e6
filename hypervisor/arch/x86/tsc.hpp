// SPDX-License-Identifier: Apache-2.0
/// Measuring the TSC against a timer of known rate.
#pragma once

#include "lib/parse/acpi.hpp"

namespace hv {

/// Calibrates with the ACPI PM timer, the HPET or the PIT, whichever the machine has, and starts the clock.
void calibrate_tsc(const parse::AcpiFadt* fadt, const parse::AcpiHpet* hpet);
/// Reads the CMOS clock: seconds since 1970.
uint64_t read_cmos_seconds();

}  // namespace hv
