// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/trace_points.hpp"

#include "hypervisor/guest/pv/traps.hpp"

namespace hv::detail {

void record_trap(const x86::Regs& r, uint8_t vector, uint32_t error_code) {
    constexpr uint32_t error_code_bit = 1u << 15;
    const uint32_t what = vector | (has_error_code(vector) ? error_code_bit | error_code << 16 : 0);
    trace::event(xen::TRC_PV_TRAP | xen::TRC_64_FLAG, r.rip, what);
}

void record_software_interrupt(const x86::Regs& r, uint8_t vector) {
    trace::event(xen::TRC_PV_TRAP | xen::TRC_64_FLAG, r.rip, uint32_t{vector});
}

void record_page_fault(const x86::Regs& r, uint64_t address, uint32_t error_code) {
    trace::event(xen::TRC_PV_PAGE_FAULT | xen::TRC_64_FLAG, r.rip, address, error_code);
}

void record_emulation(const x86::Regs& r, uint32_t event) { trace::event(event | xen::TRC_64_FLAG, r.rip); }

}  // namespace hv::detail
