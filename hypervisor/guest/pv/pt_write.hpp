// SPDX-License-Identifier: Apache-2.0
/// Writes of a guest's kernel to its read-only page tables: done for it, entry by entry, with validation.
#pragma once

#include "hypervisor/domain/vcpu.hpp"

namespace hv {

/// The guest's kernel faulted writing `address`. True when that was an L1 entry and the write is done (or the
/// instruction will be tried again); false when the fault is the guest's own.
bool pv_emulate_pt_write(Vcpu& v, Regs& r, uint64_t address);

}  // namespace hv
