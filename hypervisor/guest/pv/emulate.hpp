// SPDX-License-Identifier: Apache-2.0
/// Privileged instructions of a PV guest, executed on its behalf.
#pragma once

#include <array>
#include <bit>

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/guest_access.hpp"
#include "hypervisor/domain/vcpu.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "lib/base/result.hpp"
#include "lib/x86/decode.hpp"

namespace hv {

/// After #GP(0): true when the instruction was executed and rip advanced.
bool pv_emulate_privileged(Vcpu& v, Regs& r);
/// After #UD: the forced-emulation prefix (ud2a "xen") in front of CPUID, wherever the code is.
bool pv_emulate_forced(Vcpu& v, Regs& r);
/// The same once it is known to be that, in code on the flat selector.
void pv_forced_cpuid(Vcpu& v, Regs& r);

inline constexpr unsigned forced_cpuid_bytes = sizeof xen::XEN_EMULATE_PREFIX + 2;
inline constexpr uint64_t forced_cpuid = [] {
    const uint8_t(&p)[5] = xen::XEN_EMULATE_PREFIX;
    return std::bit_cast<uint64_t>(std::array<uint8_t, 8>{p[0], p[1], p[2], p[3], p[4], 0x0f, 0xa2});
}();
static_assert(forced_cpuid_bytes == 7);
inline bool is_forced_cpuid(uint64_t bytes) { return bytes << 8 == forced_cpuid << 8; }

// -- io.cpp -----------------------------------------------------------------------------------------------------------
/// One access of `bytes` (1, 2, 4) to a port the guest is allowed; PCI configuration goes through dom0's own view.
uint32_t pv_port_in(Vcpu& v, uint16_t port, unsigned bytes);
void pv_port_out(Vcpu& v, uint16_t port, unsigned bytes, uint32_t value);
/// Whether the I/O privilege level covers the mode the vCPU is in: port I/O, CLI, STI.
inline bool pv_io_privileged(const Vcpu& v) {
    if (v.pv->iopl >= (v.pv->in_kernel ? 1 : 3)) [[likely]]
        return true;
    return v.pv->in_kernel && pv_architectural_iopl(v.domain);
}
/// Whether the guest's bitmap opens the ports to user code.
bool pv_port_open(const Vcpu& v, uint16_t port, unsigned bytes);
/// Whether the guest's own rules let the code that runs now do it: I/O privilege level, else the bitmap for user code. Ports that are
/// allowed here but are not the domain's read as if nothing was there: kernels probe.
inline bool pv_port_allowed(const Vcpu& v, uint16_t port, unsigned bytes) {
    return pv_io_privileged(v) || pv_port_open(v, port, bytes);
}

// -- msr.cpp ----------------------------------------------------------------------------------------------------------
/// Errors: perm: the guest gets #GP.
base::Result<uint64_t> pv_read_msr(Vcpu& v, uint32_t msr);
base::Status pv_write_msr(Vcpu& v, uint32_t msr, uint64_t value);

/// Sets the guest's FS or GS base as set_segment_base and WRMSR do. Errors: inval: not canonical.
base::Status pv_set_fs_base(Vcpu& v, uint64_t base);
base::Status pv_set_gs_base_kernel(Vcpu& v, uint64_t base);
base::Status pv_set_gs_base_user(Vcpu& v, uint64_t base);

}  // namespace hv
