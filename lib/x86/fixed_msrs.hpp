// SPDX-License-Identifier: Apache-2.0
/// Registers without a state. Errors: perm: not one of them, or not such a value.
#pragma once

#include <cstdint>

#include "lib/base/result.hpp"

namespace x86 {

/// Who looks at a register, and on which CPUs.
struct MsrReader {
    bool amd = false;
    bool drives_devices = false;  ///< some registers tell about the machine: only who drives it sees them
};

base::Result<uint64_t> msr_read_fixed(MsrReader who, uint32_t msr);
base::Status msr_write_fixed(MsrReader who, uint32_t msr, uint64_t value);
/// A guest's machine-check banks, in which no error ever shows.
base::Result<uint64_t> msr_read_machine_check(MsrReader who, uint32_t msr);
base::Status msr_write_machine_check(uint32_t msr, uint64_t value);

}  // namespace x86
