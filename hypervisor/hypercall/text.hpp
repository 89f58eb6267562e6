// SPDX-License-Identifier: Apache-2.0
/// Texts in structures of the interface.
#pragma once

#include <algorithm>
#include <cstring>
#include <string_view>

namespace hv {

/// Fills the whole field: the text, cut off where there is no room, and zeros, at least one.
template <size_t size>
void copy_text(char (&to)[size], std::string_view text) {
    const size_t n = std::min(text.size(), size - 1);
    memcpy(to, text.data(), n);
    memset(to + n, 0, size - n);
}

}  // namespace hv
