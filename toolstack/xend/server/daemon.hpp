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

/// Whether somebody waits for `ready`, or a server that died is there again, which must not end for want of a store.
enum class Life : uint8_t { first, again };

/// Opens hypervisor and sockets and serves until SIGTERM or SIGINT; what an earlier xend left is finished meanwhile.
base::Outcome<> serve(const ServerSettings& settings, Life life, const Ready& ready);

/// How long a new xend waits for the lock of one that was killed.
inline constexpr std::chrono::milliseconds lock_patience{10'000};

/// Goes into the background and keeps serve() running, and the daemons that it needs (supervisor.hpp). The calling
/// process ends when the server is ready or has failed; this returns only when another xend has the lock, or the system refuses.
base::Outcome<> start_in_background(const ServerSettings& settings);

}  // namespace xend
