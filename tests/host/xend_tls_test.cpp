// SPDX-License-Identifier: Apache-2.0
// link: xend_fakes xendrelocation xmverbs
// Lines between two hosts that nobody else reads or changes, and who is let in by them.
#include "toolstack/xend/adapters/tls_lines.hpp"

#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <csignal>
#include <future>

#include "toolstack/xend/server/relocation_server.hpp"
#include "toolstack/xend/server/router.hpp"
#include "toolstack/xm/app.hpp"
#include "xend_two_hosts.hpp"

namespace {

using base::Outcome;
using fakes::Folder;
using fakes::Message;
using fakes::text_of;
using service::Fd;
using xend::Caller;
using xend::HostKey;
using xend::HostKeys;
using xend::KnownHost;
using xend::Speech;
using xend::TlsLine;
namespace wire = proto::relocation;
using Standing = KnownHost::Standing;
using Purpose = TlsLine::Purpose;
using namespace std::chrono_literals;

std::pair<Fd, Fd> two_ends() {
    std::signal(SIGPIPE, SIG_IGN);  // as xend does
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    return {Fd(ends[0]), Fd(ends[1])};
}

/// A host's keys, in a folder of their own.
struct Keys {
    Folder folder;
    HostKeys all{(folder.path / "hosts.db").string()};
    xend::KeyId id() { return *all.own()->id(); }
    /// As if somebody had compared the words.
    void know(const std::string& name, const xend::KeyId& key) {
        all.propose({name, "10.0.0.9", {}, {}}, key, Standing::asked);
        ASSERT_TRUE(all.accept(xend::words_of(id(), key)));
    }
};

using MaybeLine = Outcome<std::unique_ptr<TlsLine>>;

/// Both ends of a line; either may have failed.
std::pair<MaybeLine, MaybeLine> shake(const HostKey& client, const HostKey& server, Purpose purpose = Purpose::transfer) {
    auto [near, far] = two_ends();
    auto taken = std::async(std::launch::async, [&, fd = std::make_shared<Fd>(std::move(far))] {
        return TlsLine::open(std::move(*fd), "client", server, TlsLine::Side::server);
    });
    auto line = TlsLine::open(std::move(near), "server", client, TlsLine::Side::client, purpose);
    return {std::move(line), taken.get()};
}

TEST(TlsKeys, SixWordsStandForTwoKeys) {
    Keys a, b, c;
    const std::string words = xend::words_of(a.id(), b.id());
    EXPECT_EQ(words, xend::words_of(b.id(), a.id()));
    EXPECT_EQ(words.size(), 6 * 5 + 5U) << words;
    // Who stands between two hosts shows other ones to each.
    EXPECT_NE(xend::words_of(a.id(), c.id()), xend::words_of(c.id(), b.id()));
    EXPECT_NE(xend::words_of(a.id(), c.id()), words);
}

TEST(TlsKeys, AKeyOutlivesXendAndGoesWhenItHasExpired) {
    Keys a;
    const auto id = a.id();
    EXPECT_EQ(*HostKeys((a.folder.path / "hosts.db").string()).own()->id(), id);
    EXPECT_FALSE(a.all.own()->expired());
    const HostKey old = *HostKey::make(-1);
    EXPECT_TRUE(old.expired());
    constexpr std::array<const char*, 1> any = {""};
    ASSERT_TRUE(xend::SqliteFile((a.folder.path / "hosts.db").string(), any)
                    .write({{"UPDATE own SET key = ?1, certificate = ?2", {old.key, old.certificate}}}));
    HostKeys next((a.folder.path / "hosts.db").string());
    EXPECT_FALSE(next.own()->expired());
    EXPECT_NE(*next.own()->id(), *old.id());
}

/// What nobody here has compared is worth nothing; who is forgotten is nobody.
TEST(TlsKeys, OnlyAnOperatorPairs) {
    Keys a, b;
    a.all.propose({"b.example", "10.0.0.2", {}, {}}, b.id(), Standing::asks);
    const std::string words = xend::words_of(a.id(), b.id());
    EXPECT_FALSE(*a.all.paired(b.id()));
    EXPECT_EQ(text_of(a.all.accept("nothing like it")), "No host that is to be paired has these words: see 'xm host-list'");
    ASSERT_TRUE(a.all.accept("  " + words + " "));
    EXPECT_EQ((*a.all.paired(b.id()))->name, "b.example");
    EXPECT_EQ(*a.all.key_of("10.0.0.2"), b.id());
    EXPECT_FALSE(*a.all.key_of("10.0.0.3"));
    HostKeys next((a.folder.path / "hosts.db").string());
    EXPECT_EQ(next.list()->size(), 1U) << "it is there for the next xend";
    // It was made anew: its old key is nobody's.
    Keys again;
    a.know("b.example", again.id());
    EXPECT_FALSE(*a.all.paired(b.id()));
    EXPECT_TRUE(*a.all.paired(again.id()));
    ASSERT_TRUE(a.all.forget("b.example"));
    EXPECT_FALSE(*a.all.any());
    EXPECT_EQ(text_of(a.all.forget("b.example")), "Host 'b.example' is not known: see 'xm host-list'");
}

/// Strangers can ask as often as they like: what an operator here asked for stays.
TEST(TlsKeys, StrangersPushOutStrangersAlone) {
    Keys a;
    a.all.propose({"b", "10.0.0.2", {}, {}}, {1}, Standing::asked);
    for (uint8_t i = 2; i < 24; ++i) a.all.propose({"x", "x", {}, {}}, {i}, Standing::asks);
    EXPECT_EQ(a.all.list()->size(), 17U);
    EXPECT_TRUE(a.all.accept(xend::words_of(a.id(), {1})));
}

TEST(TlsLine, WhatIsSaidArrives) {
    Keys a, b;
    auto [client, server] = shake(*a.all.own(), *b.all.own());
    ASSERT_TRUE(client && server) << text_of(client) << text_of(server);
    EXPECT_EQ((*client)->key(), b.id());
    EXPECT_EQ((*server)->key(), a.id());
    EXPECT_FALSE((*server)->expired());
    wire::Image image{7, std::vector<std::byte>(3'000'000)};
    for (size_t i = 0; i < image.bytes.size(); ++i) image.bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
    const auto heard = [](TlsLine& line) {
        auto message = line.hear(5s);
        EXPECT_TRUE(message) << text_of(message);
        return message ? std::move(message).take() : Message(wire::Cancel{});
    };
    {
        const auto saying = std::async(std::launch::async, [&line = **client, &image] {
            EXPECT_TRUE(line.say(wire::Hello{}));
            EXPECT_TRUE(line.say(image));
        });
        EXPECT_EQ(heard(**server), Message(wire::Hello{}));
        EXPECT_EQ(heard(**server), Message(image));
    }
    EXPECT_TRUE((*server)->say(wire::Accept{}));
    EXPECT_EQ(heard(**client), Message(wire::Accept{}));
    EXPECT_EQ(text_of((*client)->hear(20ms)), "the other host is silent");
    client->reset();
    EXPECT_EQ(text_of((*server)->hear(5s)), "the other host closed the connection");
}

/// Whoever shows no key, speaks an older TLS or none at all, or does not say what it wants comes no further.
TEST(TlsLine, StrangersComeNoFurther) {
    Keys b;
    const HostKey own = *b.all.own();
    const auto attempt = [&](const std::function<void(SSL_CTX*)>& change, bool says_what_for) {
        auto [near, far] = two_ends();
        auto taken = std::async(std::launch::async, [&own, fd = std::make_shared<Fd>(std::move(far))] {
            return TlsLine::open(std::move(*fd), "client", own, TlsLine::Side::server);
        });
        SSL_CTX* const context = SSL_CTX_new(TLS_method());
        change(context);
        SSL* const ssl = SSL_new(context);
        SSL_set_fd(ssl, near.get());
        const std::string name = "\x13xenolith-transfer/1";
        if (says_what_for)
            SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(name.data()), static_cast<unsigned>(name.size()));
        SSL_connect(ssl);
        char byte = 0;
        SSL_read(ssl, &byte, 1);
        SSL_free(ssl);
        SSL_CTX_free(context);
        near = Fd();
        return text_of(taken.get());
    };
    const auto nothing = [](SSL_CTX*) {};
    EXPECT_EQ(attempt(nothing, true), "no encryption with it: the connection was lost: peer did not return a certificate");
    EXPECT_EQ(attempt([](SSL_CTX* c) { SSL_CTX_set_max_proto_version(c, TLS1_2_VERSION); }, true),
              "no encryption with it: the connection was lost: unsupported protocol");
    const auto without = shake(own, own);
    EXPECT_TRUE(without.first && without.second) << "the same with a key";
    // Neither what it wants, nor a handshake at all.
    EXPECT_FALSE(attempt(nothing, false).empty());
    auto [near, far] = two_ends();
    const std::string noise = "\x16\x03\x01 this is no handshake, but begins like one";
    ASSERT_GT(::send(near.get(), noise.data(), noise.size(), MSG_NOSIGNAL), 0);
    near = Fd();
    EXPECT_FALSE(TlsLine::open(std::move(far), "client", own, TlsLine::Side::server));
}

