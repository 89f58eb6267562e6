// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/base/outcome.hpp"
#include "toolstack/service/event_loop.hpp"
#include "toolstack/xend/api.hpp"
#include "toolstack/xend/server/http_message.hpp"
#include "toolstack/xend/server/vitals.hpp"

namespace xend {

/// HTTP over a unix socket (whoever may open it is trusted: root) and over loopback TCP, which anybody on this machine may open
/// and only root may use: who it is is judged by the head of a request, before any of its body is kept. Everything happens in
/// the loop's thread and never blocks; a client that is slow or silent costs its own connection, which is closed after a
/// while, and those over TCP are so few that root's socket is always served. Who is given a Feed stays as long as it reads: what it does
/// not take within that while ends it, and a comment now and then shows whether it is there.
class HttpServer {
    struct Impl;
    std::unique_ptr<Impl> impl_;

public:
    using Done = std::function<void(Reply)>;
    /// Called in the loop's thread; must not block. `done` is called once, from any thread, while the loop exists.
    using Handler = std::function<void(Request, Done done)>;

    /// The same for one that is not a form's: with its body as it came.
    using RawHandler = std::function<void(const HttpRequest&, Done done)>;

    /// `vitals`: counts replies; null where nobody asks.
    HttpServer(service::EventLoop& loop, Handler handler, Vitals* vitals = nullptr);
    ~HttpServer();

    /// Requests for this path are not the other handler's. Before the loop turns.
    void serve(const std::string& path, RawHandler handler);
    /// What a request is answered that is not let in, by its status.
    using Refused = std::function<Reply(int status, const std::string& why)>;
    /// The same for all paths that begin so, whatever their methods. Before the loop turns.
    void serve_below(const std::string& prefix, RawHandler handler, Refused refused);
    /// Feeds may have more to say. From any thread.
    void poke();
    /// Makes the socket at `path`, for root alone, in place of an old one. Errors: io.
    base::Outcome<> listen_unix(const std::string& path);
    /// `address` must be a loopback address. Errors: inval, addrinuse, io.
    base::Outcome<> listen_tcp(const std::string& address, uint16_t port);
};

}  // namespace xend
