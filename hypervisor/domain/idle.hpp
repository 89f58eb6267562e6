// SPDX-License-Identifier: Apache-2.0
/// The idle domain: one vCPU a CPU, run when nothing else can.
#pragma once

#include "hypervisor/domain/domain.hpp"

namespace hv {

/// Makes idle_domain, dom_xen and dom_io. Boot, once.
Status system_domains_create();
/// Makes CPU `cpu`'s idle vCPU and makes it the CPU's current one. Errors: nomem.
Result<Vcpu*> idle_vcpu_create(unsigned cpu);

}  // namespace hv
