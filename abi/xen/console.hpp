// SPDX-License-Identifier: Apache-2.0
/// The console ring page.
#pragma once

#include "abi/xen/types.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

/// The console page: two byte rings with free-running indexes.
struct XenconsInterface {
    char in[1024];
    char out[2048];
    XENCONS_RING_IDX in_cons;
    XENCONS_RING_IDX in_prod;
    XENCONS_RING_IDX out_cons;
    XENCONS_RING_IDX out_prod;
};
static_assert(exact_layout<XenconsInterface, 3088>);

}  // namespace xen
