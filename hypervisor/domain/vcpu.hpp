// SPDX-License-Identifier: Apache-2.0
/// A virtual CPU: what the scheduler knows of it, shared pages, timers, and its guest kind's registers.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "abi/xen/basic.hpp"
#include "abi/xen/vcpu.hpp"
#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/mm/frame.hpp"
#include "hypervisor/sched/unit.hpp"
#include "hypervisor/sync/spinlock.hpp"
#include "hypervisor/time/timer.hpp"

namespace hv {

struct Domain;
struct PvVcpu;

/// A handler that must stop early puts in what is left and returns restart.
struct HypercallState {
    uint64_t args[6] = {};
    uint8_t changed = 0;   ///< how many of `args` are for the next turn; the others stay as the guest gave them
    bool rearmed = false;  ///< these two say so of the call in progress
    bool in_multicall = false;

    /// How many arguments the restarted call gets; nobody's leftovers count for the next one.
    unsigned take_changed() { return std::exchange(rearmed, false) ? changed : 0; }
};

struct Vcpu : SchedUnit {
    Vcpu(Domain& d, VcpuId i);

    Domain& domain;
    const VcpuId id;

    // -- shared pages -------------------------------------------------------------------------------------------
    /// Of a vCPU past shared_info's 32 until the guest registers one: no guest sees it, and events stay masked.
    xen::VcpuInfo private_info{};
    /// Never null: private_info, in shared_info, or where VCPUOP_register_vcpu_info put it.
    std::atomic<xen::VcpuInfo*> info{&private_info};
    WritableRef info_page;                     ///< keeps a registered page as it is
    uint64_t runstate_guest = 0;               ///< guest VA of its vcpu_runstate_info, 0: not registered
    bool runstate_stale = false;               ///< the user's page tables were loaded: guest_write_runstate() again
    std::atomic<uint64_t> time_info_guest{0};  ///< VCPUOP_register_vcpu_time_memory_area; 0: none

    // -- events -------------------------------------------------------------------------------------------------
    std::atomic<uint32_t> poll_port{0};  ///< port waited for in SCHEDOP_poll; ~0: several
    std::atomic<bool> polling{false};
    Timer poll_timer;
    uint32_t virq_port[xen::NR_VIRQS] = {};  ///< bound ports; event lock of the domain
    void* fifo = nullptr;                    ///< event/: this vCPU's FIFO control block

    // -- timers -------------------------------------------------------------------------------------------------
    Timer singleshot;
    Timer periodic;
    base::Nanos period = base::Nanos::ms(10);  ///< a PV guest ticks at 100 Hz while it runs, until it says otherwise
    base::Nanos periodic_last{};

    // -- registers ----------------------------------------------------------------------------------------------
    bool initialised = false;  ///< has a context (VCPUOP_initialise, setvcpucontext)
    Regs regs{};               ///< saved while not running; on the stack of `running_on` otherwise
    GuestState state;          ///< as far as it is not on the CPU `running_on`
    PvVcpu* pv = nullptr;      ///< what a PV guest has besides
    HypercallState hypercall;
};

/// An event is waiting: sets the upcall flag, wakes the vCPU, or interrupts the CPU it runs on. Any CPU.
void vcpu_mark_events_pending(Vcpu& v);
/// Interrupts v's CPU so that it looks at new events before it runs on. Any CPU.
void vcpu_kick(Vcpu& v);
/// True when the guest would take an upcall now.
inline bool vcpu_upcall_due(const Vcpu& v) {
    const xen::VcpuInfo* info = v.info.load(std::memory_order_acquire);
    return __atomic_load_n(&info->evtchn_upcall_pending, __ATOMIC_SEQ_CST) &&
           !__atomic_load_n(&info->evtchn_upcall_mask, __ATOMIC_SEQ_CST);
}
/// VCPUOP_register_vcpu_info: moves v's info into the guest's page `gfn` at `offset`, contents and pending events included.
/// Once per vCPU. Errors: inval, perm.
base::Status vcpu_map_info(Vcpu& v, base::Gfn gfn, uint32_t offset);
/// Writes the clock's constants into v's vcpu_time_info and the area of VCPUOP_register_vcpu_time_memory_area.
/// Context: v's address space is loaded, or v is not running; no locks.
void vcpu_update_time(Vcpu& v);

}  // namespace hv
