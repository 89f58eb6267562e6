// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/debug_regs.hpp"

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "lib/base/bits.hpp"

namespace hv {
namespace {

constexpr uint64_t dr7_fixed = 0x400;
constexpr uint64_t dr7_general_detect = 1u << 13;

bool address_allowed(uint64_t a) {
    return base::canonical(a) && (a < xen::HYPERVISOR_VIRT_START || a >= xen::HYPERVISOR_VIRT_END);
}

/// An I/O breakpoint (type 2) needs CR4.DE, which we do not offer; length 2 with execution is undefined.
bool control_allowed(uint64_t dr7) {
    if (dr7 >> 32 || (dr7 & dr7_general_detect)) return false;
    for (unsigned i = 0; i < 4; ++i) {
        if (!((dr7 >> (2 * i)) & 3)) continue;
        const uint64_t rw = (dr7 >> (16 + 4 * i)) & 3;
        const uint64_t len = (dr7 >> (18 + 4 * i)) & 3;
        if (rw == 2 || (rw == 0 && len != 0)) return false;
    }
    return true;
}

}  // namespace

base::Result<uint64_t> pv_read_debug_reg(Vcpu& v, unsigned reg) {
    if (reg == 4 || reg == 5) reg += 2;
    if (reg > 7) return base::Err{base::Errc::inval};
    return v.state.debug[reg];
}

base::Status pv_check_debug_reg(unsigned reg, uint64_t value) {
    if (reg > 7) return base::Err{base::Errc::inval};
    const bool allowed = reg < 4 ? address_allowed(value) : reg == 4 || reg == 6 || control_allowed(value);
    if (!allowed) return base::Err{base::Errc::perm};
    return base::ok;
}

base::Status pv_write_debug_reg(Vcpu& v, unsigned reg, uint64_t value) {
    TRY(pv_check_debug_reg(reg, value));
    if (reg == 4 || reg == 5) reg += 2;
    if (reg == 6) v.state.debug[6] = (value & 0xe00f) | hw::dr6_clear;
    else v.state.debug[reg] = reg == 7 ? value | dr7_fixed : value;
    if (&v == this_cpu().current) arch::load_guest_debug(v);
    return base::ok;
}

}  // namespace hv
