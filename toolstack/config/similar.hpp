// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace config {

/// ": did you mean 'X'?" for the one of `names` that is `word` with a slip of the fingers; empty when none is.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> names);

}  // namespace config
