// SPDX-License-Identifier: Apache-2.0
/// Code of ours that takes another form at boot: the entry stubs (entry_guarded.S), and the thunks of indirect branches.
#pragma once

#include <cstdint>

#include "hypervisor/arch/x86/speculation_plan.hpp"
#include "lib/parse/bytes.hpp"

namespace hv {

/// All CPUs enter and leave by the guarded stubs. Set once, at boot.
extern bool entries_guarded;
/// Boot: turns the plain entry stubs into the guarded ones. Before the text becomes read-only and before descriptors load.
void guard_entries();

/// Boot: how the hypervisor takes indirect branches from now on. Before the text becomes read-only.
void choose_thunk(Thunk t);

/// A page of the hypervisor as a view holds it: its address and its L1 entry.
struct VisiblePage {
    uint64_t va, entry;
};
using VisiblePages = parse::FixedList<VisiblePage, 16>;
/// What the CPU needs of us while a guest runs, and until the entry stubs have loaded our page tables: their text, the IDT,
/// the CPU's TSS, and the last page of its stack.
VisiblePages pages_for_entries(unsigned cpu);

}  // namespace hv
