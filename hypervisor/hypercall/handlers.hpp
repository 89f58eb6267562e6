// SPDX-License-Identifier: Apache-2.0
/// The handlers that table.cpp dispatches to: one per hypercall number. All have the type `Handler`.
#pragma once

#include "hypervisor/hypercall/hypercall.hpp"

namespace hv {

#define HV_HANDLER(name) Result<uint64_t> hypercall_##name(Vcpu& v, const uint64_t(&args)[6])

// mmu.cpp and friends: direct paging
HV_HANDLER(mmu_update);
HV_HANDLER(update_va_mapping);
HV_HANDLER(update_va_mapping_otherdomain);
HV_HANDLER(mmuext_op);
// traps.cpp: descriptor tables, callbacks, CPU state
HV_HANDLER(set_trap_table);
HV_HANDLER(set_gdt);
HV_HANDLER(update_descriptor);
HV_HANDLER(stack_switch);
HV_HANDLER(set_callbacks);
HV_HANDLER(callback_op);
HV_HANDLER(fpu_taskswitch);
HV_HANDLER(set_debugreg);
HV_HANDLER(get_debugreg);
HV_HANDLER(set_segment_base);
HV_HANDLER(nmi_op);
HV_HANDLER(iret);
HV_HANDLER(vm_assist);
HV_HANDLER(multicall);
// events, time, scheduling, memory sharing
HV_HANDLER(event_channel_op);
HV_HANDLER(event_channel_op_compat);
HV_HANDLER(sched_op);
HV_HANDLER(sched_op_compat);
HV_HANDLER(set_timer_op);
HV_HANDLER(vcpu_op);
HV_HANDLER(grant_table_op);
// memory and the machine
HV_HANDLER(memory_op);
HV_HANDLER(xen_version);
HV_HANDLER(console_io);
HV_HANDLER(physdev_op);
HV_HANDLER(platform_op);
// control
HV_HANDLER(domctl);
HV_HANDLER(sysctl);
// known calls without a service behind them: the answer is the one Xen gives a PV guest when the feature is off
HV_HANDLER(xsm_op);
HV_HANDLER(hvm_op);
HV_HANDLER(kexec_op);
HV_HANDLER(tmem_op);
HV_HANDLER(argo_op);
HV_HANDLER(xenpmu_op);
HV_HANDLER(dm_op);
HV_HANDLER(hypfs_op);
HV_HANDLER(mca);

#undef HV_HANDLER

}  // namespace hv
