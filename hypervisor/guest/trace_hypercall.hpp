// SPDX-License-Identifier: Apache-2.0
/// Hypercalls as records.
#pragma once

#include <cstdint>

#include "hypervisor/trace/trace.hpp"
#include "lib/x86/regs.hpp"

namespace hv {

namespace detail {
HV_ASIDE void record_hypercall(uint32_t event, uint64_t op, uint64_t arg0, uint64_t arg1, uint64_t arg2);
}

/// A hypercall (`event` is TRC_PV_HYPERCALL_V2), or one of a multicall (TRC_PV_HYPERCALL_SUBCALL), before it is made.
inline void trace_hypercall(uint32_t event, uint64_t op, const x86::Regs& r) {
    if (trace::on()) [[unlikely]]
        detail::record_hypercall(event, op, r.rdi, r.rsi, r.rdx);
}
inline void trace_hypercall(uint32_t event, uint64_t op, const uint64_t (&args)[6]) {
    if (trace::on()) [[unlikely]]
        detail::record_hypercall(event, op, args[0], args[1], args[2]);
}

}  // namespace hv
