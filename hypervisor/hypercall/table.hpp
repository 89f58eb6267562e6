// SPDX-License-Identifier: Apache-2.0
/// The dispatcher's table, for those who ask what is in it. Calling goes through guest/pv/traps.hpp.
#pragma once

#include <cstdint>

namespace hv {

/// Whether the dispatcher knows this hypercall number.
bool hypercall_exists(uint64_t number);

}  // namespace hv
