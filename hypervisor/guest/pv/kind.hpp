// SPDX-License-Identifier: Apache-2.0
/// What PV guests do for the operations of their kind (domain/guest_kind.hpp has the contracts).
#pragma once

#include "hypervisor/domain/guest_kind.hpp"

namespace xen {
struct VcpuGuestContext;
}

namespace hv {

Status pv_domain_create(Domain& d);
void pv_domain_destroy(Domain& d);
Status pv_vcpu_create(Vcpu& v);
void pv_vcpu_destroy(Vcpu& v);
/// Drops page-table roots, pins, descriptor tables.
Status pv_relinquish(Domain& d);

/// A vCPU's whole state. One that had some and is refused another may have new page tables and descriptor tables, never the
/// registers. Errors: inval, perm, restart.
Status pv_set_context(Vcpu& v, const xen::VcpuGuestContext& c);
void pv_get_context(Vcpu& v, xen::VcpuGuestContext& c);
Status pv_set_callbacks(Vcpu& v, const xen::DomctlExtVcpuContext& e);
void pv_get_callbacks(const Vcpu& v, xen::DomctlExtVcpuContext& e);

/// guest/entry; on the host, host/. A vCPU without page tables for its mode runs nowhere: its domain crashes.
void pv_switch_out(Vcpu& v);
void pv_switch_in(Vcpu& v);
/// While the user's page tables are loaded the kernel's memory is out of reach: it is done on the way into kernel mode.
void pv_write_runstate(Vcpu& v);
void pv_report_crash(Vcpu& v);

Status pv_map_grant(Vcpu& v, uint64_t addr, Mfn m, Access access, bool contains_pte, uint64_t avail_bits);
Status pv_unmap_grant(Vcpu& v, uint64_t addr, Mfn m, Access access, bool contains_pte, uint64_t new_addr);

/// For guests whose tables the CPU must not walk in ring 0 (guest_memory.hpp).
arch::Walked pv_read_walked(const Vcpu& v, void* dst, uint64_t gva, size_t n);
arch::Walked pv_write_walked(const Vcpu& v, uint64_t gva, const void* src, size_t n);

}  // namespace hv
