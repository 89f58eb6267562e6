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

/// Stores up to 64 bits into a tool's bitmap, zeroes the rest of it. Errors: fault, inval.
Status store_bitmap(const xen::XenctlBitmap& to, uint64_t bits);
/// The first 64 bits of a tool's bitmap. Errors: fault.
Result<uint64_t> fetch_bitmap(const xen::XenctlBitmap& from);

/// What XEN_DOMCTL_getdomaininfo and XEN_SYSCTL_getdomaininfolist tell.
xen::DomctlGetDomainInfo domain_info(Domain& d);

inline uint64_t online_cpus() { return cpu_count >= 64 ? ~uint64_t{0} : (uint64_t{1} << cpu_count) - 1; }

}  // namespace hv
