// SPDX-License-Identifier: Apache-2.0
/// Physical interrupts given to a domain: what domains and event channels need of them, and they of event channels.
#pragma once

#include <cstdint>

#include "lib/base/result.hpp"

namespace hv {

struct Domain;
struct IrqLine;

/// A domain's numbering of the interrupts it may use. It grows with what is mapped, by 64 numbers: most domains have none.
struct PirqTable {
    static constexpr unsigned capacity = 1024, chunk = 64;
    Domain& domain;
    IrqLine** chunks[capacity / chunk] = {};  ///< changed and read under the interrupt lock
};

/// The end of a domain: its lines are masked and free for others. Again, as often as wanted.
void pirqs_release(PirqTable& t);
/// The same, and frees the table's memory. No interrupt of the domain's is on its way any more when it returns.
/// Context: no locks.
void pirqs_destroy(PirqTable& t);

/// What becomes of a number that nothing was mapped to.
enum class Unmapped : uint8_t { refuse, is_gsi };
/// Routes the machine interrupt behind `pirq` to the domain. Errors: inval (no such pirq), busy (another event channel has it),
/// exist (the GSI of this number has another one).
/// Locks: called with the domain's event lock held (Rank::irq is below it).
base::Status pirq_bind(PirqTable& t, uint32_t pirq, Unmapped unmapped);
void pirq_unbind(PirqTable& t, uint32_t pirq);
/// The guest has handled it (PHYSDEVOP_eoi): lets the line fire again.
void pirq_eoi(PirqTable& t, uint32_t pirq);
/// True when the guest must issue an EOI (PHYSDEVOP_irq_status_query).
bool pirq_needs_eoi(PirqTable& t, uint32_t pirq);
/// The machine's own number for the interrupt behind `pirq`, by which permissions are kept: a GSI, or a number above all GSIs.
/// Errors: noent.
base::Result<uint32_t> pirq_machine_number(PirqTable& t, uint32_t pirq);

/// A machine interrupt of the domain fired: event/ makes the port bound to it pending. O(1). Any CPU; no locks.
void send_pirq(Domain& d, uint32_t pirq);

}  // namespace hv
