// SPDX-License-Identifier: Apache-2.0
/// A virtual CPU: scheduling state, shared pages, timers, and its guest kind's registers.
#pragma once

#include <atomic>
#include <cstdint>

#include "abi/xen/basic.hpp"
#include "abi/xen/vcpu.hpp"
#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/mm/frame.hpp"
#include "hypervisor/sync/spinlock.hpp"
#include "hypervisor/time/timer.hpp"
#include "lib/base/list.hpp"

namespace hv {

struct Domain;
struct PvVcpu;

/// Why a vCPU may not run: bits of Vcpu::pause_flags. Zero, and pause_count zero: runnable.
enum VcpuPause : uint32_t {
    vpf_blocked = 1u << 0,  ///< SCHEDOP_block or poll; an event wakes it
    vpf_down = 1u << 1,     ///< not brought up by VCPUOP_up, or taken down
};

/// Arguments of the hypercall in progress. A handler that must stop early puts in what is left and returns restart.
struct HypercallState {
    uint64_t args[6] = {};
    bool rearmed = false;
    bool in_multicall = false;
};

struct Vcpu {
    Vcpu(Domain& d, VcpuId i);
    Vcpu(const Vcpu&) = delete;
    Vcpu& operator=(const Vcpu&) = delete;

    Domain& domain;
    const VcpuId id;
    const bool idle;

    // -- scheduling ---------------------------------------------------------------------------------------------
    std::atomic<uint32_t> pause_flags{vpf_down};
    std::atomic<uint32_t> pause_count{0};
    std::atomic<int32_t> running_on{-1};  ///< CPU whose registers hold this vCPU; -1: none
    std::atomic<uint32_t> cpu{0};         ///< run queue it belongs to; changes under that queue's lock
    std::atomic<uint64_t> affinity{~uint64_t{0}};  ///< hard affinity: CPUs it may run on
    uint64_t soft_affinity = ~uint64_t{0};
    void* sched_data = nullptr;           ///< the scheduler's own
    std::atomic<uint32_t> runstate{xen::RUNSTATE_offline};
    base::Nanos runstate_since{};         ///< written by whoever changes runstate; sched lock
    uint64_t runstate_time[4] = {};       ///< ns in each RUNSTATE_*
    uint64_t runstate_guest = 0;          ///< guest VA of its vcpu_runstate_info, 0: not registered
    bool runstate_stale = false;          ///< could not be written (user page tables): sched::update_guest_runstate()
                                          ///< once the kernel's are loaded

    bool runnable() const {
        return pause_flags.load(std::memory_order_acquire) == 0 && pause_count.load(std::memory_order_acquire) == 0;
    }

    // -- shared pages -------------------------------------------------------------------------------------------
    /// Of a vCPU past shared_info's 32 until the guest registers one: no guest sees it, and events stay masked.
    xen::VcpuInfo private_info{};
    /// Never null: private_info, in shared_info, or where VCPUOP_register_vcpu_info put it.
    std::atomic<xen::VcpuInfo*> info{&private_info};
    PageRef info_page;                          ///< keeps a registered page alive (also holds a writable type)
    std::atomic<uint64_t> time_info_guest{0};   ///< VCPUOP_register_vcpu_time_memory_area; 0: none

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

    // -- guest kind ---------------------------------------------------------------------------------------------
    PvVcpu* pv = nullptr;
    bool initialised = false;   ///< has a context (VCPUOP_initialise, setvcpucontext)
    Regs regs{};                ///< saved while not running; on the stack of `running_on` otherwise
    uint8_t* fpu = nullptr;     ///< XSAVE area, 64-byte aligned
    HypercallState hypercall;
    bool yielding = false;
};

/// An event is waiting: sets the upcall flag, wakes the vCPU, or interrupts the CPU it runs on. Any CPU.
void vcpu_mark_events_pending(Vcpu& v);
/// Interrupts v's CPU so that it looks at new events before it runs on. Any CPU.
void vcpu_kick(Vcpu& v);
/// True when the guest would take an upcall now.
bool vcpu_upcall_due(const Vcpu& v);
/// VCPUOP_register_vcpu_info: moves v's info into the guest's page `m` at `offset`, contents and pending events included.
/// Once per vCPU. Errors: inval, perm.
base::Status vcpu_map_info(Vcpu& v, base::Mfn m, uint32_t offset);
/// Writes the clock's constants into v's vcpu_time_info and the area of VCPUOP_register_vcpu_time_memory_area.
/// Context: v's address space is loaded, or v is not running; no locks.
void vcpu_update_time(Vcpu& v);

}  // namespace hv
