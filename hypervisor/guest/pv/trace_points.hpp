// SPDX-License-Identifier: Apache-2.0
/// What happens to PV guests, as records.
#pragma once

#include <cstdint>

#include "hypervisor/trace/trace.hpp"
#include "lib/x86/regs.hpp"

namespace hv {

namespace detail {
HV_ASIDE void record_trap(const x86::Regs& r, uint8_t vector, uint32_t error_code);
HV_ASIDE void record_software_interrupt(const x86::Regs& r, uint8_t vector);
HV_ASIDE void record_page_fault(const x86::Regs& r, uint64_t address, uint32_t error_code);
HV_ASIDE void record_emulation(const x86::Regs& r, uint32_t event);
}  // namespace detail

/// The guest's handler for a trap is entered.
inline void pv_trace_trap(const x86::Regs& r, uint8_t vector, uint32_t error_code) {
    if (trace::on()) [[unlikely]]
        detail::record_trap(r, vector, error_code);
}
/// The same for an instruction that asked for it.
inline void pv_trace_software_interrupt(const x86::Regs& r, uint8_t vector) {
    if (trace::on()) [[unlikely]]
        detail::record_software_interrupt(r, vector);
}
inline void pv_trace_page_fault(const x86::Regs& r, uint64_t address, uint32_t error_code) {
    if (trace::on()) [[unlikely]]
        detail::record_page_fault(r, address, error_code);
}
/// An instruction was executed for it. `event`: TRC_PV_EMULATE_PRIVOP, TRC_PV_FORCED_INVALID_OP.
inline void pv_trace_emulation(const x86::Regs& r, uint32_t event) {
    if (trace::on()) [[unlikely]]
        detail::record_emulation(r, event);
}

}  // namespace hv
