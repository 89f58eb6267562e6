// SPDX-License-Identifier: Apache-2.0
/// A guest's GDT and LDT: its own pages, checked, mapped into the vCPU's window of the per-domain area.
#pragma once

#include "hypervisor/guest/pv/pv.hpp"

namespace hv {

/// Replaces the GDT by `entries` descriptors in `frames`. Errors: inval, perm.
Status pv_set_gdt(Vcpu& v, const Mfn* frames, uint32_t entries);
/// Replaces the LDT by what lies at linear address `base`, page-aligned; 0 entries: none. Errors: inval, perm.
Status pv_set_ldt(Vcpu& v, uint64_t base, uint32_t entries);
/// Drops both.
void pv_clear_descriptors(Vcpu& v);
/// Writes one descriptor at a machine address. Errors: inval, perm.
Status pv_update_descriptor(Domain& d, uint64_t machine_address, uint64_t descriptor);

}  // namespace hv
