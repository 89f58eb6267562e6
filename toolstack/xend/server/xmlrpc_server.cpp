// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/xmlrpc_server.hpp"

#include "toolstack/xend/server/xmlrpc_methods.hpp"

namespace xend {

namespace {

Reply xml(std::string body) { return {200, "text/xml", {}, std::move(body)}; }

}  // namespace

void serve_xmlrpc(Dispatcher& dispatcher, const HttpRequest& in, HttpServer::Done done, const OtherMethods& other) {
    if (!in.post) return done({405, "text/plain", {}, "XML-RPC is asked for with POST.\n"});
    const auto call = xmlrpc::parse_call(in.body);
    if (!call) return done(xml(xmlrpc::print_fault(xmlrpc::Fault::internal, call.failure().text)));
    if (other && other(*call, [done](const xmlrpc::Value& value) { done(xml(xmlrpc::print_answer(value))); })) return;
    xmlrpc::Fault fault;
    if (const auto value = xmlrpc::introspect(*call, fault))
        return done(xml(fault.code == 0 ? xmlrpc::print_answer(*value) : xmlrpc::print_fault(fault.code, fault.text)));
    const auto translated = xmlrpc::translate(*call, fault);
    if (!translated) return done(xml(xmlrpc::print_fault(fault.code, fault.text)));
    dispatcher.handle(translated->request, [call = *translated, done = std::move(done)](const Reply& reply) {
        done(xml(xmlrpc::answer(call, reply)));
    });
}

}  // namespace xend
