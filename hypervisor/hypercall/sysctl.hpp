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
    /// Stores the argument back; the answer of operations that return something in it.
    Result<uint64_t> done() const {
        TRY(arg.store(op));
        return 0;
    }
};

// sysctl_machine.cpp
Result<uint64_t> physinfo(const Call& c);
Result<uint64_t> getcpuinfo(const Call& c);
Result<uint64_t> availheap(const Call& c);
Result<uint64_t> cputopoinfo(const Call& c);
Result<uint64_t> numainfo(const Call& c);
Result<uint64_t> pcitopoinfo(const Call& c);
// sysctl_sched.cpp
Result<uint64_t> cpupool_op(const Call& c);
Result<uint64_t> scheduler_op(const Call& c);
// sysctl_policy.cpp
Result<uint64_t> get_cpu_policy(const Call& c);
Result<uint64_t> get_cpu_featureset(const Call& c);
// debug_keys.cpp
Result<uint64_t> debug_keys(const Call& c);

}  // namespace hv::sysctl
