// SPDX-License-Identifier: Apache-2.0
/// What mmu_update, update_va_mapping and mmuext_op share: whose tables, whose pages, which CPUs.
#pragma once

#include "abi/xen/basic.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/hypercall/hypercall.hpp"

namespace hv {

struct MmuTarget {
    DomainRef tables;  ///< owner of the page tables
    DomainRef pages;   ///< owner of the pages that entries may name
};

/// Decodes the foreign-domain argument: pages' owner in the low half, tables' owner + 1 in the high half.
/// Errors: srch, perm.
Result<MmuTarget> foreign_target(Vcpu& v, uint32_t foreign);
[[gnu::always_inline]] inline Result<MmuTarget> mmu_target(Vcpu& v, uint32_t foreign) {
    if (foreign != xen::DOMID_SELF || !v.domain.pv) [[unlikely]]
        return foreign_target(v, foreign);
    return MmuTarget{DomainRef::borrow(v.domain), DomainRef::borrow(v.domain)};
}

/// What a guest asks its CPUs to forget: all translations, or that of one page.
struct MmuFlush {
    bool page;  ///< only `address`
    uint64_t address;
};
void flush_local(const MmuFlush& f);
void flush_cpus(CpuSet which, const MmuFlush& f);

/// vCPUs of one domain, by number.
struct VcpuSet {
    uint64_t bits[pv_max_vcpus / 64] = {};
};
/// A guest's bitmap of its own vCPUs. Errors: fault.
Result<VcpuSet> fetch_vcpu_set(const Domain& d, uint64_t bitmap_address);
/// CPUs that run them now, or have not flushed since: for a flush after page-table entries have changed. Not to be asked
/// before, since a vCPU that starts in between would keep what it saw.
CpuSet cpus_of(Domain& d, const VcpuSet& vcpus);
/// CPUs that run any vCPU of `d`, in the same sense.
CpuSet cpus_of(Domain& d);

}  // namespace hv
