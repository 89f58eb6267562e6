// SPDX-License-Identifier: Apache-2.0
/// CONTROL: commands to the daemon itself, for domain 0 only.
#include "toolstack/xenstored/server.hpp"

namespace xenstored {

using base::Err;

namespace {

struct NamedQuota {
    const char* name;
    size_t Quota::*field;
};

// Names as xenstore-control of Xen 4.17 knows them.
constexpr NamedQuota quotas[] = {
    {"nodes", &Quota::nodes},
    {"watches", &Quota::watches},
    {"transactions", &Quota::transactions},
    {"transaction-nodes", &Quota::transaction_nodes},
    {"transaction-bytes", &Quota::transaction_bytes},
    {"node-permissions", &Quota::permissions},
    {"node-size", &Quota::node_size},
    {"outstanding-bytes", &Quota::output_bytes},
};

std::vector<std::string> words_of(std::string_view payload) {
    std::vector<std::string> words;
    proto::XsStrings strings(payload);
    while (!strings.empty()) words.emplace_back(strings.next());
    return words;
}

Result<std::string> quota_command(Quota& quota, const std::vector<std::string>& words) {
    if (words.size() == 1) {
        std::string text;
        for (const NamedQuota& q : quotas) text += std::string(q.name) + ": " + std::to_string(quota.*q.field) + "\n";
        return text + '\0';
    }
    if (words.size() != 4 || words[1] != "set") return Err{Errc::inval};
    const uint32_t value = TRY(proto::parse_number(words[3]));
    for (const NamedQuota& q : quotas) {
        if (words[2] != q.name) continue;
        quota.*q.field = value;
        return std::string("OK\0", 3);
    }
    return Err{Errc::inval};
}

}  // namespace

Server::Reply Server::on_control(Connection&, const proto::XsMessage& message) {
    const std::vector<std::string> words = words_of(message.text());
    if (words.empty()) return Err{Errc::inval};
    const std::string& command = words[0];
    if (command == "help") return std::string("List of commands: check help log memreport print quota") + '\0';
    if (command == "check") {
        const auto wrong = database_.check();
        for (const auto& line : wrong) effects_.log("Check found: " + line);
        return (wrong.empty() ? std::string("OK") : std::to_string(wrong.size()) + " faults, see the log") + '\0';
    }
    if (command == "print" && words.size() == 2) {
        effects_.log("Control: " + words[1]);
        return std::string("OK\0", 3);
    }
    if (command == "log" && words.size() == 2 && (words[1] == "on" || words[1] == "off")) {
        tracing_ = words[1] == "on";
        return std::string("OK\0", 3);
    }
    if (command == "memreport") {
        size_t nodes = 0;
        for_each_below("/", database_.tree().root(), [&](const std::string&, const NodeRef&) { ++nodes; });
        return "nodes " + std::to_string(nodes) + ", watches " + std::to_string(watches_.size()) + ", connections " +
               std::to_string(connections_.size()) + ", domains " + std::to_string(domains_.size()) + '\0';
    }
    if (command == "quota") return quota_command(quota_, words);
    return Err{Errc::inval};
}

}  // namespace xenstored
