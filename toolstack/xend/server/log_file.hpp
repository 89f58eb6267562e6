// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lib/base/outcome.hpp"

namespace xend {

enum class LogTo : uint8_t { file, terminal };

/// Sends log() to `file` (1 MB, five old ones kept) or to stderr from now on. Errors: io.
base::Outcome<> open_log(const std::string& file, const std::string& level, LogTo to);

}  // namespace xend
