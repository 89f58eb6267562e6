// SPDX-License-Identifier: Apache-2.0
/// The log of this process: one front, whatever stands behind it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/base/outcome.hpp"

namespace service {

enum class LogLevel : uint8_t { debug, info, warning, error };

/// Where lines go. Called by one thread at a time.
class LogTarget {
public:
    virtual ~LogTarget() = default;
    virtual void write(LogLevel level, std::string_view text) = 0;
    /// The file was moved away: begins a new one.
    virtual void reopen() {}
};

/// Where lines go from now on; null: nowhere, which is how a process begins.
void set_log(std::unique_ptr<LogTarget> target);
/// From any thread. What would not be shown as one line is '?'.
void log(LogLevel level, std::string_view text);
/// From any thread; after rotation by somebody else.
void reopen_log();

/// Lines of all levels with a time stamp, for the small daemons: to the file at `path`, to standard error when it is empty or
/// cannot be opened.
std::unique_ptr<LogTarget> line_log(std::string path);

/// What `name` (DEBUG, INFO, WARNING, ERROR, CRITICAL) lets through; info for a name that is none.
LogLevel log_level_named(std::string_view name);

/// xend's log, with level and process id: a file that rotates itself (1 MB, five old ones kept), in the library
/// xenservice_rotating. Errors: io.
base::Outcome<std::unique_ptr<LogTarget>> rotating_log(const std::string& path, LogLevel least);
/// The same lines on standard error.
base::Outcome<std::unique_ptr<LogTarget>> terminal_log(LogLevel least);

}  // namespace service
