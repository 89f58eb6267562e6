// link: xend_fakes xendcore xendhttp xendxmlrpc xendxenapi xendrest
// SPDX-License-Identifier: Apache-2.0
// tsan
// GET /api/v1/events: what is told, to whom, and for how long.
#include "toolstack/xend/rest/events.hpp"

#include <poll.h>

#include <future>

#include "toolstack/config/domain_json.hpp"
#include "xend_rest_client.hpp"

namespace {

using fakes::ListeningXend;
using xend::rest::Events;
using xend::rest::Json;
using namespace std::chrono_literals;

// Each xend here is on the heap: on the stack its mutexes would have the addresses of another test's, and the thread sanitizer does not
// hear of a mutex's end there.

/// A reader over the socket.
struct Listener {
    service::Fd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    std::string text;
    explicit Listener(const ListeningXend& x, const std::string& fields = "", int buffer = 0) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::snprintf(address.sun_path, sizeof address.sun_path, "%s", x.socket().c_str());
        if (buffer != 0) ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
        EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        const std::string out = "GET /api/v1/events HTTP/1.1\r\n" + fields + "\r\n";
        EXPECT_EQ(::send(fd.get(), out.data(), out.size(), MSG_NOSIGNAL), static_cast<ssize_t>(out.size()));
    }
    /// Everything until `what` has come, or the end.
    bool hears(const std::string& what, std::chrono::seconds patience = 10s) {
        const auto until = std::chrono::steady_clock::now() + patience;
        while (text.find(what) == std::string::npos) {
            pollfd one{fd.get(), POLLIN, 0};
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
            if (left.count() <= 0 || ::poll(&one, 1, static_cast<int>(left.count())) <= 0) return false;
            char part[4096];
            const ssize_t n = ::recv(fd.get(), part, sizeof part, 0);
            if (n <= 0) return false;
            text.append(part, static_cast<size_t>(n));
        }
        return true;
    }
    bool opened() { return hears(": xend\n\n"); }
    /// The types, one behind the other.
    std::string types() const {
        std::string out;
        for (size_t at = 0; (at = text.find("\nevent: ", at)) != std::string::npos;) {
            at += 8;
            out += text.substr(at, text.find('\n', at) - at) + " ";
        }
        return out;
    }
    std::string last_id() const {
        const size_t at = text.rfind("id: ");
        return text.substr(at + 4, text.find('\n', at) - at - 4);
    }
};

TEST(RestEvents, TellWhatHappens) {
    const auto held = std::make_unique<ListeningXend>();
    ListeningXend& x = *held;
    Listener ears(x);
    ASSERT_TRUE(ears.opened()) << ears.text;
    EXPECT_NE(ears.text.find("HTTP/1.1 200 OK\r\n"), std::string::npos) << ears.text;
    EXPECT_NE(ears.text.find("Content-Type: text/event-stream\r\n"), std::string::npos);
    EXPECT_EQ(ears.text.find("Content-Length"), std::string::npos);
    const auto change = [&](const std::string& path, const std::string& body, const std::string& heard) {
        const auto answer = fakes::rest_ask(x, "POST /api/v1" + path + "\r\nContent-Type: application/json", body);
        EXPECT_EQ(answer.status, 202) << answer.text;
        EXPECT_TRUE(ears.hears(heard)) << heard << ears.text;
    };
    const std::string config = config::to_json(x.machine.demo());
    change("/domains", "{\"start\":true,\"config\":" + config + "}", "event: domain.started\n");
    change("/domains/demo/pause", "", "event: domain.paused\n");
    change("/domains/demo/unpause", "", "event: domain.unpaused\n");
    change("/domains/demo/rename", R"({"name":"other"})", "event: domain.renamed\n");
    change("/domains/other/vifs", R"({"specifier":"bridge=xenbr1"})", "event: device.attached\n");
    EXPECT_TRUE(ears.hears(R"("device":{"kind":"vif","id":1})")) << ears.text;
    const auto off = fakes::rest_ask(x, "DELETE /api/v1/domains/other/vifs/1?force=true");
    EXPECT_TRUE(ears.hears("event: device.detached\n")) << off.text << ears.text;
    // What somebody else does is heard too, a little later.
    ASSERT_TRUE(x.machine.manager.pause("other"));
    const size_t before = ears.text.size();
    EXPECT_TRUE(ears.hears("event: domain.paused\n")) << before;
    change("/domains/other/destroy", "", "event: domain.gone\n");
    EXPECT_EQ(ears.types().find("event: reset"), std::string::npos);
    EXPECT_NE(ears.text.find(R"("state":"succeeded")"), std::string::npos) << "jobs are told of too";
    // Each event is three fields on a line each, and its data one JSON.
    std::istringstream lines(ears.text.substr(ears.text.find(": xend\n\n") + 8));
    size_t events = 0;
    for (std::string id, type, data, empty;
         std::getline(lines, id) && std::getline(lines, type) && std::getline(lines, data) && std::getline(lines, empty);) {
        EXPECT_TRUE(id.starts_with("id: ") && type.starts_with("event: ") && data.starts_with("data: {") && empty.empty())
            << id << type << data;
        EXPECT_FALSE(Json::parse(data.substr(6), nullptr, false).is_discarded()) << data;
        ++events;
    }
    EXPECT_GT(events, 15U);
}

