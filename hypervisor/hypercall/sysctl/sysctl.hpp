// SPDX-License-Identifier: Apache-2.0
/// The parts of HYPERVISOR_sysctl.
#pragma once

#include "abi/xen/sysctl.hpp"
#include "hypervisor/hypercall/control.hpp"

namespace hv::sysctl {

struct Call {
    Vcpu& v;
    xen::Sysctl& op;
    GuestPtr<xen::Sysctl> arg;
    uint32_t progress;  ///< how far an interrupted operation came; 0 when it begins

    /// Callers pass one argument: the second is ours, and marked, should one of them leave something in it.
    static constexpr uint64_t progress_mark = uint64_t{0xc0117} << 32;
    static uint32_t progress_in(uint64_t second_arg) {
        return second_arg >> 32 == progress_mark >> 32 ? static_cast<uint32_t>(second_arg) : 0;
    }
    /// Stops here; the operation comes back with `progress`.
    Err again(uint32_t at) const { return restart_with(v, arg, progress_mark | at); }
    /// Stores the argument back; the answer of operations that return something in it.
    Status done() const { return arg.store(op); }
};

// sysctl_machine.cpp
Status physinfo(const Call& c);
Status getcpuinfo(const Call& c);
Status availheap(const Call& c);
Status cputopoinfo(const Call& c);
Status numainfo(const Call& c);
Status pcitopoinfo(const Call& c);
// sysctl_sched.cpp
Status cpupool_op(const Call& c);
Status scheduler_op(const Call& c);
// sysctl_policy.cpp
Status get_cpu_policy(const Call& c);
Status get_cpu_featureset(const Call& c);
// sysctl_trace.cpp
Status tbuf_op(const Call& c);
// sysctl_counters.cpp
Answer perfc_op(const Call& c);
Status lockprof_op(const Call& c);
// debug_keys.cpp
Answer debug_keys(const Call& c);

}  // namespace hv::sysctl
