// SPDX-License-Identifier: Apache-2.0
/// What mmu_update, update_va_mapping and mmuext_op share: whose tables, whose pages, which CPUs.
#pragma once

#include "hypervisor/hypercall/hypercall.hpp"

namespace hv {

struct MmuTarget {
    DomainRef tables;  ///< owner of the page tables
    DomainRef pages;   ///< owner of the pages that entries may name
};

/// Decodes the foreign-domain argument: pages' owner in the low half, tables' owner + 1 in the high half.
/// Errors: srch, perm.
Result<MmuTarget> mmu_target(Vcpu& v, uint64_t foreign);

struct MmuFlush {
    uint64_t mask;     ///< CPUs
    bool page;         ///< only `address`
    uint64_t address;
};
void flush_vcpus(const MmuFlush& f);
/// CPUs on which the vCPUs of a guest's bitmap run now. Errors: fault.
Result<uint64_t> cpus_of_vcpus(Vcpu& v, uint64_t bitmap_address);

}  // namespace hv
