// SPDX-License-Identifier: Apache-2.0
/// A kernel that tells how the hypervisor under it behaves.
#pragma once

#include "guests/tiny/boot.hpp"
#include "guests/tiny/traps.hpp"

namespace conform {

/// Prints `ok NAME` or `not ok NAME`.
void check(const char* name, bool right);
/// Prints `ok NAME`, or `not ok NAME` with both values.
void equal(const char* name, uint64_t expected, uint64_t got);

void entry_checks();      // entry.cpp
void privilege_checks();  // privilege.cpp

// dump.cpp: one line a leaf, a register
void dump_cpuid();
void dump_msrs();

}  // namespace conform
