// SPDX-License-Identifier: Apache-2.0
/// What guests see of the CPU's means against speculation: CPUID bits and MSRs, as Xen gives them to PV domains.
#pragma once

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/domain/vcpu.hpp"
#include "lib/base/result.hpp"

namespace hv {

/// Bits of a leaf that only the control domain sees.
void add_control_features(const Vcpu& v, xen::CpuidLeaf& l);

/// SPEC_CTRL, PRED_CMD and ARCH_CAPABILITIES. Errors: noent: it is another register; perm: not for this guest, or not such
/// a value.
base::Result<uint64_t> read_speculation_msr(const Vcpu& v, uint32_t msr);
base::Status write_speculation_msr(Vcpu& v, uint32_t msr, uint64_t value);

}  // namespace hv
