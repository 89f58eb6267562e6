// SPDX-License-Identifier: Apache-2.0
/// The handlers that table.cpp dispatches to: one per hypercall number. Their parameters are the guest's arguments.
#pragma once

#include "abi/xen/arch_x86.hpp"
#include "abi/xen/domctl.hpp"
#include "abi/xen/event_channel.hpp"
#include "abi/xen/platform.hpp"
#include "abi/xen/sysctl.hpp"
#include "hypervisor/hypercall/hypercall.hpp"

namespace hv {

// pv/mmu.cpp, pv/mmuext.cpp: direct paging. `domains` names the owner of the pages in its low half, and that of the tables + 1 above.
Answer hypercall_mmu_update(Vcpu& v, GuestPtr<xen::MmuUpdate> list, uint32_t count, GuestPtr<uint32_t> done, uint32_t domains);
Answer hypercall_update_va_mapping(Vcpu& v, uint64_t va, uint64_t entry, uint64_t flags);
Answer hypercall_update_va_mapping_otherdomain(Vcpu& v, uint64_t va, uint64_t entry, uint64_t flags, uint16_t pages);
Answer hypercall_mmuext_op(Vcpu& v, GuestPtr<xen::MmuextOp> list, uint32_t count, GuestPtr<uint32_t> done, uint16_t pages);
// pv/vcpu_state.cpp: descriptor tables, callbacks, CPU state
Answer hypercall_set_trap_table(Vcpu& v, GuestPtr<xen::TrapInfo> list);
Status hypercall_set_gdt(Vcpu& v, GuestPtr<uint64_t> frames, uint32_t entries);
Status hypercall_update_descriptor(Vcpu& v, uint64_t machine_address, uint64_t descriptor);
Answer hypercall_stack_switch(Vcpu& v, uint64_t ss, uint64_t sp);
Status hypercall_set_callbacks(Vcpu& v, uint64_t event, uint64_t failsafe, uint64_t syscall);
Answer hypercall_callback_op(Vcpu& v, uint64_t cmd, AnyGuestPtr arg);
Answer hypercall_fpu_taskswitch(Vcpu& v, uint64_t set);
Status hypercall_set_debugreg(Vcpu& v, uint32_t number, uint64_t value);
Answer hypercall_get_debugreg(Vcpu& v, uint32_t number);
Status hypercall_set_segment_base(Vcpu& v, uint64_t which, uint64_t base);
Answer hypercall_nmi_op(Vcpu& v, uint64_t cmd, AnyGuestPtr arg);
Answer hypercall_iret(Vcpu& v);
Status hypercall_vm_assist(Vcpu& v, uint64_t cmd, uint64_t type);
Answer hypercall_multicall(Vcpu& v, GuestPtr<xen::MulticallEntry> list, uint32_t count);
// events, time, scheduling, memory sharing
Answer hypercall_event_channel_op(Vcpu& v, uint32_t cmd, AnyGuestPtr arg);
Answer hypercall_event_channel_op_compat(Vcpu& v, GuestPtr<xen::EvtchnOp> op);
Answer hypercall_sched_op(Vcpu& v, uint64_t cmd, AnyGuestPtr arg);
Answer hypercall_sched_op_compat(Vcpu& v, uint64_t cmd, uint64_t arg);
Answer hypercall_set_timer_op(Vcpu& v, int64_t deadline);
Answer hypercall_vcpu_op(Vcpu& v, uint64_t cmd, VcpuId vcpu, AnyGuestPtr arg);
Answer hypercall_grant_table_op(Vcpu& v, uint32_t cmd, AnyGuestPtr list, uint32_t count);
// memory and the machine
Answer hypercall_memory_op(Vcpu& v, uint64_t cmd, AnyGuestPtr arg);
Answer hypercall_xen_version(Vcpu& v, uint64_t cmd, AnyGuestPtr arg);
Answer hypercall_console_io(Vcpu& v, uint64_t cmd, uint32_t count, GuestPtr<char> text);
Answer hypercall_physdev_op(Vcpu& v, uint32_t cmd, AnyGuestPtr arg);
Answer hypercall_platform_op(Vcpu& v, GuestPtr<xen::PlatformOp> arg);
// control
Answer hypercall_domctl(Vcpu& v, GuestPtr<xen::Domctl> arg);
Answer hypercall_sysctl(Vcpu& v, GuestPtr<xen::Sysctl> arg, uint64_t progress);
Answer hypercall_copy_pages(Vcpu& v, uint32_t cmd, AnyGuestPtr arg, uint64_t first);
Answer hypercall_hypfs_op(Vcpu& v, uint32_t cmd, GuestPtr<char> path, uint64_t path_bytes, AnyGuestPtr buffer, uint64_t bytes);

}  // namespace hv
