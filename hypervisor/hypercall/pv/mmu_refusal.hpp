// SPDX-License-Identifier: Apache-2.0
/// Lines of the log for page-table operations that were refused. The operation is over: what is looked up here may have
/// changed since, and decides nothing.
#pragma once

#include "abi/xen/basic.hpp"
#include "hypervisor/hypercall/pv/mmu.hpp"

namespace hv {

void log_refused_update(const Vcpu& v, const MmuTarget& t, const xen::MmuUpdate& u, Errc e);
void log_refused_operation(const Vcpu& v, const MmuTarget& t, const xen::MmuextOp& op, Errc e);

}  // namespace hv
