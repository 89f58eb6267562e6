// SPDX-License-Identifier: Apache-2.0
/// The dispatcher's table, for those who ask what is in it. Calling goes through guest/kinds.hpp.
#pragma once

#include "hypervisor/hypercall/row.hpp"

namespace hv {

/// What the dispatcher calls for this number of a PV guest; null when it has no such hypercall.
Handler hypercall_handler(uint64_t number);

/// From now on each hypercall leaves a record, or none does. The short ways of guest/entry/doors.S are closed meanwhile, of which returns
/// from system calls are one. Context: the turn of control operations, or boot.
void trace_hypercalls(bool wanted);

}  // namespace hv
