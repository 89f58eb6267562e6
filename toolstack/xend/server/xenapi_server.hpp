// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "toolstack/xend/core/manager.hpp"
#include "toolstack/xend/server/dispatcher.hpp"
#include "toolstack/xend/server/xmlrpc_message.hpp"

namespace xend::xenapi {

/// Answers calls of the Xen-API 1.0: what is looked at is made of one look at the host, what changes something is the request of the
/// HTTP interface that it stands for. Who may ask is settled before a call comes here: a session is a name for it, nothing more. Thread-safe.
class Server {
public:
    using Done = std::function<void(const xmlrpc::Value& answer)>;

    Server(Manager& manager, Clock& clock, Dispatcher& dispatcher, std::string sys = "/sys")
        : manager_(manager), clock_(clock), dispatcher_(dispatcher), sys_(std::move(sys)) {}

    /// Whether a method is one of the Xen-API's, known or not.
    static bool is_for(const std::string& method) { return !method.starts_with("xend.") && !method.starts_with("system."); }
    /// Never blocks; `done` is called once, by any thread.
    void handle(const xmlrpc::Call& call, Done done);

private:
    struct Session {
        std::string user;
        int64_t last = 0;  // in the order of use
    };

    xmlrpc::Value login(const xmlrpc::Call& call);
    /// Of a session that is there, which it notes; empty: it is not.
    std::string user_of(const std::string& session);
    xmlrpc::Value in_session(const xmlrpc::Call& call, const std::string& user);
    xmlrpc::Value look(const xmlrpc::Call& call);
    void act(const xmlrpc::Call& call, Done done);

    Manager& manager_;
    Clock& clock_;
    Dispatcher& dispatcher_;
    std::string sys_;
    std::mutex mutex_;
    std::map<std::string, Session> sessions_;
    int64_t uses_ = 0;
};

}  // namespace xend::xenapi
