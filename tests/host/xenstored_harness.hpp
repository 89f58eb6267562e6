// SPDX-License-Identifier: Apache-2.0
/// A store server without sockets or a hypervisor: requests as function calls, domains as entries of a map.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "toolstack/xenstored/server.hpp"

namespace xenstored::test {

/// Domains exist when the test says so; rings attach without a page.
struct FakeEffects final : Effects {
    std::map<uint16_t, DomainState> states;
    std::map<uint16_t, RingStart> attached;
    std::vector<std::string> lines;

    base::Outcome<RingStart> attach_ring(DomId domid, base::Gfn, base::Port, Attach) override {
        if (!states[domid.raw].exists) return base::fail(Errc::inval, "no such domain");
        attached[domid.raw] = {};
        return RingStart{};
    }
    void detach_ring(DomId domid) override { attached.erase(domid.raw); }
    DomainState domain_state(DomId domid) override { return states[domid.raw]; }
    void log(const std::string& line) override { lines.push_back(line); }
};

struct Answer {
    uint32_t type = 0;
    std::string payload;
    bool ok() const { return type != xen::XS_ERROR; }
    /// "ENOENT", or "" for success.
    std::string error() const { return ok() ? "" : payload.substr(0, payload.find('\0')); }
};

inline std::string words(std::initializer_list<std::string> list) {
    std::string payload;
    for (const std::string& w : list) payload += w + '\0';
    return payload;
}

class Harness {
public:
    explicit Harness(const Quota& quota = {}) : server(quota, effects, 1000) {}

    /// A domain that exists and is introduced; its ring's connection.
    Connection& domain(uint16_t id) {
        effects.states[id] = {true, false, false};
        Connection& tool = server.add_socket();
        EXPECT_EQ(ask(tool, xen::XS_INTRODUCE, words({std::to_string(id), "1", "1"})).error(), "");
        server.remove(tool);
        return *server.domains().at(id).ring;
    }
    Connection& socket() { return server.add_socket(); }

    /// Sends one request; the reply, after keeping the events that came with it.
    Answer ask(Connection& c, uint32_t type, const std::string& payload, uint32_t tx = 0) {
        proto::XsMessage m{{type, 7, tx, static_cast<uint32_t>(payload.size())},
                           std::as_bytes(std::span(payload.data(), payload.size()))};
        server.handle(c, m);
        drain();
        Answer a = replies[c.number].front();
        replies[c.number].pop_front();
        return a;
    }
    /// Takes everything out of every outbox.
    void drain() {
        for (const uint64_t number : server.take_touched()) {
            Connection* c = server.find(number);
            if (c == nullptr) continue;
            while (!c->out.empty()) {
                buffers[number] += c->out.front();
                c->out.consume(c->out.front().size());
            }
            parse(number);
        }
    }
    void parse(uint64_t number) {
        std::string& in = buffers[number];
        for (;;) {
            const auto found = proto::peek_message(std::as_bytes(std::span(in.data(), in.size())));
            ASSERT_TRUE(static_cast<bool>(found));
            if (!found.value().complete) return;
            const auto& m = found.value().message;
            if (m.header.type == xen::XS_WATCH_EVENT) {
                proto::XsStrings s(m.text());
                const std::string path(s.next());
                events[number].push_back(path + "|" + std::string(s.next()));
            } else {
                EXPECT_EQ(m.header.req_id, 7u);
                replies[number].push_back({m.header.type, std::string(m.text())});
            }
            in.erase(0, m.size());
        }
    }
    /// Events since the last call, as "path|token".
    std::vector<std::string> take_events(Connection& c) {
        drain();
        return std::exchange(events[c.number], {});
    }

    std::string write(Connection& c, const std::string& path, const std::string& value, uint32_t tx = 0) {
        return ask(c, xen::XS_WRITE, path + '\0' + value, tx).error();
    }
    /// The value, or "!ENOENT".
    std::string read(Connection& c, const std::string& path, uint32_t tx = 0) {
        const Answer a = ask(c, xen::XS_READ, words({path}), tx);
        return a.ok() ? a.payload : "!" + a.error();
    }
    std::string remove(Connection& c, const std::string& path, uint32_t tx = 0) {
        return ask(c, xen::XS_RM, words({path}), tx).error();
    }
    std::string mkdir(Connection& c, const std::string& path, uint32_t tx = 0) {
        return ask(c, xen::XS_MKDIR, words({path}), tx).error();
    }
    /// Children joined by commas, or "!ENOENT".
    std::string list(Connection& c, const std::string& path, uint32_t tx = 0) {
        const Answer a = ask(c, xen::XS_DIRECTORY, words({path}), tx);
        if (!a.ok()) return "!" + a.error();
        std::string all;
        proto::XsStrings s(a.payload);
        while (!s.empty()) all += (all.empty() ? "" : ",") + std::string(s.next());
        return all;
    }
    std::string chmod(Connection& c, const std::string& path, std::initializer_list<std::string> modes, uint32_t tx = 0) {
        return ask(c, xen::XS_SET_PERMS, words({path}) + words(modes), tx).error();
    }
    std::string watch(Connection& c, const std::string& path, const std::string& token) {
        return ask(c, xen::XS_WATCH, words({path, token})).error();
    }
    uint32_t begin(Connection& c) {
        const Answer a = ask(c, xen::XS_TRANSACTION_START, words({""}));
        EXPECT_TRUE(a.ok()) << a.error();
        return a.ok() ? static_cast<uint32_t>(std::stoul(a.payload)) : 0;
    }
    std::string end(Connection& c, uint32_t tx, const char* how = "T") {
        return ask(c, xen::XS_TRANSACTION_END, words({how}), tx).error();
    }
    /// Path, value and permissions of every node, one per line.
    std::string dump() const {
        std::string all;
        for_each_below("/", server.database().tree().root(), [&](const std::string& path, const NodeRef& node) {
            all += path + "=" + node->value + "(";
            for (const Permission& p : *node->permissions) all += to_string(p) + " ";
            all += ")\n";
        });
        return all;
    }

    FakeEffects effects;
    Server server;
    std::map<uint64_t, std::string> buffers;
    std::map<uint64_t, std::deque<Answer>> replies;
    std::map<uint64_t, std::vector<std::string>> events;
};

}  // namespace xenstored::test
