// SPDX-License-Identifier: Apache-2.0
// link: xenstored_core
/// The daemon dies at every stage of its turn, over and over, while guests work: each request must be done exactly once
/// and answered exactly once, and every event must arrive exactly once.
#include <cstring>
#include <random>

#include "tests/host/xenstored_harness.hpp"
#include "toolstack/xenstored/ring_session.hpp"

namespace xenstored::test {
namespace {

constexpr const char* boot = "boot-1";

struct alignas(4096) Page {
    char bytes[4096] = {};
    xen::XenstoreDomainInterface& ring() { return *reinterpret_cast<xen::XenstoreDomainInterface*>(bytes); }
};

/// What outlives the daemon.
struct Machine {
    std::map<uint16_t, Page> pages;
    std::string journal = journal_header(boot);
};

/// One daemon process.
struct Life final : Effects {
    explicit Life(Machine& machine) : m(machine), server(Quota{}, *this, 1000) {
        if (server.recover(m.journal, boot) == 0) ADD_FAILURE() << "the journal is unreadable";
        for (auto& [id, domain] : server.domains()) {
            if (domain.ring == nullptr) continue;
            const auto start = attach_ring(DomId{id}, domain.record.gfn, domain.record.port, Attach::as_it_is);
            const RingResume r = server.resume_of(DomId{id});
            sessions[id]->resume(r.consumed, r.partial);
            EXPECT_TRUE(static_cast<bool>(server.resume_output(DomId{id}, start->response_producer)));
        }
        rewrite();
    }
    base::Outcome<RingStart> attach_ring(DomId d, base::Gfn, base::Port, Attach how) override {
        sessions[d.raw] = std::make_unique<RingSession>(d, m.pages[d.raw].bytes);
        StoreRing& ring = sessions[d.raw]->ring();
        how == Attach::fresh ? ring.start_fresh() : ring.adopt();
        return RingStart{ring.consumed(), ring.produced()};
    }
    void detach_ring(DomId d) override { sessions.erase(d.raw); }
    DomainState domain_state(DomId) override { return {true, false, false}; }
    void log(const std::string&) override {}

    void rewrite() {
        (void)server.journal().take_group();
        m.journal = journal_header(boot);
        for (const std::string& g : server.snapshot([&](DomId d) { return sessions.at(d.raw)->state(); })) m.journal += g;
    }
    void flush() { m.journal += server.journal().take_group(); }
    Connection& ring(uint16_t id) { return *server.domains().at(id).ring; }

    /// One turn for domain `id`; false if it died on the way (at stage `death`, 0 = it lives).
    bool turn(uint16_t id, int death, std::mt19937& random) {
        RingSession& session = *sessions.at(id);
        if (death == 1) return false;
        session.serve(server, ring(id));
        if (death == 2) return false;
        const std::string group = server.journal().take_group();
        if (death == 3) {
            m.journal += group.substr(0, group.empty() ? 0 : random() % group.size());
            return false;
        }
        m.journal += group;
        if (death == 4) return false;
        session.publish();
        if (death == 5) return false;
        session.transmit(server, ring(id));
        server.catch_up(ring(id));
        return death != 6;
    }

    Machine& m;
    Server server;
    std::map<uint16_t, std::unique_ptr<RingSession>> sessions;
};

/// A guest that writes numbered nodes below its own watch and checks what comes back.
class Guest {
public:
    Guest(Page& page, std::mt19937& random) : ring_(page.ring()), random_(random) {}

    void work() {
        if (out_.empty() && next_ < 200) request();
        send();
        receive();
    }
    bool done() const { return next_ == 200 && replies_ == 200 && events_.size() == 199 && out_.empty(); }
    std::string state() const {
        return "sent " + std::to_string(next_) + " replies " + std::to_string(replies_) + " events " +
               std::to_string(events_.size());
    }

private:
    void request() {
        std::string payload = next_ == 0 ? words({"data", "tok"}) : words({"data/" + std::to_string(next_)});
        if (next_ > 0) payload += std::string(next_ % 7 == 0 ? 1900 : random_() % 40, 'v');
        const uint32_t type = next_ == 0 ? xen::XS_WATCH : xen::XS_WRITE;
        std::string bytes(proto::xs_header_size + payload.size(), '\0');
        ASSERT_TRUE(static_cast<bool>(proto::encode_message(std::as_writable_bytes(std::span(bytes)), type, next_, 0, payload)));
        out_ = bytes;
        ++next_;
    }
    void send() {
        const uint32_t used = ring_.req_prod - ring_.req_cons;
        ASSERT_LE(used, 1024u);
        size_t n = std::min<size_t>({out_.size(), 1024 - used, 1 + random_() % 700});
        for (size_t i = 0; i < n; ++i) ring_.req[(ring_.req_prod + i) % 1024] = out_[i];
        ring_.req_prod += static_cast<uint32_t>(n);
        out_.erase(0, n);
    }
    void receive() {
        const uint32_t used = ring_.rsp_prod - ring_.rsp_cons;
        ASSERT_LE(used, 1024u);
        const size_t n = std::min<size_t>(used, random_() % 200);
        for (size_t i = 0; i < n; ++i) in_ += ring_.rsp[(ring_.rsp_cons + i) % 1024];
        ring_.rsp_cons += static_cast<uint32_t>(n);
        for (;;) {
            const auto found = proto::peek_message(std::as_bytes(std::span(in_.data(), in_.size())));
            ASSERT_TRUE(static_cast<bool>(found));
            if (!found.value().complete) return;
            const auto& message = found.value().message;
            if (message.header.type == xen::XS_WATCH_EVENT) {
                const std::string path(proto::XsStrings(message.text()).next());
                if (path != "data") { EXPECT_TRUE(events_.insert(path).second) << path << " was told twice"; }
            } else {
                EXPECT_EQ(message.header.req_id, replies_) << "an answer is missing or double";
                EXPECT_NE(message.header.type, xen::XS_ERROR) << message.text();
                ++replies_;
            }
            in_.erase(0, message.size());
        }
    }

