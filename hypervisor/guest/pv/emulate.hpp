// SPDX-License-Identifier: Apache-2.0
/// Privileged instructions of a PV guest, executed on its behalf.
#pragma once

#include "hypervisor/domain/vcpu.hpp"
#include "lib/base/result.hpp"
#include "lib/x86/decode.hpp"

namespace hv {

/// After #GP(0): true when the instruction was executed and rip advanced.
bool pv_emulate_privileged(Vcpu& v, Regs& r);
/// After #UD: the forced-emulation prefix (ud2a "xen") in front of CPUID.
bool pv_emulate_forced(Vcpu& v, Regs& r);

// -- io.cpp -----------------------------------------------------------------------------------------------------------
/// One access of `bytes` (1, 2, 4) to a port the guest is allowed; PCI configuration goes through dom0's own view.
uint32_t pv_port_in(Vcpu& v, uint16_t port, unsigned bytes);
void pv_port_out(Vcpu& v, uint16_t port, unsigned bytes, uint32_t value);
/// Whether the guest's own rules let the code that runs now do it: I/O privilege level, else the bitmap for user code.
bool pv_port_allowed(const Vcpu& v, uint16_t port, unsigned bytes);
/// Whether the I/O privilege level covers the mode the vCPU is in: port I/O, CLI, STI.
bool pv_io_privileged(const Vcpu& v);

// -- msr.cpp ----------------------------------------------------------------------------------------------------------
/// Errors: perm: the guest gets #GP.
base::Result<uint64_t> pv_read_msr(Vcpu& v, uint32_t msr);
base::Status pv_write_msr(Vcpu& v, uint32_t msr, uint64_t value);

/// Sets the guest's FS or GS base as set_segment_base and WRMSR do. Errors: inval: not canonical.
base::Status pv_set_fs_base(Vcpu& v, uint64_t base);
base::Status pv_set_gs_base_kernel(Vcpu& v, uint64_t base);
base::Status pv_set_gs_base_user(Vcpu& v, uint64_t base);

}  // namespace hv
