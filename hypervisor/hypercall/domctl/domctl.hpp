// SPDX-License-Identifier: Apache-2.0
/// The parts of HYPERVISOR_domctl.
#pragma once

#include "abi/xen/domctl.hpp"
#include "hypervisor/hypercall/control.hpp"

namespace hv::domctl {

/// One operation on one domain.
struct Call {
    Vcpu& v;
    xen::Domctl& op;
    GuestPtr<xen::Domctl> arg;
    Domain& d;

    bool on_self() const { return &d == &v.domain; }
    /// Stores the argument back; the answer of operations that return something in it.
    Status done() const { return arg.store(op); }
    /// The operation goes on when the hypercall is entered again.
    Err again() const { return restart_with(v, arg); }
    /// Errors: inval (number out of range), srch (not created).
    Result<Vcpu*> vcpu(uint32_t id) const {
        if (id >= d.limits.max_vcpus) return Err{Errc::inval};
        Vcpu* found = d.vcpus[clamp_index(id, d.limits.max_vcpus)];
        if (!found) return Err{Errc::srch};
        return found;
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
Status createdomain(Vcpu& caller, xen::Domctl& op, GuestPtr<xen::Domctl> arg);
// domctl_lifecycle.cpp
Status destroydomain(const Call& c);
Status pausedomain(const Call& c);
Status unpausedomain(const Call& c);
Status resumedomain(const Call& c);
Status max_vcpus(const Call& c);
Status setdomainhandle(const Call& c);
Status setdebugging(const Call& c);
Status settimeoffset(const Call& c);
Status sendtrigger(const Call& c);
Status subscribe(const Call& c);
Status tsc_info(const Call& c);
// domctl_memory.cpp
Status max_mem(const Call& c);
Status getpageframeinfo3(const Call& c);
Answer hypercall_init(const Call& c);
// domctl_log.cpp
Status shadow_op(const Call& c);
// domctl_vcpu.cpp
Status setvcpucontext(const Call& c);
Status getvcpucontext(const Call& c);
Status getvcpuinfo(const Call& c);
Status vcpu_affinity(const Call& c);
Status node_affinity(const Call& c);
Status scheduler_op(const Call& c);
// domctl_state.cpp
Status vcpu_extended_state(const Call& c);
Status extended_context(const Call& c);
Status vcpu_msrs(const Call& c);
Status cpu_policy(const Call& c);
// domctl_permission.cpp
Status irq_permission(const Call& c);
Status iomem_permission(const Call& c);
Status ioport_permission(const Call& c);

}  // namespace hv::domctl
