// SPDX-License-Identifier: Apache-2.0
/// What calls there are, and of what their arguments are made.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fuzz {

/// One hypercall or sub-operation.
///
/// `registers` says what the argument registers hold, a letter each; `structure` describes the argument that '@' points to as
/// fields, each a size in bytes (1, 2, 4, 8) and a letter. The letters:
///   c the sub-operation   @ the structure   n how many of them there are
///   d domain   p port   v vCPU   q virtual interrupt   r grant reference   h grant handle
///   f frame of ours   g pseudo-physical page of ours   e machine address of a page-table entry   t page-table entry
///   a address where pages may be mapped   b buffer that holds frames and pages   k a root that the kernel may run on
///   i time that is over or nearly so   s small number   m bits   u anything   0 zero
struct Call {
    uint16_t number;
    uint16_t operation;
    const char* registers;
    const char* structure;
};

/// Every call that does not end the domain or the vCPU that makes it. IRET is not among them, and neither are block, shutdown and
/// watchdog, taking down a vCPU that runs, closing all ports at once, and multicall, which is made of these.
extern const Call calls[];
extern const size_t call_count;

}  // namespace fuzz
