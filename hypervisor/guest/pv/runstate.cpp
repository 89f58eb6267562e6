// SPDX-License-Identifier: Apache-2.0
/// A vCPU's run state in its guest's memory.
#include <atomic>
#include <cstddef>

#include "abi/xen/basic.hpp"
#include "abi/xen/vcpu.hpp"
#include "hypervisor/domain/domain.hpp"
#include "hypervisor/guest/pv/kind.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/sched/scheduler.hpp"

namespace hv {

void pv_write_runstate(Vcpu& v) {
    const uint64_t va = v.runstate_guest;
    if (!va) return;
    if (!v.pv->in_kernel) {  // the kernel's memory is not mapped now
        v.runstate_stale = true;
        return;
    }
    v.runstate_stale = false;
    xen::VcpuRunstateInfo info = sched::policy_of(v).runstate_at_change(v);
    constexpr uint64_t entry_time = offsetof(xen::VcpuRunstateInfo, state_entry_time);
    const bool flagged = v.domain.vm_assist >> xen::VMASST_TYPE_runstate_update_flag & 1;
    if (!flagged) {
        arch::copy_to_guest(va, &info, sizeof info);
        return;
    }
    // Readers on other vCPUs see the flag as long as the copy is not whole.
    info.state_entry_time |= xen::XEN_RUNSTATE_UPDATE;
    arch::copy_to_guest(va + entry_time, &info.state_entry_time, sizeof info.state_entry_time);
    std::atomic_signal_fence(std::memory_order_release);  // x86 keeps stores in order; so must the compiler
    arch::copy_to_guest(va, &info, sizeof info);
    std::atomic_signal_fence(std::memory_order_release);
    info.state_entry_time &= ~xen::XEN_RUNSTATE_UPDATE;
    arch::copy_to_guest(va + entry_time, &info.state_entry_time, sizeof info.state_entry_time);
}

}  // namespace hv
