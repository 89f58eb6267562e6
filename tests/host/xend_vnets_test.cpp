// link: xend_fakes xendcore xendhttp xmverbs
// SPDX-License-Identifier: Apache-2.0
// Virtual networks: what describes one, what is kept of them wherever xend is killed, and what domains have to do with them.
#include <gtest/gtest.h>

#include "toolstack/config/vnet_id.hpp"
#include "toolstack/xend/adapters/sqlite_vnets.hpp"
#include "toolstack/xend/server/dispatcher.hpp"
#include "toolstack/xend/server/router.hpp"
#include "toolstack/xm/app.hpp"
#include "xend_checks.hpp"

namespace {

using base::Errc;
using base::Outcome;
using config::VnetId;
using fakes::Machine;
using fakes::text_of;
using Step = xend::KeptVnet::Step;
using Names = std::vector<std::string>;

TEST(VnetId, HasOneFormAndNothingElseIsOne) {
    EXPECT_EQ(VnetId::parse("97")->text(), "97");
    EXPECT_EQ(VnetId::parse("97")->vni(), 0x97U);
    EXPECT_EQ(VnetId::parse("0:0:0:0:0:0:0:0097")->text(), "97");
    EXPECT_EQ(VnetId::parse("AAFF:0:0:0:0:0:77:88")->text(), "aaff:0:0:0:0:0:77:88");
    EXPECT_EQ(VnetId::parse("AAFF:0:0:0:0:0:77:88")->vni(), 0U);
    EXPECT_EQ(VnetId::parse("0:0:0:0:0:0:ff:ffff")->vni(), 0xffffffU);
    EXPECT_EQ(VnetId::parse("0:0:0:0:0:0:100:0")->vni(), 0U);
    for (const char* text : {"", "0", ":", "97:", ":97", "1:2", "0:0:0:0:0:0:0:0", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345",
                             "1:2:3:4:5:6:7:", "x", "-1", "+1", " 97", "97 ", "0x97", "1:2:3:4:5:6:7:88888"})
        EXPECT_FALSE(VnetId::parse(text)) << text;
}

std::string described(const std::string& text) {
    const auto vnet = xend::read_vnet(*proto::parse_sxp(text));
    return vnet ? proto::to_string(vnet->sxp()) : vnet.failure().text;
}

TEST(Vnet, WhatIsLeftOutIsFilledIn) {
    EXPECT_EQ(described("(vnet (id 97))"),
              "(vnet (id 97) (bridge vnet97) (vnetif vnif97) (security none) (vni 151) (group 224.10.0.1) (port 4789))");
    EXPECT_EQ(
        described("(vnet (id aaff:0:0:0:0:0:77:88) (vni 16777215) (port 8472) (dev eth1) (peers 10.0.0.1 10.0.0.2))"),
        "(vnet (id aaff:0:0:0:0:0:77:88) (bridge vnet16777215) (vnetif vnif16777215) (security none) (vni 16777215) (dev eth1) "
        "(peers 10.0.0.1 10.0.0.2) (port 8472))");
    // What is shown is read again.
    const std::string shown = described("(vnet (id 1f:0:0:0:0:0:0:1) (vni 5) (bridge b) (vnetif v) (group 239.1.2.3))");
    EXPECT_EQ(described(shown), shown);
}

TEST(Vnet, WrongWordsAreNamed) {
    const auto wrong = [](const std::string& words) { return described("(vnet " + words + ")"); };
    EXPECT_EQ(described("(net (id 97))"), "vnet: (vnet (id ID) …) is wanted");
    EXPECT_EQ(wrong(""), "vnet: (id ID) is missing");
    EXPECT_EQ(wrong("97"), "vnet: every word is written (word value)");
    EXPECT_EQ(wrong("()"), "vnet: every word is written (word value)");
    EXPECT_EQ(wrong("(id)"), "vnet: (id …) has one value");
    EXPECT_EQ(wrong("(id 1 2)"), "vnet: (id …) has one value");
    EXPECT_EQ(wrong("(id (1))"), "vnet: (id …) has one value");
    EXPECT_EQ(wrong("(id 1) (id 1)"), "vnet: (id …) is given twice");
    EXPECT_EQ(wrong("(id 1) (colour red)"), "vnet: the word 'colour' is not known");
    EXPECT_EQ(wrong("(id 1) (security conf)"),
              "vnet: (security conf) is not supported: VXLAN has no keys. Carry it by IPsec or WireGuard, and say none");
    for (const char* name : {"sixteen-letters1", "-x", "--", ".", "..", "'a b'", "a/b", "a:b", "'$(a)'", "\"a'b\"", "'a\\nb'"}) {
        for (const char* word : {"bridge", "vnetif", "dev"})
            EXPECT_NE(wrong("(id 1) (" + std::string(word) + " " + name + ")").find("is no name of an interface"),
                      std::string::npos)
                << word << name;
    }
    EXPECT_EQ(wrong("(id 1) (bridge a) (vnetif a)"), "vnet: (vnetif a) is the bridge's name too");
    EXPECT_EQ(wrong("(id 1) (group 224.1.1.1) (peers 1.2.3.4)"),
              "vnet: hosts find each other by (group …) or by (peers …), not by both");
    for (const char* group : {"10.0.0.1", "240.0.0.0", "224.1.1", "ff02::1", "x"})
        EXPECT_NE(wrong("(id 1) (group " + std::string(group) + ")").find("is no IPv4 multicast"), std::string::npos) << group;
    for (const char* peer : {"224.0.0.1", "255.255.255.255", "0.0.0.0", "::1", "host", "1.2.3.4/24"})
        EXPECT_NE(wrong("(id 1) (peers 1.2.3.4 " + std::string(peer) + ")").find("of a host"), std::string::npos) << peer;
    EXPECT_EQ(wrong("(id 1) (peers 1.2.3.4 1.2.3.4)"), "vnet: (peers 1.2.3.4) is given twice");
    std::string many;
    for (size_t i = 0; i <= xend::most_vnet_peers; ++i) many += " 10.0.0." + std::to_string(i);
    EXPECT_EQ(wrong("(id 1) (peers" + many + ")"), "vnet: (peers …) has from 1 to 64 addresses");
    for (const char* number : {"0", "16777216", "x", "-1"})
        EXPECT_NE(wrong("(id 1) (vni " + std::string(number) + ")").find("is no number"), std::string::npos) << number;
    EXPECT_NE(wrong("(id 1) (port 65536)").find("is no number"), std::string::npos);
}

/// Scripts of which `vnet` does what a test says.
struct Scripts final : xend::Scripts {
    fakes::FakeScripts& others;
    Names calls, ended;
    std::function<Outcome<>(const xend::ScriptCall&)> answer = [](const auto&) { return Outcome<>(base::ok); };