/// What the source asks of who answers.
TEST(TlsLine, ASourceTellsNothingToStrangers) {
    Keys here, there, other;
    const HostKey expired = *HostKey::make(-1);
    const auto connect = [&](const HostKey& shown) {
        auto [near, far] = two_ends();
        auto taken = std::async(std::launch::async, [&, fd = std::make_shared<Fd>(std::move(far))] {
            const auto line = TlsLine::open(std::move(*fd), "client", shown, TlsLine::Side::server);
            return line ? text_of((*line)->hear(5s)) : text_of(line);
        });
        std::string why;
        {
            const auto line = xend::open_paired(std::move(near), "10.0.0.9", "there", here.all);
            why = text_of(line);
        }
        EXPECT_EQ(taken.get(), "the other host closed the connection") << "nothing was said";
        return why;
    };
    EXPECT_EQ(connect(*there.all.own()), "can't connect: there is not paired with this host: see 'xm host-pair'");
    here.know("there", there.id());
    EXPECT_EQ(connect(*there.all.own()), "");
    here.know("elsewhere", other.id());
    EXPECT_TRUE(connect(*other.all.own()).starts_with("can't connect: there shows another key than the one it was paired with"));
    here.know("there", *expired.id());
    EXPECT_EQ(connect(expired), "can't connect: there shows a key that has expired: restart xend there, and pair the two anew");
}

