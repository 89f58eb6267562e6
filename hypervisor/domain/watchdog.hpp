// SPDX-License-Identifier: Apache-2.0
/// A domain's watchdogs (SCHEDOP_watchdog): when one is not set again in time, the domain is shut down.
#pragma once

#include "hypervisor/domain/domain.hpp"

namespace hv {

inline constexpr unsigned max_watchdogs = 2;

/// id 0: a new one of `seconds`, its id is returned; otherwise sets that one again, or stops it when seconds is 0.
/// Errors: inval, exist (none left), nomem.
Result<uint64_t> domain_watchdog(Domain& d, uint32_t id, uint32_t seconds);
/// Stops and frees them. Called when the domain dies.
void domain_watchdogs_destroy(Domain& d);

}  // namespace hv