    explicit Scripts(fakes::FakeScripts& o) : others(o) {}
    Outcome<> run(const xend::ScriptCall& call) override {
        if (!call.path.ends_with("/vnet")) return others.run(call);
        std::string words;
        for (const std::string& word : call.arguments) words += (words.empty() ? "" : " ") + word;
        calls.push_back(words);
        return answer(call);
    }
    void end(const Names& names) override { ended.insert(ended.end(), names.begin(), names.end()); }
};

struct Host {
    fakes::Folder folder;
    Machine m;
    Scripts scripts{m.scripts};
    xend::SqliteVnets table{(folder.path / "vnets.db").string()};
    xend::Manager manager{xend::Ports{m.hypervisor, m.stores, scripts, m.blocks, m.records, m.clock, Machine::settings(), nullptr,
                                      nullptr, nullptr, &m.neighbours, &table}};
    xend::Router router{manager, ""};
    std::string error, shown;

    int xm(const Names& words) {
        std::ostringstream out, err;
        xm::World world{router, out, err, true, [](unsigned) {}, {}};
        const int status = xm::run(world, words);
        error = err.str();
        shown = out.str();
        return status;
    }
    std::string create(const std::string& words) {
        const auto made = manager.create_vnet(*proto::parse_sxp("(vnet " + words + ")"));
        return made ? "" : made.failure().text;
    }
    /// "97 kept" for each.
    Names kept() {
        Names out;
        const auto rows = table.load();
        if (!rows) return {rows.failure().text};
        for (const auto& one : *rows)
            out.push_back(one.vnet.id.text() + " " + std::string(xend::vnet_step_names[static_cast<size_t>(one.step)]));
        return out;
    }
    config::DomainConfig on(const std::string& vif) {
        config::DomainConfig out = m.demo();
        out.disks.clear();
        out.vifs = {*config::parse_vif(vif)};
        return out;
    }
};

TEST(Vnets, AreMadeKeptListedAndDeleted) {
    Host h;
    EXPECT_EQ(h.xm({"vnet-list"}), 0);
    EXPECT_EQ(h.shown, "");
    EXPECT_EQ(h.xm({"vnet-create", h.folder.file("v.sxp", "# mine\n(vnet (id 97)\n  (security none))\n")}), 0) << h.error;
    EXPECT_EQ(h.scripts.calls, (Names{"start id=97 bridge=vnet97 vnetif=vnif97 vni=151 port=4789 group=224.10.0.1"}));
    EXPECT_EQ(h.create("(id 1:0:0:0:0:0:0:2) (vni 7) (peers 10.0.0.1 10.0.0.2) (dev eth0)"), "");
    EXPECT_EQ(h.scripts.calls.back(),
              "start id=1:0:0:0:0:0:0:2 bridge=vnet7 vnetif=vnif7 vni=7 port=4789 dev=eth0 peer=10.0.0.1 peer=10.0.0.2");
    EXPECT_EQ(h.xm({"vnet-list"}), 0);
    EXPECT_EQ(h.shown, "1:0:0:0:0:0:0:2\n97\n");
    EXPECT_EQ(h.xm({"vnet-list", "-l", "0:0:0:0:0:0:0:97"}), 0);
    EXPECT_EQ(*proto::parse_sxp(h.shown), *proto::parse_sxp(described("(vnet (id 97))"))) << h.shown;
    EXPECT_EQ(h.xm({"vnet-list", "98"}), 1);
    EXPECT_EQ(h.error, "Error: Vnet '98' does not exist.\n");
    EXPECT_EQ(h.xm({"vnet-list", "../node"}), 1);
    EXPECT_EQ(h.xm({"vnet-delete", "0097"}), 0) << h.error;
    EXPECT_TRUE(h.scripts.calls.back().starts_with("stop id=97 "));
    EXPECT_EQ(h.kept(), (Names{"1:0:0:0:0:0:0:2 kept"}));
    EXPECT_EQ(h.xm({"vnet-delete", "97"}), 1);
    EXPECT_EQ(h.error, "Error: Vnet '97' does not exist.\n");
    EXPECT_EQ(h.xm({"vnet-create", "/nowhere"}), 1);
    EXPECT_EQ(h.error, "Error: File not found: /nowhere\n");
    EXPECT_EQ(h.xm({"vnet-create", h.folder.file("bad.sxp", "(vnet (id 5)")}), 1);
    EXPECT_EQ(std::ranges::count(h.error, '\n'), 1) << h.error;
}

TEST(Vnets, NoTwoHaveTheSame) {
    Host h;
    EXPECT_EQ(h.create("(id 97)"), "");
    EXPECT_EQ(h.create("(id 97) (bridge other)"), "Vnet '97' already exists.");
    EXPECT_EQ(h.create("(id 98) (bridge vnet97)"), "Vnet '98': the name vnet97 is that of vnet '97'");
    EXPECT_EQ(h.create("(id 98) (bridge vnif97)"), "Vnet '98': the name vnif97 is that of vnet '97'");
    EXPECT_EQ(h.create("(id 98) (vnetif vnet97)"), "Vnet '98': the name vnet97 is that of vnet '97'");
    EXPECT_EQ(h.create("(id 98) (vni 151)"), "Vnet '98': the VXLAN number 151 is that of vnet '97'");
    EXPECT_EQ(h.kept(), (Names{"97 kept"}));
}

TEST(Vnets, OneThatCannotBeMadeLeavesNothing) {
    Host h;
    h.scripts.answer = [](const xend::ScriptCall& call) -> Outcome<> {
        if (call.arguments[0] == "stop") return base::ok;
        *call.output = "vnet: there is no interface eth7\n";
        return base::fail(Errc::io, "/etc/xen/scripts/vnet failed (exit status 1): vnet: there is no interface eth7");
    };
    EXPECT_EQ(h.create("(id 97) (dev eth7)"), "vnet: there is no interface eth7");
    EXPECT_TRUE(h.scripts.calls.back().starts_with("stop id=97 "));
    EXPECT_EQ(h.kept(), Names{});
}

TEST(Vnets, OneThatCannotBeDeletedStays) {
    Host h;
    EXPECT_EQ(h.create("(id 97)"), "");
    h.scripts.answer = [&](const xend::ScriptCall& call) -> Outcome<> {
        EXPECT_EQ(h.kept(), (Names{"97 deleting"}));
        *call.output = "vnet: the bridge vnet97 has other ports: tap0\n";
        return base::fail(Errc::io, "it failed");
    };
    EXPECT_EQ(text_of(h.manager.delete_vnet("97")), "vnet: the bridge vnet97 has other ports: tap0");
    EXPECT_EQ(h.kept(), (Names{"97 kept"}));
}

TEST(Vnets, ACardIsOnItsBridge) {
    Host h;
    EXPECT_EQ(text_of(h.manager.create(h.on("vnet=97"))), "Vnet '97' does not exist.");
    EXPECT_TRUE(h.m.records.all.empty());
    EXPECT_EQ(h.create("(id 97) (bridge far)"), "");
    h.scripts.calls.clear();
    ASSERT_EQ(text_of(h.manager.create(h.on("vnet=0097"))), "");
    EXPECT_EQ(h.scripts.calls.size(), 1U);  // it is made again, where it is missing
    const std::string nodes = h.m.nodes("/local/domain/0/backend/vif");
    EXPECT_NE(nodes.find("/bridge = \"far\""), std::string::npos) << nodes;
    EXPECT_NE(nodes.find("/vnet = \"97\""), std::string::npos) << nodes;
    EXPECT_NE(nodes.find("scripts/vif-bridge"), std::string::npos) << nodes;
    EXPECT_EQ(text_of(h.manager.delete_vnet("97")), "Vnet '97' is in use by domain 'demo'");
    EXPECT_EQ(text_of(h.manager.attach_device("demo", "vif", "vnet=98")), "Vnet '98' does not exist.");
    EXPECT_EQ(text_of(h.manager.attach_device("demo", "vif", "vnet=97")), "");
    EXPECT_EQ(text_of(h.manager.destroy("demo")), "");
    EXPECT_EQ(text_of(h.manager.delete_vnet("97")), "");
}

TEST(Vnets, ACardThatNamesTheBridgeHoldsItToo) {
    Host h;
    EXPECT_EQ(h.create("(id 97)"), "");
    ASSERT_EQ(text_of(h.manager.create(h.on("bridge=vnet97"))), "");
    EXPECT_EQ(text_of(h.manager.delete_vnet("97")), "Vnet '97' is in use by domain 'demo'");
}

TEST(Vnets, WhatAKilledXendLeavesIsUndone) {
    Host h;
    const auto vnet = [](const std::string& id) { return *xend::read_vnet(*proto::parse_sxp("(vnet (id " + id + "))")); };
    ASSERT_TRUE(h.table.save({vnet("1"), Step::kept}));
    ASSERT_TRUE(h.table.save({vnet("2"), Step::making}));
    ASSERT_TRUE(h.table.save({vnet("3"), Step::deleting}));
    EXPECT_EQ(h.manager.vnets()->size(), 1U);
    EXPECT_EQ(text_of(h.manager.end_vnet_scripts()), "");
    EXPECT_EQ(h.scripts.ended, (Names{"vnet-1", "vnet-2", "vnet-3"}));
    EXPECT_EQ(text_of(h.manager.settle_vnets()), "");
    ASSERT_EQ(h.scripts.calls.size(), 3U);
    EXPECT_TRUE(h.scripts.calls[0].starts_with("stop id=2 "));
    EXPECT_TRUE(h.scripts.calls[1].starts_with("stop id=3 "));
    EXPECT_TRUE(h.scripts.calls[2].starts_with("start id=1 "));
    EXPECT_EQ(h.kept(), (Names{"1 kept"}));
    // One that cannot be taken away yet is known later, and whoever wants its name has it then.
    ASSERT_TRUE(h.table.save({vnet("4"), Step::making}));
    h.scripts.answer = [](const auto& call) {
        return call.arguments[0] == "stop" ? Outcome<>(base::fail(Errc::io, "it failed")) : Outcome<>(base::ok);
    };
    EXPECT_EQ(text_of(h.manager.settle_vnets()), "");
    EXPECT_EQ(h.kept(), (Names{"1 kept", "4 making"}));
    EXPECT_EQ(h.create("(id 4)"), "Vnet '4' already exists.");
    h.scripts.answer = [](const auto&) { return Outcome<>(base::ok); };
    EXPECT_EQ(h.create("(id 4)"), "");
    EXPECT_EQ(h.kept(), (Names{"1 kept", "4 kept"}));
    // One that cannot be made again now is told of, and stays.
    h.scripts.answer = [](const auto&) { return Outcome<>(base::fail(Errc::io, "it failed")); };
    EXPECT_NE(text_of(h.manager.settle_vnets()).find("it failed"), std::string::npos);
    EXPECT_EQ(h.kept(), (Names{"1 kept", "4 kept"}));
}

TEST(Vnets, RequestsThatMeanNothingChangeNothing) {
    Host h;
    using xend::Request;
    const auto answer = [&](Request::Method method, const std::string& path, std::map<std::string, std::string> fields) {
        return h.router.handle({method, path, std::move(fields)});
    };
    EXPECT_EQ(answer(Request::Method::get, "/xend/vnet/", {}).body, "()");
    EXPECT_EQ(answer(Request::Method::post, "/xend/vnet", {}).status, 406);
    EXPECT_EQ(answer(Request::Method::post, "/xend/vnet", {{"op", "fly"}}).status, 501);
    EXPECT_EQ(answer(Request::Method::post, "/xend/vnet", {{"op", "delete"}}).status, 501);
    EXPECT_EQ(answer(Request::Method::post, "/xend/vnet", {{"op", "create"}}).body, "(xend.err 'Missing parameter: config')");
    EXPECT_EQ(answer(Request::Method::post, "/xend/vnet", {{"op", "create"}, {"config", "(vnet (id 97))"}}).status, 201);
    EXPECT_EQ(answer(Request::Method::get, "/xend/vnet/97", {{"op", "delete"}}).status, 200);
    EXPECT_EQ(h.kept(), (Names{"97 kept"}));
    EXPECT_EQ(xend::Dispatcher::lane_of({Request::Method::post, "/xend/vnet/97", {{"op", "delete"}}}), "vnet");
    EXPECT_EQ(xend::Dispatcher::lane_of({Request::Method::get, "/xend/vnet/97", {}}), "");
}

}  // namespace
