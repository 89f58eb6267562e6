// SPDX-License-Identifier: Apache-2.0
/// What domains ask of the kind of guest that lives in them; guest/pv implements it.
#pragma once

#include "hypervisor/domain/domain.hpp"

namespace hv {

inline constexpr unsigned pv_max_vcpus = 512;

Status pv_domain_create(Domain& d);
/// Frees what is left after pv_relinquish(): no guest page is referenced any more.
void pv_domain_destroy(Domain& d);
Status pv_vcpu_create(Vcpu& v);
void pv_vcpu_destroy(Vcpu& v);
/// Drops page-table roots, pins, descriptor tables. All vCPUs are paused. Errors: restart, call again.
Status pv_relinquish(Domain& d);

}  // namespace hv
