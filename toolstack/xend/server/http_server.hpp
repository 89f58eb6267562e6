// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/base/outcome.hpp"
#include "toolstack/xend/api.hpp"

namespace xend {

/// HTTP over a unix socket (whoever may open it is trusted: root) and over loopback TCP (anybody on this machine may
/// look; what changes something must come from a socket that root owns). Requests are answered by worker threads, so
/// that a long job does not hold up the others.
class HttpServer {
    struct Impl;
    std::unique_ptr<Impl> impl_;

public:
    using Handler = std::function<Reply(const Request&)>;

    explicit HttpServer(Handler handler, unsigned workers = 4);
    ~HttpServer();

    /// Makes the socket at `path`, for root alone, in place of an old one. Errors: io.
    base::Outcome<> listen_unix(const std::string& path);
    /// `address` must be a loopback address. Errors: inval, addrinuse, io.
    base::Outcome<> listen_tcp(const std::string& address, uint16_t port);
    /// Serves until stop(); running jobs are finished.
    void run();
    /// From any thread.
    void stop();
};

/// "a=1&b=x%20y" into fields. False when an escape is malformed or there are too many fields.
bool decode_form(std::string_view text, std::map<std::string, std::string>& fields);

}  // namespace xend