TEST(RestEvents, WhoComesBackMissesNothing) {
    const auto held = std::make_unique<ListeningXend>();
    ListeningXend& x = *held;
    std::string last;
    {
        Listener ears(x);
        ASSERT_TRUE(ears.opened());
        fakes::run_demo(x.machine, config::ExitAction::destroy, config::ExitAction::restart, config::ExitAction::destroy);
        ASSERT_TRUE(ears.hears("event: domain.started\n")) << ears.text;
        ASSERT_TRUE(ears.hears("\n\n"));
        last = ears.last_id();
    }
    ASSERT_TRUE(x.machine.manager.pause("demo"));
    Listener back(x, "Last-Event-ID: " + last + "\r\n");
    EXPECT_TRUE(back.hears("event: domain.paused\n")) << back.text;
    EXPECT_EQ(back.types(), "domain.paused ");
    for (const std::string& other :
         std::vector<std::string>{"x", "0-1", last + "0", last.substr(0, 9) + "18446744073709551615"}) {
        Listener lost(x, "Last-Event-ID: " + other + "\r\n");
        EXPECT_TRUE(lost.hears("event: reset\ndata: {}\n\n")) << other << lost.text;
    }
}

TEST(RestEvents, AsManyListenAsMayAndTheOthersAreTold) {
    const auto held = std::make_unique<ListeningXend>();
    ListeningXend& x = *held;
    std::vector<std::unique_ptr<Listener>> all;
    size_t in = 0, told = 0;
    for (int i = 0; i < 300; ++i) all.push_back(std::make_unique<Listener>(x));
    for (auto& one : all) {
        ASSERT_TRUE(one->hears("\r\n\r\n")) << one->text;
        if (one->text.find(" 200 OK") != std::string::npos) ++in;
        if (one->text.find(" 429 ") != std::string::npos && one->hears("may listen at once")) ++told;
    }
    EXPECT_EQ(in, 48U);
    EXPECT_EQ(told, 252U);
    EXPECT_EQ(fakes::rest_get(x, "/domains").status, 200) << "nobody else waits for them";
    all.clear();
    const auto until = std::chrono::steady_clock::now() + 10s;
    bool again = false;
    while (!again && std::chrono::steady_clock::now() < until) {
        Listener one(x);
        again = one.opened();
    }
    EXPECT_TRUE(again) << "when they have gone others may";
    EXPECT_EQ(fakes::rest_ask(x, "DELETE /api/v1/events").status, 405);
}