/// A machine whose xend takes connections.
class TlsServer : public ::testing::Test {
protected:
    /// Connects to it by TLS, which loopback needs not.
    struct Lines final : migration::Lines {
        TlsServer& t;
        explicit Lines(TlsServer& test) : t(test) {}
        Outcome<std::unique_ptr<migration::Line>> connect(const std::string& host, uint16_t) override {
            auto connected = OTRY(xend::connect_to("127.0.0.1", t.settings.relocation_port));
            return xend::open_paired(std::move(connected.fd), connected.address, host, t.here_keys.all);
        }
    };

    TlsServer() {
        std::signal(SIGPIPE, SIG_IGN);
        settings.relocation_address = "127.0.0.1";
        settings.relocation_port = static_cast<uint16_t>(21000 + ::getpid() % 10000);
        loop = service::EventLoop::make().take();
    }
    void listen(const std::string& allowed = "") {
        settings.relocation_hosts = allowed;
        for (;; ++settings.relocation_port) {
            server = std::make_unique<xend::RelocationServer>(*loop, dispatcher, there.manager, settings, there_keys.all, asked);
            if (server->listen()) break;
        }
        thread = std::thread([this] { EXPECT_TRUE(loop->run()); });
    }
    ~TlsServer() override {
        dispatcher.finish();
        loop->post([this] { loop->stop(); });
        if (thread.joinable()) thread.join();
        server.reset();
    }
    Fd connect() { return std::move(xend::connect_to("127.0.0.1", settings.relocation_port).take().fd); }
    /// What it says to who begins with these bytes.
    std::string answer_to(const std::string& bytes) {
        const Fd fd = connect();
        EXPECT_GT(::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), 0);
        std::string out;
        pollfd wanted{fd.get(), POLLIN, 0};
        char part[512];
        while (::poll(&wanted, 1, 5000) == 1) {
            const ssize_t n = ::recv(fd.get(), part, sizeof part, MSG_DONTWAIT);
            if (n == 0 || (n < 0 && errno != EAGAIN)) break;
            if (n > 0) out.append(part, static_cast<size_t>(n));
        }
        return out;
    }

    xend::ServerSettings settings;
    xend::RelocationServer::Asked asked{xend::look_up_names, [](int) { return true; }};
    std::unique_ptr<service::EventLoop> loop;
    xend::Dispatcher dispatcher{[](const xend::Request&) { return xend::Reply{}; }};
    Keys here_keys, there_keys;
    Lines lines{*this};
    fakes::Host here{lines}, there{lines};
    std::unique_ptr<xend::RelocationServer> server;
    std::thread thread;
};

