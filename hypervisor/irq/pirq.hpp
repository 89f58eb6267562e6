// SPDX-License-Identifier: Apache-2.0
/// Physical interrupts given to a domain: what event channels need of them, and they of event channels.
#pragma once

#include <cstdint>

#include "lib/base/result.hpp"

namespace hv {

struct Domain;

/// Routes the machine interrupt behind `pirq` to the domain. Errors: inval (no such pirq), busy, perm.
/// Locks: called with the domain's event lock held (Rank::irq is below it).
base::Status pirq_bind(Domain& d, uint32_t pirq, bool may_share);
void pirq_unbind(Domain& d, uint32_t pirq);
/// The guest has handled it (unmask or PHYSDEVOP_eoi): lets the line fire again.
void pirq_eoi(Domain& d, uint32_t pirq);
/// True when the guest must issue an EOI (PHYSDEVOP_irq_status_query).
bool pirq_needs_eoi(Domain& d, uint32_t pirq);

/// A machine interrupt of the domain fired: event/ makes the port bound to it pending. O(1). Any CPU; no locks.
void send_pirq(Domain& d, uint32_t pirq);

}  // namespace hv
