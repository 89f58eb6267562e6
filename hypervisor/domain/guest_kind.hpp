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
/// Writes v's run state where VCPUOP_register_runstate_memory_area said, if it did; when that memory cannot be reached now,
/// v.runstate_stale stays set and it is done on the way into kernel mode. v is current, or is being switched. No locks.
void pv_write_runstate(Vcpu& v);
/// Writes registers and the top of the stack of `v`, the current vCPU, into the log.
/// Context: its address space is loaded; no locks, for it reads guest memory.
void pv_report_crash(Vcpu& v);
/// Drops page-table roots, pins, descriptor tables. All vCPUs are paused. Errors: restart, call again.
Status pv_relinquish(Domain& d);

}  // namespace hv
