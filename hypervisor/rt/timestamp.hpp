// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "hypervisor/rt/log_ring.hpp"

namespace hv {

/// Writes "[2026-03-01 12:00:00] " or what else `t` asks for; returns its length, 0 for none.
size_t format_timestamp(char* to, size_t size, Timestamps t);

}  // namespace hv
