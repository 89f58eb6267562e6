// SPDX-License-Identifier: Apache-2.0
// link: xenstored_core
/// Requests of two hostile guests and a tool, as the fuzzer pleases; afterwards the store must be consistent, and its
/// snapshot must give the same store again.
#include <cstdlib>

#include "toolstack/xenstored/server.hpp"

namespace {

using namespace xenstored;

struct NoEffects final : Effects {
    base::Outcome<RingStart> attach_ring(DomId, base::Gfn, base::Port, Attach) override { return RingStart{}; }
    void detach_ring(DomId) override {}
    DomainState domain_state(DomId) override { return {true, false, false}; }
    void log(const std::string&) override {}
};

void ask(Server& server, Connection& c, uint32_t type, uint32_t tx, std::string_view payload) {
    const proto::XsMessage m{{type, 1, tx, static_cast<uint32_t>(payload.size())}, std::as_bytes(std::span(payload))};
    server.handle(c, m);
    c.out.clear();
}

std::string dump(const Server& server) {
    std::string all;
    for_each_below("/", server.database().tree().root(), [&](const std::string& path, const NodeRef& n) {
        all += path + "=" + n->value + ";";
        for (const Permission& p : *n->permissions) all += to_string(p);
    });
    return all;
}

}  // namespace

/// Input: groups of (client and type, transaction, length, payload).
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    NoEffects effects;
    Quota quota;
    quota.nodes = 30;
    Server server(quota, effects, 1);
    Connection& tool = server.add_socket();
    using namespace std::string_view_literals;
    ask(server, tool, xen::XS_INTRODUCE, 0, "1\0001\0001\0"sv);
    ask(server, tool, xen::XS_INTRODUCE, 0, "2\0001\0001\0"sv);
    ask(server, tool, xen::XS_SET_PERMS, 0, "/\0b0\0"sv);
    while (size >= 3) {
        const uint8_t who = data[0] >> 6;
        const uint32_t type = data[0] & 31;
        const uint32_t tx = data[1];
        const size_t length = std::min<size_t>(data[2], size - 3);
        const std::string payload(reinterpret_cast<const char*>(data + 3), length);
        const auto domain = server.domains().find(who == 2 ? 2 : 1);
        Connection* guest = domain == server.domains().end() ? nullptr : domain->second.ring;
        ask(server, who == 0 || guest == nullptr ? tool : *guest, type, tx, payload);
        data += 3 + length;
        size -= 3 + length;
    }
    if (!server.database().check().empty()) std::abort();
    std::string file = journal_header("b");
    for (const auto& group : server.snapshot([](DomId) { return RingResume{}; })) file += group;
    Server again(quota, effects, 1);
    again.recover(file, "b");
    if (dump(again) != dump(server)) std::abort();
    return 0;
}
