// SPDX-License-Identifier: Apache-2.0
/// The pages of trace buffers: made once, for all CPUs, and offered to control domains as pages of DOMID_XEN.
#pragma once

#include <cstdint>

#include "lib/base/result.hpp"
#include "lib/base/types.hpp"

namespace hv {

/// Makes `pages` pages for each CPU that is there, or as many as xen::TInfo can name. Once: who asks again gets them if it is the same
/// number. Errors: inval, another number or none; nomem, and nothing is kept; restart: not done yet, the same call goes on, and
/// until it has no other number will do. Context: the turn of control operations, or boot; no locks.
base::Status make_trace_buffers(uint32_t pages);

/// Where readers find xen::TInfo.
struct TraceInfoPages {
    base::Mfn first{0};
    uint32_t bytes = 0;  ///< 0: there are no buffers
};
TraceInfoPages trace_info_pages();

}  // namespace hv
