// link: xendhttp xendclient xmverbs
// SPDX-License-Identifier: Apache-2.0
// tsan
// xend's server: what it answers, and that nobody who is slow holds up anybody else.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <future>

#include "toolstack/service/fd.hpp"
#include "toolstack/service/listen.hpp"
#include "toolstack/xend/client/http_client.hpp"
#include "toolstack/xend/server/dispatcher.hpp"
#include "toolstack/xend/server/http_message.hpp"
#include "toolstack/xend/server/http_server.hpp"
#include "toolstack/xm/interrupt.hpp"

namespace {

using service::Fd;
using xend::Dispatcher;
using xend::Reply;
using xend::Request;
using namespace std::chrono_literals;

/// A server with its loop in a thread. What begins with "/xend/slow" or creates waits until release().
class XendServer : public ::testing::Test {
protected:
    XendServer() {
        folder_ = (std::filesystem::temp_directory_path() / "xend-server-XXXXXX").string();
        EXPECT_NE(::mkdtemp(folder_.data()), nullptr);
        loop_ = service::EventLoop::make().take();
        dispatcher_ = std::make_unique<Dispatcher>([this](const Request& request) { return answer(request); });
        server_ = std::make_unique<xend::HttpServer>(*loop_, [this](Request request, xend::HttpServer::Done done) {
            dispatcher_->handle(std::move(request), std::move(done));
        });
        EXPECT_TRUE(server_->listen_unix(socket()));
        while (!server_->listen_tcp("127.0.0.1", port_) && port_ < 40000) ++port_;
        thread_ = std::thread([this] { EXPECT_TRUE(loop_->run()); });
    }
    ~XendServer() override {
        release();
        dispatcher_->finish();
        loop_->post([this] { loop_->stop(); });
        thread_.join();
        server_.reset();
        std::filesystem::remove_all(folder_);
    }

    std::string socket() const { return folder_ + "/socket"; }
    void release() {
        if (!released_) release_.set_value();
        released_ = true;
    }
    Reply answer(const Request& request) {
        if (request.path == "/gone") ++gone_;
        const auto op = request.fields.find("op");
        const bool changes = op != request.fields.end() && (op->second == "create" || op->second == "destroy");
        if (changes) ++waiting_;
        if (changes) slow_.wait();
        if (request.path == "/throw") throw std::runtime_error("x");
        std::string body = request.path;
        for (const auto& [key, value] : request.fields) body.append("|").append(key).append("=").append(value);
        return {200, "text/plain", changes ? "/xend/domain/made" : "", body};
    }
    base::Outcome<Reply> call(const Request& request) const { return xend::SocketTransport({socket()}).call(request); }