TEST_F(TlsServer, ADomainMovesBetweenPairedHostsAndNoOthers) {
    listen();
    ASSERT_TRUE(here.manager.create(here.demo(), xend::Run::now));
    here.stores.tree.write("/local/domain/1/control/feature-suspend", "1");
    const xend::MoveOrder order{"there", settings.relocation_port, false, 0};
    EXPECT_EQ(text_of(here.manager.migrate("demo", order)),
              "can't connect: there is not paired with this host: see 'xm host-pair'");
    xend::TlsHosts pairing(here_keys.all);
    const auto known = pairing.pair("127.0.0.1", settings.relocation_port);
    ASSERT_TRUE(known) << text_of(known);
    const auto asks = *there_keys.all.list();
    ASSERT_EQ(asks.size(), 1U);
    EXPECT_EQ(asks[0].words, known->words) << "nobody stands between them";
    EXPECT_EQ(asks[0].standing, Standing::asks);
    ASSERT_TRUE(pairing.accept(known->words));
    EXPECT_EQ(text_of(here.manager.migrate("demo", order)),
              "the other host refuses this one: it is not paired with this host ('xm host-pair')");
    EXPECT_TRUE(here.runs("demo"));
    ASSERT_TRUE(there_keys.all.accept(known->words));
    {
        const fakes::SuspendingGuest guest(here);
        const auto moved = here.manager.migrate("demo", order);
        EXPECT_TRUE(moved) << text_of(moved);
    }
    dispatcher.finish();
    EXPECT_EQ(here.count(), 0U);
    EXPECT_TRUE(there.runs("demo"));
    EXPECT_TRUE(here.transfers.load()->empty() && there.transfers.load()->empty());
}

/// As an operator does it.
TEST_F(TlsServer, XmPairsHosts) {
    listen();
    xend::TlsHosts pairing(here_keys.all);
    xend::Router router(here.manager, "", {}, &pairing);
    const auto xm = [&](const std::vector<std::string>& words) {
        std::ostringstream out, err;
        xm::World world{router, out, err, true, [](unsigned) {}, {}};
        return xm::run(world, words) == 0 ? out.str() : err.str();
    };
    const std::string head = "Name                           State    Words\n";
    EXPECT_EQ(xm({"host-list"}), head);
    const std::string port = std::to_string(settings.relocation_port);
    const std::string shown = xm({"host-pair", "-p", port, "127.0.0.1"});
    const std::string words = xend::words_of(here_keys.id(), there_keys.id());
    EXPECT_EQ(shown, "These words stand for the keys of this host and 127.0.0.1:\n    " + words +
                         "\nIf 'xm host-list' there shows the same, type on both:\n    xm host-accept " + words + "\n");
    EXPECT_EQ(xm({"host-list"}), head + "127.0.0.1                      asked    " + words + "\n");
    std::vector<std::string> typed = {"host-accept"};
    std::istringstream each(words);
    for (std::string word; each >> word;) typed.push_back(word);
    EXPECT_EQ(xm(typed), "Paired with 127.0.0.1.\n");
    EXPECT_EQ(xm({"host-list"}), head + "127.0.0.1                      paired   " + words + "\n");
    EXPECT_EQ(xm({"host-forget", "127.0.0.1"}), "");
    EXPECT_EQ(xm({"host-forget", "127.0.0.1"}), "Error: Host '127.0.0.1' is not known: see 'xm host-list'\n");
    EXPECT_EQ(xm({"host-pair", "-p", "0", "127.0.0.1"}), "Error: Invalid parameter: port\n");
    EXPECT_TRUE(xm({"host-pair", "-p", "1", "127.0.0.1"}).starts_with("Error: can't connect: "));
}

TEST_F(TlsServer, AKeyIsNotEnough) {
    listen("^elsewhere$");
    here_keys.know("there", there_keys.id());
    there_keys.know("here", here_keys.id());
    const auto line = lines.connect("there", 0);
    ASSERT_TRUE(line) << text_of(line);
    const auto answer = (*line)->hear(5s);
    ASSERT_TRUE(answer) << text_of(answer);
    ASSERT_TRUE(std::holds_alternative<wire::Refuse>(*answer));
    EXPECT_EQ(std::get<wire::Refuse>(*answer).reason,
              "the other host refuses this one: it is not among xend-relocation-hosts-allow");
}

