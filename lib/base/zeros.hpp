// SPDX-License-Identifier: Apache-2.0
/// Memory that has nothing in it.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>

namespace base {

/// Whether there are zeros alone. `bytes` is not empty.
inline bool all_zeros(std::span<const std::byte> bytes) {
    return bytes[0] == std::byte{} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

}  // namespace base
