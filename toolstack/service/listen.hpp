// SPDX-License-Identifier: Apache-2.0
/// Listening sockets, non-blocking.
#pragma once

#include <string>

#include "toolstack/service/fd.hpp"

namespace service {

/// A unix socket at `path`, for this user alone, in place of an old one. Errors: nametoolong; the system's.
base::Outcome<Fd> listen_unix(const std::string& path);

/// A TCP socket at a loopback address ("localhost", "127.0.0.1", "::1"). Errors: inval for another one; addrinuse.
base::Outcome<Fd> listen_loopback(const std::string& address, uint16_t port);

/// The same at any address, given as a number or "localhost". Errors: inval; the system's.
base::Outcome<Fd> listen_tcp(const std::string& address, uint16_t port);

}  // namespace service
