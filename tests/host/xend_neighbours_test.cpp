// link: xend_fakes xendcore
// SPDX-License-Identifier: Apache-2.0
// What the wires of this machine hear of a domain's cards.
#include "toolstack/xend/adapters/announcements.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "toolstack/xend/adapters/linux_neighbours.hpp"
#include "xend_checks.hpp"

namespace {

using fakes::Machine;
using xend::Frame;
using xend::WireCard;

std::string hex(const Frame& frame, size_t from, size_t to) {
    std::ostringstream out;
    for (size_t i = from; i < to && i < frame.size(); ++i) out << fmt::format("{:02x}", std::to_integer<unsigned>(frame[i]));
    return out.str();
}
std::string hex(const Frame& frame) { return hex(frame, 0, frame.size()); }

std::vector<std::byte> bytes(std::initializer_list<int> values) {
    std::vector<std::byte> out;
    for (const int value : values) out.push_back(static_cast<std::byte>(value));
    return out;
}

/// 192.168.50.1/23 and fd00:50::1/64, on the card 7.
WireCard lan() {
    WireCard out;
    out.index = 7;
    out.mac = *xend::mac_of("02:00:00:00:00:aa");
    out.own = {{bytes({192, 168, 50, 1}), 23}, {bytes({0xfd, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}), 64}};
    out.answers_ipv4 = out.answers_ipv6 = true;
    return out;
}

/// Of cards: those that said something, as "INDEX".
std::string speakers(const std::string& ip, const std::vector<WireCard>& cards) {
    std::string out;
    for (const auto& one : xend::routed_announcements(ip, cards)) out += std::to_string(one.card) + " ";
    return out;
}

TEST(Neighbours, AreToldOfWhatAppears) {
    Machine m;
    auto config = m.demo();
    config.vifs[0].ip = "10.0.0.7 fd00::7";
    ASSERT_TRUE(m.manager.create(config, xend::Run::later));
    EXPECT_TRUE(m.neighbours.told.empty()) << "it does not run yet";
    ASSERT_TRUE(m.manager.unpause("demo"));
    EXPECT_EQ(m.neighbours.told, (std::vector<std::string>{"1.0 " + m.records.all.begin()->second.config.vifs[0].mac}));
    ASSERT_TRUE(m.manager.attach_device("demo", "vif", "mac=00:16:3e:00:00:07"));
    EXPECT_EQ(m.neighbours.told.back(), "1.1 00:16:3e:00:00:07");
    const auto told = m.neighbours.told;
    ASSERT_TRUE(m.manager.pause("demo"));
    ASSERT_TRUE(m.manager.unpause("demo"));
    EXPECT_EQ(m.neighbours.told, told) << "it was here before";
}

TEST(Neighbours, ABridgeLearnsByReverseArp) {
    const Frame frame = xend::reverse_arp(*xend::mac_of("00:16:3e:01:02:03"));
    EXPECT_EQ(frame.size(), 60U);
    EXPECT_EQ(hex(frame, 0, 14), "ffffffffffff00163e0102038035");
    EXPECT_EQ(hex(frame, 14, 42), "000108000604000300163e0102030000000000163e01020300000000");
    EXPECT_FALSE(xend::mac_of("none"));
    config::Vif vif;
    vif.mac = "none";
    EXPECT_FALSE(xend::LinuxNeighbours().announce(base::DomId{32000}, 0, vif));
    vif.mac = "00:16:3e:01:02:03";
    EXPECT_TRUE(xend::LinuxNeighbours().announce(base::DomId{32000}, 0, vif)) << "on no bridge";
    vif.ip = "203.0.113.7 2001:db8::7 nonsense";
    EXPECT_TRUE(xend::LinuxNeighbours().announce(base::DomId{32000}, 0, vif)) << "on no wire of this machine";
}

TEST(Neighbours, WiresHearOfAddressesBehindRoutes) {
    const auto said = xend::routed_announcements("192.168.51.77 fd00:50::77", {lan()});
    ASSERT_EQ(said.size(), 2U);
    EXPECT_EQ(said[0].card, 7);
    EXPECT_EQ(said[0].frame.size(), 60U);
    EXPECT_EQ(hex(said[0].frame, 0, 42),
              "ffffffffffff0200000000aa0806"
              "00010800060400010200000000aac0a8334d000000000000c0a8334d");
    // Its checksum was computed by another program.
    EXPECT_EQ(hex(said[1].frame),
              "3333000000010200000000aa86dd"
              "6000000000203afffd000050000000000000000000000001ff020000000000000000000000000001"
              "8800d8dba0000000fd0000500000000000000000000000770201"
              "0200000000aa");
}

TEST(Neighbours, OnlyWhereItIsTrue) {
    WireCard silent = lan();
    silent.index = 8;
    silent.answers_ipv4 = silent.answers_ipv6 = false;
    WireCard elsewhere = lan();
    elsewhere.index = 9;
    elsewhere.own = {{bytes({10, 0, 0, 1}), 8}, {bytes({192, 168, 50, 1}), 32}};
    const std::vector<WireCard> cards = {silent, elsewhere, lan()};
    EXPECT_EQ(speakers("192.168.50.9", cards), "7 ");
    EXPECT_EQ(speakers("10.9.9.9/32 fd00:50::1:2:3/128", cards), "9 7 ");
    EXPECT_EQ(speakers("192.168.52.9 192.168.49.9 fd00:51::1 fd00:50:0:1::1", cards), "") << "on other networks";
    EXPECT_EQ(speakers("192.168.50.0/24 fd00:50::/64 fd00:50::7/12 x 1.2.3 : ::g", cards), "") << "no addresses";
    EXPECT_EQ(speakers("", cards), "");
    WireCard odd = lan();
    odd.own = {{bytes({192, 168, 50, 1}), 99}, {bytes({}), 0}};
    EXPECT_EQ(speakers("192.168.50.9 fd00:50::1", {odd}), "");
}

}  // namespace