TEST(RestEvents, WhoDoesNotReadIsLetGo) {
    const auto held = std::make_unique<ListeningXend>();
    ListeningXend& x = *held;
    Listener deaf(x, "", 4096), ears(x);
    ASSERT_TRUE(deaf.opened() && ears.opened());
    fakes::run_demo(x.machine, config::ExitAction::destroy, config::ExitAction::restart, config::ExitAction::destroy);
    const std::string name(200, 'n');
    for (int i = 0; i < 4000; ++i) {  // more than the ring has, and than the socket
        const auto job = fakes::rest_ask(x, i % 2 == 0 ? "POST /api/v1/domains/demo/pause" : "POST /api/v1/domains/demo/unpause");
        ASSERT_EQ(job.status, 202) << job.text;
        const bool heard = i % 50 != 0 || ears.hears(job.body["id"].get<std::string>());
        ASSERT_TRUE(heard) << "who reads is told of all";
        if (ears.text.size() > 100'000) ears.text.clear();
    }
    EXPECT_FALSE(deaf.hears("no such text", 20s));
    EXPECT_LT(deaf.text.size(), 2'000'000U);
    char byte = 0;
    EXPECT_EQ(::recv(deaf.fd.get(), &byte, 1, MSG_DONTWAIT), 0) << "its connection was closed";
}

TEST(RestEvents, ALookThatHangsHasOneThread) {
    fakes::Machine m;
    xend::rest::Jobs jobs([&] { return m.clock.now; });
    Events events("life", [] {});
    xend::rest::Watch watch(m.manager, m.clock, jobs, events);
    watch.listen();
    const auto reader = events.subscribe("");
    std::atomic<int> back = 0;
    std::vector<std::future<void>> all;
    {
        const std::lock_guard hangs(m.hypervisor.mutex);
        for (int i = 0; i < 20; ++i) {
            all.push_back(std::async(std::launch::async, [&] {
                watch.glance();
                ++back;
            }));
        }
        const auto until = std::chrono::steady_clock::now() + 10s;
        while (back < 19 && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(1ms);
        EXPECT_EQ(back, 19);
        watch.listen();  // nor does another reader wait
        EXPECT_TRUE(events.subscribe(""));
    }
    for (auto& one : all) one.wait();
    EXPECT_EQ(back, 20);
}

TEST(RestEvents, AreKeptInAsMuchAsThereIsRoomFor) {
    size_t news = 0;
    Events events("life", [&] { ++news; }, {.events = 3, .bytes = 1000, .readers = 2, .part = 40});
    auto slow = events.subscribe("");
    for (int i = 0; i < 3; ++i) events.push("x", i);
    auto late = events.subscribe("life-1");
    ASSERT_TRUE(late);
    EXPECT_FALSE(events.subscribe("")) << "two are enough";
    std::string out;
    EXPECT_EQ(late->next(out), xend::Feed::State::open);
    EXPECT_EQ(late->next(out), xend::Feed::State::open);
    EXPECT_EQ(out, ": xend\n\nid: life-2\nevent: x\ndata: 1\n\nid: life-3\nevent: x\ndata: 2\n\n");
    events.push("x", 3);
    EXPECT_EQ(slow->next(out), xend::Feed::State::over) << "it has missed the first";
    slow.reset();
    EXPECT_EQ(events.readers(), 1U);
    events.push("long", std::string(2000, 'l'));
    out.clear();
    EXPECT_EQ(late->next(out), xend::Feed::State::over) << "a long one takes the room of all";
    events.restart();
    late = events.subscribe("life-5");
    out.clear();
    EXPECT_EQ(late->next(out), xend::Feed::State::open);
    EXPECT_NE(out.find("event: reset"), std::string::npos) << "nobody has looked meanwhile";
    EXPECT_EQ(news, 5U);
}

TEST(RestEvents, ACommentShowsThatSomebodyIsThere) {
    const auto held = std::make_unique<ListeningXend>();
    ListeningXend& x = *held;
    Listener ears(x);
    ASSERT_TRUE(ears.opened());
    ears.text.clear();
    EXPECT_TRUE(ears.hears(":\n\n", 20s));
}

}  // namespace
