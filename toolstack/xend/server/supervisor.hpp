// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "toolstack/service/process.hpp"
#include "toolstack/xend/server/daemon.hpp"

namespace xend {

/// One life of the server, in a process of its own; its exit status is 0 when it was told to end.
using ServerLife = std::function<int(Life, service::Detachment&)>;

/// Keeps the server running, and xenstored and xenconsoled, whoever started these: what dies is started again, at once the
/// first time and ever more slowly when it does not live long. With XEND_WARDS=no in the environment those two are a service
/// manager's. Ends with the server when that is told to end, or cannot begin its first life.
[[noreturn]] void supervise(const std::string& log_file, service::PidFile& pid_file, service::Detachment& detachment,
                            const ServerLife& server);

}  // namespace xend
