// SPDX-License-Identifier: Apache-2.0
/// Registers without a state. Errors: perm: not one of them, or not such a value.
#pragma once

#include "hypervisor/domain/domain.hpp"
#include "lib/base/result.hpp"

namespace hv {

base::Result<uint64_t> msr_read_fixed(const Domain& d, uint32_t msr);
base::Status msr_write_fixed(const Domain& d, uint32_t msr, uint64_t value);
/// A guest's machine-check banks, in which no error ever shows.
base::Result<uint64_t> msr_read_machine_check(uint32_t msr);
base::Status msr_write_machine_check(uint32_t msr, uint64_t value);

}  // namespace hv
