// SPDX-License-Identifier: Apache-2.0
/// Tracing and counting as a whole: what the buffers record, what is counted, and the hypercall table along with it.
#pragma once

#include <cstdint>

#include "lib/base/result.hpp"

namespace hv {

/// Begins to record. Errors: inval, there are no buffers. Context, of all: the turn of control operations, or boot.
base::Status trace_begin();
void trace_end();
/// Which events are wanted, bits of TRC_ALL; now, if tracing is on.
void trace_events(uint32_t mask);
/// Performance counters count from now on, from 0. Errors: nomem.
base::Status counters_begin();
void counters_end();

}  // namespace hv
