// SPDX-License-Identifier: Apache-2.0
#pragma once

// A xend that listens, over the machine of the fakes: what programs see of it.

#include <sys/socket.h>
#include <sys/un.h>

#include <future>
#include <thread>

#include "toolstack/service/fd.hpp"
#include "toolstack/xend/rest/server.hpp"
#include "toolstack/xend/server/dispatcher.hpp"
#include "toolstack/xend/server/http_server.hpp"
#include "toolstack/xend/server/monitor.hpp"
#include "toolstack/xend/server/router.hpp"
#include "toolstack/xend/server/xenapi_server.hpp"
#include "toolstack/xend/server/xmlrpc_server.hpp"
#include "xend_checks.hpp"

namespace fakes {

struct HttpAnswer {
    int status = 0;
    std::string head, body;
};

class ListeningXend {
    std::unique_ptr<service::EventLoop> loop_ = service::EventLoop::make().take();

public:
    Machine machine;
    xend::Vitals vitals;
    xend::Router router{machine.manager, machine.folder.file("log", "a line\n")};
    xend::Monitor monitor{machine.manager, machine.clock, vitals, [this] { return dispatcher.load(); }, sys()};
    xend::Dispatcher dispatcher{[this](const xend::Request& request) {
        return xend::Monitor::is_for(request) ? monitor.handle(request) : router.handle(request);
    }};

    xend::xenapi::Server xenapi{machine.manager, machine.clock, dispatcher, sys()};
    xend::rest::Server rest{machine.manager, machine.clock, dispatcher, *loop_, [this] { server_->poke(); }};

    ListeningXend() {
        rest.start();
        server_ = std::make_unique<xend::HttpServer>(
            *loop_,
            [this](xend::Request request, xend::HttpServer::Done done) {
                dispatcher.handle(std::move(request), std::move(done));
            },
            &vitals);
        server_->serve(xend::xmlrpc_path, [this](const xend::HttpRequest& request, xend::HttpServer::Done done) {
            xend::serve_xmlrpc(dispatcher, request, std::move(done),
                               [this](const xend::xmlrpc::Call& call, const auto& answered) {
                                   const bool taken = xend::xenapi::Server::is_for(call.method);
                                   if (taken) xenapi.handle(call, answered);
                                   return taken;
                               });
        });
        server_->serve_below(
            xend::rest::root,
            [this](const xend::HttpRequest& request, xend::HttpServer::Done done) { rest.handle(request, std::move(done)); },
            xend::rest::Server::refused);
        EXPECT_TRUE(server_->listen_unix(socket()));
        thread_ = std::thread([this] { EXPECT_TRUE(loop_->run()); });
    }
    ~ListeningXend() {
        dispatcher.finish();
        loop_->post([this] { loop_->stop(); });
        thread_.join();
    }
    ListeningXend(const ListeningXend&) = delete;
    ListeningXend& operator=(const ListeningXend&) = delete;

    /// Whatever was answered before is seen from here on, and what was set before is seen by xend: a socket orders them in fact, but
    /// not in the eyes of the thread sanitizer.
    void meet() const {
        std::promise<void> met;
        loop_->post([&] { met.set_value(); });
        met.get_future().wait();
    }

    std::string socket() const { return (machine.folder.path / "socket").string(); }
    std::string sys() const { return (machine.folder.path / "sys").string(); }

    /// `head`: its first line and fields, without "Content-Length".
    HttpAnswer ask(const std::string& head, const std::string& body = "") const {
        meet();
        const service::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::snprintf(address.sun_path, sizeof address.sun_path, "%s", socket().c_str());
        EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        std::string out = head + "\r\nConnection: close\r\n";
        if (!head.starts_with("GET ")) out += "Content-Length: " + std::to_string(body.size()) + "\r\n";
        out += "\r\n" + body;
        EXPECT_EQ(::send(fd.get(), out.data(), out.size(), MSG_NOSIGNAL), static_cast<ssize_t>(out.size()));
        std::string in;
        char part[4096];
        for (ssize_t n = 0; (n = ::recv(fd.get(), part, sizeof part, 0)) > 0;) in.append(part, static_cast<size_t>(n));
        meet();
        HttpAnswer answer;
        const size_t end = in.find("\r\n\r\n");
        EXPECT_NE(end, std::string::npos) << in;
        answer.head = in.substr(0, end);
        answer.status = in.size() > 12 ? std::atoi(in.substr(9, 3).c_str()) : 0;
        answer.body = end == std::string::npos ? "" : in.substr(end + 4);
        return answer;
    }
    HttpAnswer get(const std::string& path) const { return ask("GET " + path + " HTTP/1.1"); }
    HttpAnswer post(const std::string& path, const std::string& form) const {
        return ask("POST " + path + " HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded", form);
    }

private:
    std::unique_ptr<xend::HttpServer> server_;
    std::thread thread_;
};

}  // namespace fakes
