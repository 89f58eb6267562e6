// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

namespace xend {

enum class LogLevel : uint8_t { debug, info, warning, error };

using LogSink = std::function<void(LogLevel, const std::string&)>;

/// Where the core's messages go from now on (server/ sets xend.log); without a sink they are dropped. Call it before
/// the threads start.
void set_log_sink(LogSink sink);
void log(LogLevel level, const std::string& text);

}  // namespace xend
