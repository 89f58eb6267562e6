// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "lib/base/outcome.hpp"
#include "toolstack/xend/server/settings.hpp"

namespace xend {

/// Called by the server once it can be used: whoever started it goes on.
using Ready = std::function<void()>;

/// Opens hypervisor and store, takes over what is there, serves until SIGTERM or SIGINT.
base::Outcome<> serve(const ServerSettings& settings, const Ready& ready);

/// How long a new xend waits for the lock of one that was killed.
inline constexpr std::chrono::milliseconds lock_patience{1000};

/// Goes into the background and keeps serve() running: a server that dies by a signal is started again. The calling
/// process ends when the server is ready or has failed; this returns only when another xend has the lock, or the system refuses.
base::Outcome<> start_in_background(const ServerSettings& settings);

}  // namespace xend
