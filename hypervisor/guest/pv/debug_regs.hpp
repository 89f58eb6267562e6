// SPDX-License-Identifier: Apache-2.0
/// A guest's debug registers: DR0-3 point into its own space only, DR7 has no reserved or general-detect bits.
#pragma once

#include "hypervisor/domain/vcpu.hpp"
#include "lib/base/result.hpp"

namespace hv {

/// Errors: inval: no such register; perm: a value that is not allowed.
base::Status pv_check_debug_reg(unsigned reg, uint64_t value);
base::Result<uint64_t> pv_read_debug_reg(Vcpu& v, unsigned reg);
base::Status pv_write_debug_reg(Vcpu& v, unsigned reg, uint64_t value);

}  // namespace hv
