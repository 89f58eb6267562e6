// SPDX-License-Identifier: Apache-2.0
/// The parts of HYPERVISOR_domctl.
#pragma once

#include "abi/xen/domctl.hpp"
#include "hypervisor/hypercall/control.hpp"

namespace hv::domctl {

/// One operation on one domain.
struct Call {
    Vcpu& caller;
    xen::Domctl& op;
    GuestPtr<xen::Domctl> arg;
    Domain& d;

    bool on_self() const { return &d == &caller.domain; }
    /// Stores the argument back; the answer of operations that return something in it.
    Result<uint64_t> done() const {
        TRY(arg.store(op));
        return 0;
    }
    /// The operation goes on when the hypercall is entered again.
    Err again() const { return restart_with(caller, arg.address()); }
    /// Errors: inval (number out of range), srch (not created).
    Result<Vcpu*> vcpu(uint32_t id) const {
        if (id >= d.limits.max_vcpus) return Err{Errc::inval};
        Vcpu* v = d.vcpus[clamp_index(id, d.limits.max_vcpus)];
        if (!v) return Err{Errc::srch};
        return v;
    }
};

/// Stops a domain while its state is read or changed; nothing for the caller's own.
class Paused {
    Domain* d_;

public:
    explicit Paused(const Call& c) : d_(c.on_self() ? nullptr : &c.d) {
        if (d_) domain_pause(*d_);
    }
    ~Paused() {
        if (d_) domain_unpause(*d_);
    }
    Paused(const Paused&) = delete;
    Paused& operator=(const Paused&) = delete;
};

// domctl_create.cpp: no domain is there yet
Result<uint64_t> createdomain(Vcpu& caller, xen::Domctl& op, GuestPtr<xen::Domctl> arg);
// domctl_lifecycle.cpp
Result<uint64_t> destroydomain(const Call& c);
Result<uint64_t> pausedomain(const Call& c);
Result<uint64_t> unpausedomain(const Call& c);
Result<uint64_t> resumedomain(const Call& c);
Result<uint64_t> max_vcpus(const Call& c);
Result<uint64_t> setdomainhandle(const Call& c);
Result<uint64_t> setdebugging(const Call& c);
Result<uint64_t> settimeoffset(const Call& c);
Result<uint64_t> sendtrigger(const Call& c);
Result<uint64_t> subscribe(const Call& c);
Result<uint64_t> tsc_info(const Call& c);
// domctl_memory.cpp
Result<uint64_t> max_mem(const Call& c);
Result<uint64_t> getpageframeinfo3(const Call& c);
Result<uint64_t> shadow_op(const Call& c);
Result<uint64_t> hypercall_init(const Call& c);
// domctl_vcpu.cpp
Result<uint64_t> setvcpucontext(const Call& c);
Result<uint64_t> getvcpucontext(const Call& c);
Result<uint64_t> getvcpuinfo(const Call& c);
Result<uint64_t> vcpu_affinity(const Call& c);
Result<uint64_t> node_affinity(const Call& c);
Result<uint64_t> scheduler_op(const Call& c);
// domctl_state.cpp
Result<uint64_t> vcpu_extended_state(const Call& c);
Result<uint64_t> extended_context(const Call& c);
Result<uint64_t> vcpu_msrs(const Call& c);
Result<uint64_t> cpu_policy(const Call& c);
// domctl_permission.cpp
Result<uint64_t> irq_permission(const Call& c);
Result<uint64_t> iomem_permission(const Call& c);
Result<uint64_t> ioport_permission(const Call& c);

}  // namespace hv::domctl