    xen::XenstoreDomainInterface& ring_;
    std::mt19937& random_;
    std::string out_, in_;
    uint32_t next_ = 0, replies_ = 0;
    std::set<std::string> events_;
};

void introduce(Life& life, uint16_t id) {
    Connection& tool = life.server.add_socket();
    const auto ask = [&](uint32_t type, const std::string& payload) {
        proto::XsMessage m{{type, 1, 0, static_cast<uint32_t>(payload.size())},
                           std::as_bytes(std::span(payload.data(), payload.size()))};
        life.server.handle(tool, m);
    };
    const std::string home = "/local/domain/" + std::to_string(id);
    ask(xen::XS_INTRODUCE, words({std::to_string(id), "1", "1"}));
    ask(xen::XS_MKDIR, words({home + "/data"}));
    ask(xen::XS_SET_PERMS, words({home + "/data", "n" + std::to_string(id)}));
    life.server.remove(tool);
    life.flush();
}

TEST(Recovery, DyingAtAnyStageLosesAndDoublesNothing) {
    for (unsigned seed = 1; seed <= 8; ++seed) {
        std::mt19937 random(seed);
        Machine machine;
        auto life = std::make_unique<Life>(machine);
        std::map<uint16_t, Guest> guests;
        for (const uint16_t id : {uint16_t{1}, uint16_t{2}}) {
            introduce(*life, id);
            guests.emplace(id, Guest(machine.pages[id], random));
        }
        int deaths = 0;
        for (int step = 0; step < 200000; ++step) {
            bool all = true;
            for (auto& [id, guest] : guests) {
                guest.work();
                all = all && guest.done();
                const int death = random() % 6 == 0 ? static_cast<int>(1 + random() % 6) : 0;
                if (!life->turn(id, death, random)) {
                    ++deaths;
                    life.reset();
                    life = std::make_unique<Life>(machine);
                } else if (random() % 50 == 0) {
                    life->rewrite();
                }
            }
            if (all) break;
        }
        EXPECT_GT(deaths, 50);
        for (auto& [id, guest] : guests) EXPECT_TRUE(guest.done()) << "seed " << seed << " domain " << id << " " << guest.state();
        EXPECT_TRUE(life->server.database().check().empty());
    }
}

TEST(Recovery, EveryPrefixOfTheJournalGivesAnEarlierState) {
    Harness h;
    Connection& tool = h.socket();
    std::string file = journal_header(boot);
    std::vector<std::pair<size_t, std::string>> states{{file.size(), h.dump()}};
    std::mt19937 random(3);
    for (int i = 0; i < 60; ++i) {
        const std::string path = "/n" + std::to_string(random() % 5) + "/m" + std::to_string(random() % 5);
        switch (random() % 4) {
            case 0: h.remove(tool, path); break;
            case 1: h.chmod(tool, path, {"n3", "r4"}); break;
            default: h.write(tool, path, std::to_string(i));
        }
        file += h.server.journal().take_group();
        states.emplace_back(file.size(), h.dump());
    }
    for (size_t cut = 0; cut <= file.size(); ++cut) {
        Harness again;
        const size_t used = again.server.recover(std::string_view(file).substr(0, cut), boot);
        if (cut < states[0].first) {
            EXPECT_EQ(used, 0u);
            continue;
        }
        std::string expected;
        for (const auto& [size, dump] : states) {
            if (size <= cut) expected = dump;
        }
        ASSERT_EQ(again.dump(), expected) << "cut at " << cut;
        ASSERT_TRUE(again.server.database().check().empty());
    }
}

TEST(Recovery, DamageIsNoticedAndNothingCrashes) {
    Harness h;
    Connection& tool = h.socket();
    std::string file = journal_header(boot);
    for (int i = 0; i < 20; ++i) {
        h.write(tool, "/n" + std::to_string(i), "value");
        file += h.server.journal().take_group();
    }
    std::mt19937 random(5);
    for (int round = 0; round < 400; ++round) {
        std::string damaged = file;
        damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 8);
        Harness again;
        again.server.recover(damaged, boot);
        ASSERT_TRUE(again.server.database().check().empty());
    }
    Harness other_boot;
    EXPECT_EQ(other_boot.server.recover(file, "boot-2"), 0u);
}

TEST(Recovery, KeepsDomainsWatchesSpecialsAndDoomsTransactions) {
    Harness h;
    Connection& tool = h.socket();
    Connection& guest = h.domain(3);
    h.write(tool, "/local/domain/3/data", "");
    h.chmod(tool, "/local/domain/3/data", {"n3"});
    h.chmod(tool, "@releaseDomain", {"n0", "r3"});
    h.watch(guest, "data", "t");
    const uint32_t tx = h.begin(guest);
    EXPECT_EQ(h.write(guest, "data/x", "1", tx), "");
    std::string file = journal_header(boot);
    for (const std::string& g : h.server.snapshot([](DomId) { return RingResume{}; })) file += g;

    Harness again;
    again.effects.states[3] = {true, false, false};
    ASSERT_GT(again.server.recover(file, boot), 0u);
    EXPECT_EQ(again.dump(), h.dump());
    Connection& back = *again.server.domains().at(3).ring;
    EXPECT_EQ(again.read(back, "data/x", tx), "!ENOENT");  // its snapshot is lost,
    EXPECT_EQ(again.write(back, "data/x", "1", tx), "");   // it may go on,
    EXPECT_EQ(again.end(back, tx), "EAGAIN");              // and is told to begin again
    EXPECT_NE(again.begin(back), tx);
    again.take_events(back);
    Connection& tool2 = again.socket();
    again.write(tool2, "/local/domain/3/data/y", "2");
    EXPECT_EQ(again.take_events(back), std::vector<std::string>{"data/y|t"});
    EXPECT_EQ(again.ask(back, xen::XS_GET_PERMS, words({"@releaseDomain"})).error(), "");
}

TEST(Rings, HostileIndexesDropTheRingOnly) {
    std::mt19937 random(11);
    Machine machine;
    Life life(machine);
    introduce(life, 1);
    introduce(life, 2);
    machine.pages[1].ring().req_prod = 5000;
    EXPECT_TRUE(life.turn(1, 0, random));
    EXPECT_TRUE(life.sessions.at(1)->broken());
    EXPECT_EQ(machine.pages[1].ring().error, xen::XENSTORE_ERROR_RINGIDX);
    EXPECT_FALSE(life.sessions.at(1)->has_work(life.ring(1)));
    Guest good(machine.pages[2], random);
    for (int i = 0; i < 20000 && !good.done(); ++i) {
        good.work();
        life.turn(2, 0, random);
        life.turn(1, 0, random);
    }
    EXPECT_TRUE(good.done());
}

TEST(Rings, ATooLongMessageIsAProtocolError) {
    std::mt19937 random(11);
    Machine machine;
    Life life(machine);
    introduce(life, 1);
    auto& ring = machine.pages[1].ring();
    const xen::XsdSockMsg header{xen::XS_WRITE, 0, 0, 4097};
    std::memcpy(ring.req, &header, sizeof header);
    ring.req_prod = sizeof header;
    life.turn(1, 0, random);
    EXPECT_EQ(ring.error, xen::XENSTORE_ERROR_PROTO);
}

TEST(Rings, GuestMayAskForANewConnection) {
    std::mt19937 random(11);
    Machine machine;
    Life life(machine);
    introduce(life, 1);
    auto& ring = machine.pages[1].ring();
    ring.req_prod = 5000;
    life.turn(1, 0, random);
    ring.connection = xen::XENSTORE_RECONNECT;
    life.turn(1, 0, random);
    EXPECT_EQ(ring.connection, xen::XENSTORE_CONNECTED);
    EXPECT_EQ(ring.error, xen::XENSTORE_ERROR_NONE);
    EXPECT_EQ(ring.req_prod, 0u);
    Guest guest(machine.pages[1], random);
    for (int i = 0; i < 20000 && !guest.done(); ++i) {
        guest.work();
        life.turn(1, 0, random);
    }
    EXPECT_TRUE(guest.done());
}

/// Whatever stands in the page, a turn ends and nothing is read or written outside it.
TEST(Rings, RandomPagesAreHarmless) {
    std::mt19937 random(7);
    for (int round = 0; round < 300; ++round) {
        Machine machine;
        Life life(machine);
        introduce(life, 1);
        for (int step = 0; step < 20; ++step) {
            Page& page = machine.pages[1];
            const size_t from = random() % 2 == 0 ? 2048 : 0;
            for (int i = 0; i < 40; ++i)
                page.bytes[from + random() % (2080 - from)] = static_cast<char>(random() % 4 == 0 ? random() : 0);
            life.turn(1, 0, random);
        }
        ASSERT_TRUE(life.server.database().check().empty());
    }
}

}  // namespace
}  // namespace xenstored::test
