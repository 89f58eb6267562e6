// SPDX-License-Identifier: Apache-2.0
/// Grants (version 1): giving pages, and using those of others.
#pragma once

#include "abi/xen/grant_table.hpp"
#include "guests/tiny/cpu.hpp"

namespace guest {

/// The first frame of the guest's table, set up and mapped at the first call; null when that was refused. 512 entries.
xen::GrantEntryV1* grant_table();
/// Lets `to` use the page of the kernel at `p` through entry `ref`; flags as in the entry (GTF_*).
void grant(uint32_t ref, xen::domid_t to, const void* p, uint16_t flags = xen::GTF_permit_access);
/// One operation on one argument.
template <class T>
long grant_op(uint32_t op, T& argument) {
    return hypercall(xen::HYPERVISOR_grant_table_op, op, addr(&argument), 1);
}

}  // namespace guest
