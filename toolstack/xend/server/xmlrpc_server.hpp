// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "toolstack/xend/server/dispatcher.hpp"
#include "toolstack/xend/server/http_message.hpp"
#include "toolstack/xend/server/http_server.hpp"
#include "toolstack/xend/server/xmlrpc_message.hpp"

namespace xend {

inline constexpr const char* xmlrpc_path = "/RPC2";

/// Answers a call of classic Xen's XML-RPC: it is read here, in the loop's thread, which is short work, and done as the request of
/// the HTTP interface that it stands for, in the lane of its domain. `done` is called once.
/// `other`: takes the call, or leaves it: then it is one of classic Xen's.
using OtherMethods = std::function<bool(const xmlrpc::Call&, const std::function<void(const xmlrpc::Value&)>& done)>;
void serve_xmlrpc(Dispatcher& dispatcher, const HttpRequest& in, HttpServer::Done done, const OtherMethods& other = nullptr);

}  // namespace xend
