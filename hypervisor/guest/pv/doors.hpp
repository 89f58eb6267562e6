// SPDX-License-Identifier: Apache-2.0
/// What the doors read of a vCPU: the two ways through which its kernel and its programs take turns all day, a system call and the return
/// from it, are a few instructions of assembler (guest/entry/doors.S). They handle what nearly always is; for everything else they change
/// nothing and leave it to pv_system_call() and pv_return(), whose results theirs equal (tests/host/hv_doors_test.cpp).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "abi/xen/basic.hpp"
#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/mm/frame.hpp"

namespace hv {

/// The head of PvVcpu. doors.S relies on the layout.
struct PvDoors {
    Mfn kernel_cr3{0};  ///< what the CPU loads in kernel mode: PvVcpu::kernel_root, or its mirror (mirror.hpp); 0: none
    Mfn user_cr3{0};    ///< and in user mode
    bool in_kernel = true;
    bool nmi_pending = false;
    uint64_t quick_call = 0;   ///< the kernel's handler of system calls, if it masks events; else 0
    uint64_t quick_frame = 0;  ///< where its frame begins, if that is in the guest's part; else 0
    const std::atomic<xen::VcpuInfo*>* shared_info = nullptr;  ///< the vCPU's `info`
    const bool* runstate_stale = nullptr;                      ///< the vCPU's
    const uint64_t* assists = nullptr;                         ///< the domain's vm_assist
};
static_assert(offsetof(PvDoors, kernel_cr3) == 0 && offsetof(PvDoors, user_cr3) == 8 && offsetof(PvDoors, in_kernel) == 16);
static_assert(offsetof(PvDoors, nmi_pending) == 17 && offsetof(PvDoors, quick_call) == 24 &&
              offsetof(PvDoors, quick_frame) == 32);
static_assert(offsetof(PvDoors, shared_info) == 40 && offsetof(PvDoors, runstate_stale) == 48 &&
              offsetof(PvDoors, assists) == 56);

/// doors.S relies on these, too.
static_assert(offsetof(Cpu, current) == 8 && offsetof(Cpu, pending) == 24 && offsetof(Cpu, tlb_time) == 40);
static_assert(offsetof(Cpu, loaded_cr3) == 48 && offsetof(Cpu, preempt_deadline) == 64);
static_assert(offsetof(xen::VcpuInfo, evtchn_upcall_pending) == 0 && offsetof(xen::VcpuInfo, evtchn_upcall_mask) == 1);

}  // namespace hv