TEST_F(TlsServer, AKeyHasItsTime) {
    listen();
    const HostKey expired = *HostKey::make(-1);
    there_keys.know("here", *expired.id());
    const auto line = TlsLine::open(connect(), "there", expired, TlsLine::Side::client);
    ASSERT_TRUE(line) << text_of(line);
    const auto answer = (*line)->hear(5s);
    ASSERT_TRUE(answer && std::holds_alternative<wire::Refuse>(*answer)) << text_of(answer);
    EXPECT_NE(std::get<wire::Refuse>(*answer).reason.find("its key has expired"), std::string::npos);
}

/// The first byte decides, and each is answered in its own words.
TEST_F(TlsServer, WhoSpeaksOtherwiseIsToldSo) {
    listen();
    EXPECT_TRUE(answer_to("receive\n").starts_with("(xend.err 'it is a xend of before Xen 4")) << answer_to("receive\n");
    EXPECT_TRUE(answer_to("(xfr.hello 1 0)").starts_with("(xend.err '"));
    EXPECT_NE(answer_to("GET / HTTP/1.0\r\n\r\n").find("it does not speak as a xend does"), std::string::npos);
    EXPECT_NE(answer_to(std::string("\1\0\0\0\x18\0\0\0", 8) + std::string(24, 'x')), "") << "ours, from this machine: a HELLO";
}

/// Strangers whose names nobody tells take half of the places.
TEST_F(TlsServer, NamesOfStrangersHoldUpStrangersAlone) {
    std::promise<void> told;
    std::atomic<int> asking = 0;
    asked.look_up = [&asking, wait = told.get_future().share()](int, xend::PeerNames&) {
        ++asking;
        wait.wait();
    };
    listen("^elsewhere$");
    std::vector<Fd> strangers;
    const std::string hello = std::string("\1\0\0\0\x18\0\0\0", 8);
    for (int i = 0; i < 4; ++i) {
        strangers.push_back(connect());
        ASSERT_GT(::send(strangers.back().get(), hello.data(), hello.size(), MSG_NOSIGNAL), 0);
    }
    for (int i = 0; i < 500 && asking < 4; ++i) std::this_thread::sleep_for(10ms);
    EXPECT_EQ(asking, 4);
    EXPECT_NE(answer_to(hello).find("hosts-allow"), std::string::npos) << "at once";
    EXPECT_EQ(asking, 4);
    told.set_value();
}

TEST(TlsPolicy, WhoIsServed) {
    const auto why = [](Speech speech, bool local, bool root, bool paired, bool plain, bool pairs = false, bool expired = false) {
        Caller caller;
        caller.peer.local = local;
        caller.root = root;
        caller.speech = speech;
        caller.paired = paired;
        caller.pairs = pairs;
        caller.expired = expired;
        return xend::RelocationServer::refusal(caller, plain);
    };
    for (const Speech speech : {Speech::tls, Speech::plain, Speech::classic, Speech::other})
        EXPECT_EQ(why(speech, true, false, true, true), "it is not root of this machine");
    EXPECT_EQ(why(Speech::plain, true, true, false, false), "");
    EXPECT_EQ(why(Speech::plain, false, false, false, true), "");
    EXPECT_EQ(why(Speech::plain, false, false, true, false),
              "it comes from another machine without encryption, and (xend-relocation-plain no) stands");
    EXPECT_EQ(why(Speech::tls, false, false, true, false), "");
    EXPECT_EQ(why(Speech::tls, false, false, false, true), "it is not paired with this host ('xm host-pair')");
    EXPECT_EQ(why(Speech::tls, false, false, false, false, true), "") << "it asks to be";
    EXPECT_EQ(why(Speech::tls, false, false, true, false, false, true),
              "its key has expired: it must be paired anew ('xm host-pair')");
    EXPECT_NE(why(Speech::classic, true, true, false, true), "");
    EXPECT_NE(why(Speech::other, true, true, false, true), "");
    EXPECT_EQ(xend::speech_of('r'), Speech::classic);
    EXPECT_EQ(xend::speech_of('('), Speech::classic);
    EXPECT_EQ(xend::speech_of(0x16), Speech::tls);
    EXPECT_EQ(xend::speech_of(0x01), Speech::plain);
    EXPECT_EQ(xend::speech_of(0x00), Speech::other);
}

}  // namespace
