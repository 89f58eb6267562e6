// SPDX-License-Identifier: Apache-2.0
/// What the control hypercalls (domctl, sysctl, platform_op) share.
#pragma once

#include "abi/xen/basic.hpp"
#include "abi/xen/domctl.hpp"
#include "hypervisor/hypercall/hypercall.hpp"

namespace hv {

/// One control operation at a time on the whole machine. Who does not get the turn restarts its hypercall: waiting here
/// would keep a CPU from the work that the one with the turn may be waiting for.
class ControlTurn {
    bool have_;

public:
    ControlTurn();
    ~ControlTurn();
    ControlTurn(const ControlTurn&) = delete;
    ControlTurn& operator=(const ControlTurn&) = delete;
    explicit operator bool() const { return have_; }
};

/// Stores a set into a tool's bitmap of any length: what has no place there is left out, and what we do not have is zero.
/// Errors: fault, inval (no bitmap is so long).
Status store_bitmap(const xen::XenctlBitmap& to, const CpuSet& bits);
/// A tool's bitmap, as far as the machine has CPUs. Errors: fault.
Result<CpuSet> fetch_bitmap(const xen::XenctlBitmap& from);

/// Gives a domain the right to [first, last] of `set`, which is its, or takes it away. Errors: those of Rights.
/// Context: no locks; the domain, unless it is the caller's, stands still meanwhile: it looks at its sets without a lock.
Status set_right(Domain& d, Rights& set, uint64_t first, uint64_t last, bool allow);

/// What XEN_DOMCTL_getdomaininfo and XEN_SYSCTL_getdomaininfolist tell.
xen::DomctlGetDomainInfo domain_info(Domain& d);

}  // namespace hv