    Fd connect() const {
        Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::snprintf(address.sun_path, sizeof address.sun_path, "%s", socket().c_str());
        EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        return fd;
    }
    Fd connect_tcp() const {
        Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port_);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        return fd;
    }
    static void send(const Fd& fd, const std::string& text) {
        EXPECT_EQ(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
    }
    /// Everything until the server closes, or for as long as `until` is not in it.
    static std::string receive(const Fd& fd, const std::string& until = "") {
        std::string out;
        char part[4096];
        while (until.empty() || out.find(until) == std::string::npos) {
            const ssize_t n = ::recv(fd.get(), part, sizeof part, 0);
            if (n <= 0) break;
            out.append(part, static_cast<size_t>(n));
        }
        return out;
    }
    static std::string exchange(const Fd& fd, const std::string& text) {
        send(fd, text);
        return receive(fd);
    }

    std::string folder_;
    uint16_t port_ = static_cast<uint16_t>(20000 + ::getpid() % 10000);
    std::promise<void> release_;
    std::shared_future<void> slow_ = release_.get_future().share();
    bool released_ = false;
    std::atomic<int> waiting_ = 0;
    std::atomic<int> gone_ = 0;
    std::unique_ptr<service::EventLoop> loop_;
    std::unique_ptr<Dispatcher> dispatcher_;
    std::unique_ptr<xend::HttpServer> server_;
    std::thread thread_;
};

Request get(const std::string& path) { return {Request::Method::get, path, {}}; }
Request post(const std::string& path, const std::string& op) { return {Request::Method::post, path, {{"op", op}}}; }

TEST_F(XendServer, AnswersAsItAlwaysDid) {
    EXPECT_EQ(exchange(connect(), "GET /xend/a%20b?x=1+2 HTTP/1.0\r\n\r\n"),
              "HTTP/1.0 200 OK\r\nServer: xend\r\nContent-Type: text/plain\r\nContent-Length: 15\r\n\r\n/xend/a b|x=1 2");
    release();
    const auto made = call(post("/xend/domain", "create"));
    ASSERT_TRUE(made) << made.failure().text;
    EXPECT_EQ(made->location, "/xend/domain/made");
    EXPECT_EQ(made->body, "/xend/domain|op=create");
    EXPECT_EQ(call(get("/throw"))->body, "(xend.err 'internal error: exception')");
}

// Ctrl-C ends xm. What xend was asked for goes on, which nobody must take for success.
TEST_F(XendServer, WhoInterruptsAChangeIsToldThatItGoesOn) {
    const auto interrupted = [&](const std::string& path, const Request& request, const std::function<void()>& begun) {
        int ends[2];
        EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
        const pid_t child = ::fork();
        if (child == 0) {
            ::dup2(ends[1], STDOUT_FILENO);
            ::dup2(ends[1], STDERR_FILENO);
            xend::SocketTransport sockets({path});
            (void)xm::InterruptibleTransport(sockets).call(request);
            ::_exit(9);
        }
        ::close(ends[1]);
        begun();
        ::kill(child, SIGINT);
        int status = -1;
        EXPECT_EQ(::waitpid(child, &status, 0), child);
        std::string out(1000, 0);
        const ssize_t n = ::read(ends[0], out.data(), out.size());
        ::close(ends[0]);
        out.resize(n < 0 ? 0 : static_cast<size_t>(n));
        return std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : -1) + " " + out;
    };
    const auto at_work = [&] {
        for (int i = 0; i < 500 && waiting_ == 0; ++i) std::this_thread::sleep_for(10ms);
    };
    EXPECT_EQ(interrupted(socket(), post("/xend/domain/demo", "destroy"), at_work),
              "1 Interrupted.\nError: xend goes on with 'destroy demo'; 'xm list' and 'xm log' say what becomes of it.\n");
#ifndef __SANITIZE_THREAD__  // it keeps signals back from a child that waits in a call that it does not know
    const std::string silent = folder_ + "/silent";
    const auto listening = service::listen_unix(silent);
    const auto connected = [&] {
        pollfd ready{listening->get(), POLLIN, 0};
        EXPECT_EQ(::poll(&ready, 1, 10'000), 1);
        std::this_thread::sleep_for(100ms);
    };
    EXPECT_EQ(interrupted(silent, get("/xend/domain"), connected), "0 Interrupted.\n");
#endif
}

// A xend that dies at work: whoever asked is told what became of it.
TEST_F(XendServer, WhoGetsNoAnswerIsToldWhatBecameOfTheRequest) {
    const std::string path = folder_ + "/dying";
    auto listening = service::listen_unix(path);
    ASSERT_TRUE(listening);
    const auto ask = [&](const Request& request) {
        auto dying = std::async(std::launch::async, [&] {
            pollfd ready{listening->get(), POLLIN, 0};
            ::poll(&ready, 1, 5000);
            const Fd client(::accept4(listening->get(), nullptr, nullptr, SOCK_CLOEXEC));
            char some[16];
            EXPECT_GT(::read(client.get(), some, sizeof some), 0);
        });
        const auto answer = xend::SocketTransport({path}).call(request);
        dying.wait();
        return answer ? "" : answer.failure().text;
    };
    const std::string crashed = "Xend has probably crashed!  Invalid or missing HTTP status code.  ";
    EXPECT_EQ(ask(get("/xend/domain")), crashed + "Nothing was changed.");
    EXPECT_EQ(ask(post("/xend/domain", "create")),
              crashed + "What was asked for is finished or undone when xend is there again: see 'xm list'.");
}

TEST_F(XendServer, RefusesWhatItAlwaysDid) {
    const auto status = [&](const Fd& fd, const std::string& request) { return exchange(fd, request).substr(0, 12); };
    const std::string end = "\r\nConnection: close\r\n\r\n";
    EXPECT_EQ(status(connect(), "PUT / HTTP/1.1" + end), "HTTP/1.1 403");
    EXPECT_EQ(status(connect(), "GET /%zz HTTP/1.1" + end), "HTTP/1.1 400");
    EXPECT_EQ(status(connect(), "POST / HTTP/1.1\r\nContent-Type: multipart/form-data" + end), "HTTP/1.1 406");
    EXPECT_EQ(status(connect(), "nonsense\r\n\r\n"), "");
    EXPECT_EQ(status(connect(), "GET / HTTP/1.1\r\nX: " + std::string(20000, 'x') + end), "");
    EXPECT_EQ(status(connect(), "POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"), "");
    // Over TCP: root alone, under this host's name and not for a web page.
    EXPECT_EQ(status(connect_tcp(), "GET / HTTP/1.1\r\nHost: localhost:8000" + end),
              ::geteuid() == 0 ? "HTTP/1.1 200" : "HTTP/1.1 403");
    EXPECT_EQ(status(connect_tcp(), "GET / HTTP/1.1\r\nHost: example.org" + end), "HTTP/1.1 403");
    EXPECT_EQ(status(connect_tcp(), "GET / HTTP/1.1\r\nOrigin: http://localhost" + end), "HTTP/1.1 403");
    EXPECT_EQ(status(connect_tcp(), "POST / HTTP/1.1\r\nContent-Length: 0" + end),
              ::geteuid() == 0 ? "HTTP/1.1 200" : "HTTP/1.1 403");
    EXPECT_EQ(server_->listen_tcp("0.0.0.0", 1).failure().text,
              "xend-address '0.0.0.0' is not a loopback address; xend listens on no other");
    EXPECT_FALSE(server_->listen_tcp("127.0.0.1", port_));
}

/// (xend-address ::1)
TEST_F(XendServer, TheLoopbackHasTwoAddresses) {
    std::promise<base::Outcome<>> listening;
    loop_->post([&] { listening.set_value(server_->listen_tcp("::1", port_)); });
    const auto done = listening.get_future().get();
    if (!done) GTEST_SKIP() << done.failure().text;
    const auto connect_v6 = [&] {
        Fd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in6 address{};
        address.sin6_family = AF_INET6;
        address.sin6_port = htons(port_);
        address.sin6_addr = in6addr_loopback;
        EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        return fd;
    };
    const std::string own = ::geteuid() == 0 ? "HTTP/1.1 200" : "HTTP/1.1 403", end = "\r\nConnection: close\r\n\r\n";
    const auto status = [&](const std::string& host) {
        return exchange(connect_v6(), "GET / HTTP/1.1\r\nHost: " + host + end).substr(0, 12);
    };
    EXPECT_EQ(status("[::1]:" + std::to_string(port_)), own);
    EXPECT_EQ(status("[::1]"), own);
    EXPECT_EQ(status("localhost"), own);
    for (const char* other : {"[::2]:8000", "[::1", "[", "[]:1", "[::1]x.example.org", "::1"})
        EXPECT_EQ(status(other), "HTTP/1.1 403") << other;
}

TEST_F(XendServer, ABodyIsNotWaitedForFromWhomItIsNotTaken) {
    // Refused by the head alone, although the body is promised and never comes.
    const Fd fd = connect_tcp();
    EXPECT_EQ(exchange(fd, "POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 4000000\r\n\r\n").substr(0, 12),
              "HTTP/1.1 403");
    const Fd more = connect();
    EXPECT_EQ(exchange(more, "PUT / HTTP/1.1\r\nContent-Length: 4000000\r\n\r\nxxxx").substr(0, 12), "HTTP/1.1 403");
}

// The kernel shows a closed socket as root's: whoever sends and goes at once must not pass for root.
TEST_F(XendServer, WhoHasGoneIsNotRoot) {
    loop_->post([] { std::this_thread::sleep_for(300ms); });
    const pid_t child = ::fork();
    if (child == 0) {
        if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(1);
        {
            const Fd fd = connect_tcp();
            send(fd, "POST /gone HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
        }
        ::_exit(0);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(call(get("/later")));
    std::this_thread::sleep_for(100ms);
    EXPECT_EQ(gone_, 0);
}

TEST_F(XendServer, ManyIdleConnectionsOfOthersLeaveRootServed) {
    std::vector<Fd> idle;
    for (int i = 0; i < 150; ++i) idle.push_back(connect_tcp());  // the kernel keeps those that nobody takes
    const auto start = std::chrono::steady_clock::now();
    EXPECT_TRUE(call(get("/xend/domain")));
    EXPECT_LT(std::chrono::steady_clock::now() - start, 1s);
    size_t open = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) open += entry.exists() ? 1 : 0;
    EXPECT_LT(open, 150U + 64U + 40U) << "they are taken in limits";
    idle.clear();  // room again
    const Fd fd = connect_tcp();
    EXPECT_NE(exchange(fd, "GET /one HTTP/1.1\r\nConnection: close\r\n\r\n").find("HTTP/1.1"), std::string::npos);
}

TEST_F(XendServer, KeepsAConnectionForTheNextRequest) {
    const Fd fd = connect();
    send(fd, "GET /one HTTP/1.1\r\n\r\nGET /two HTTP/1.1\r\n\r\nGET /thr");
    EXPECT_NE(receive(fd, "/two").find("/one"), std::string::npos);
    send(fd, "ee HTTP/1.1\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(receive(fd).ends_with("/three"));
}

TEST_F(XendServer, NobodyWaitsForSlowScriptsOrSilentClients) {
    std::vector<Fd> silent;
    for (int i = 0; i < 100; ++i) {
        silent.push_back(connect());
        if (i % 2 == 0) send(silent.back(), "POST /xend/domain HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf");
    }
    // One creation hangs in its script, others wait behind it, and owners pull at their domains, many times.
    std::vector<std::future<base::Outcome<Reply>>> jobs;
    for (int i = 0; i < 20; ++i) {
        jobs.push_back(std::async(std::launch::async, [&] { return call(post("/xend/domain", "create")); }));
        jobs.push_back(std::async(std::launch::async, [&] { return call(post("/xend/domain/stuck", "destroy")); }));
    }
    {
        const Fd gone = connect();
        send(gone, "POST /xend/domain/gone?op=destroy HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    }
    for (int i = 0; i < 20; ++i) {
        const auto start = std::chrono::steady_clock::now();
        const auto reply = call(get("/xend/domain"));
        ASSERT_TRUE(reply) << reply.failure().text;
        EXPECT_EQ(reply->body, "/xend/domain");
        EXPECT_TRUE(call(post("/xend/domain/stuck", "devices")));
        EXPECT_TRUE(call(post("/xend/domain/other", "pause"))) << "another domain's job";
        EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
    }
    for (const auto& job : jobs) EXPECT_EQ(job.wait_for(0s), std::future_status::timeout);
    release();
    for (auto& job : jobs) EXPECT_TRUE(job.get());
}

TEST_F(XendServer, TwentyCreationsAtOnce) {
    std::vector<std::future<base::Outcome<Reply>>> jobs;
    for (int i = 0; i < 20; ++i) {
        jobs.push_back(std::async(std::launch::async, [&, i] {
            Request create = post("/xend/domain", "create");
            create.fields["config"] = "(vm (name guest" + std::to_string(i) + "))";
            return call(create);
        }));
    }
    for (int i = 0; i < 500 && waiting_ < 20; ++i) std::this_thread::sleep_for(10ms);
    EXPECT_EQ(waiting_, 20) << "all are under way";
    const auto start = std::chrono::steady_clock::now();
    EXPECT_TRUE(call(get("/xend/domain")));
    EXPECT_LT(std::chrono::steady_clock::now() - start, 1s);
    release();
    for (auto& job : jobs) EXPECT_TRUE(job.get());
}

TEST(Dispatcher, LooksHaveNoLaneAndJobsOfADomainShareOne) {
    EXPECT_EQ(Dispatcher::lane_of(get("/xend/domain/x")), "");
    EXPECT_EQ(Dispatcher::lane_of(post("/xend/node", "debug_keys")), "");
    for (const char* op : {"devices", "vcpuinfo", "domain_sched_credit_get", "wait_for_devices"})
        EXPECT_EQ(Dispatcher::lane_of(post("/xend/domain/x", op)), "") << op;
    for (const char* op : {"pause", "unpause", "shutdown", "destroy", "mem_target_set"})
        EXPECT_EQ(Dispatcher::lane_of(post("/xend/domain/x/", op)), "domain x") << op;
    Request create = post("/xend/domain/", "create");
    create.fields["config"] = "(vm (name x))";
    EXPECT_EQ(Dispatcher::lane_of(create), "domain x");
    create.fields["config"] = "(vm (name y))";
    EXPECT_EQ(Dispatcher::lane_of(create), "domain y") << "creations of different domains do not wait for each other";
    Request restore = post("/xend/domain", "restore");
    restore.fields["file"] = "/a";
    const std::string one = Dispatcher::lane_of(restore);
    restore.fields["file"] = "/b";
    EXPECT_NE(Dispatcher::lane_of(restore), one) << "nor those of different files";
    EXPECT_NE(one, "");
}

}  // namespace
