// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace hv {

/// Fills a guest's hypercall page: entry n, 32 bytes each, calls hypercall n and returns.
void fill_hypercall_page(uint8_t* page);

}  // namespace hv
