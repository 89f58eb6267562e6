// SPDX-License-Identifier: Apache-2.0
// link: proto
#include "lib/proto/xs_wire.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "lib/proto/ring.hpp"

namespace {

using base::Errc;
using namespace std::string_view_literals;

TEST(XsWire, MessageRoundTrip) {
    std::array<std::byte, 64> buffer{};
    const auto size = proto::encode_message(buffer, xen::XS_READ, 7, 9, "a/b\0"sv);
    ASSERT_TRUE(size);
    EXPECT_EQ(size.value(), 20u);
    for (std::size_t have = 0; have < 20; ++have) {
        const auto peek = proto::peek_message(std::span(buffer).first(have));
        ASSERT_TRUE(peek);
        EXPECT_FALSE(peek.value().complete);
        EXPECT_EQ(peek.value().wanted, have < 16 ? 16u : 20u);
    }
    const auto peek = proto::peek_message(buffer);
    ASSERT_TRUE(peek && peek.value().complete);
    EXPECT_EQ(peek.value().message.header.req_id, 7u);
    EXPECT_EQ(peek.value().message.header.tx_id, 9u);
    EXPECT_EQ(peek.value().message.text(), "a/b\0"sv);
    EXPECT_EQ(peek.value().message.size(), 20u);
}

TEST(XsWire, OversizedMessagesAreRefused) {
    std::array<std::byte, 16> header{};
    proto::encode_header(header, {xen::XS_WRITE, 1, 0, xen::XENSTORE_PAYLOAD_MAX + 1});
    EXPECT_EQ(proto::peek_message(header).error(), Errc::toobig);
    std::vector<std::byte> big(8192);
    EXPECT_EQ(proto::encode_message(big, 1, 1, 0, std::string(4097, 'x')).error(), Errc::toobig);
    EXPECT_TRUE(proto::encode_message(big, 1, 1, 0, std::string(4096, 'x')));
    EXPECT_EQ(proto::encode_message(header, 1, 1, 0, "x").error(), Errc::nobufs);
}

TEST(XsWire, StringsSplit) {
    std::array<std::string_view, 2> two;
    EXPECT_TRUE(proto::split_exactly("a\0bc\0"sv, two));
    EXPECT_EQ(two[0], "a");
    EXPECT_EQ(two[1], "bc");
    EXPECT_EQ(proto::split_exactly("a\0bc"sv, two).error(), Errc::inval);
    EXPECT_EQ(proto::split_exactly("a\0"sv, two).error(), Errc::inval);
    EXPECT_EQ(proto::split_exactly("a\0b\0c\0"sv, two).error(), Errc::inval);
    EXPECT_TRUE(proto::split_exactly("\0\0"sv, two));
    proto::XsStrings strings("path\0value"sv);
    EXPECT_EQ(strings.next(), "path");
    EXPECT_TRUE(strings.terminated());
    EXPECT_EQ(strings.rest(), "value");
    EXPECT_EQ(strings.next(), "value");
    EXPECT_FALSE(strings.terminated());
    EXPECT_TRUE(strings.empty());
}

TEST(XsWire, NumbersErrorsPaths) {
    EXPECT_EQ(proto::parse_number("4294967295").value(), 4294967295u);
    for (const auto bad : {"", "4294967296", "-1", "1 ", "0x1", "11111111111"}) EXPECT_FALSE(proto::parse_number(bad));
    EXPECT_EQ(proto::xs_error_name(Errc::noent), "ENOENT");
    EXPECT_EQ(proto::xs_error_name(Errc::nosys), "ENOSYS");
    EXPECT_EQ(proto::xs_error_name(Errc::child), "EINVAL");
    EXPECT_EQ(proto::xs_error_code("EAGAIN"), Errc::again);
    EXPECT_EQ(proto::xs_error_code("nonsense"), Errc::inval);
    for (const auto good : {"/", "/local/domain/0", "a", "a/b-c_D@9"}) EXPECT_TRUE(proto::valid_node_path(good)) << good;
    for (const auto bad : {"", "//", "/a/", "a//b", "/a b", "/a.b", "/\n"}) EXPECT_FALSE(proto::valid_node_path(bad)) << bad;
    EXPECT_FALSE(proto::valid_node_path("/" + std::string(3072, 'a')));
    EXPECT_FALSE(proto::valid_node_path(std::string(2049, 'a')));
}

TEST(ByteRing, WrapsAndKeepsOrder) {
    std::array<char, 16> data{};
    std::uint32_t cons = 0xfffffffa, prod = cons;  // the free-running indexes overflow on the way
    const proto::ByteRing ring(data, &cons, &prod);
    std::byte next_in{0}, next_out{0};
    for (int round = 0; round < 50; ++round) {
        std::array<std::byte, 11> in{};
        for (auto& b : in) b = next_in, next_in = std::byte(std::to_integer<unsigned>(next_in) + 1);
        ASSERT_EQ(ring.write(in).value(), 11u);
        EXPECT_EQ(ring.readable().value(), 11u);
        EXPECT_EQ(ring.writable().value(), 5u);
        std::array<std::byte, 11> out{};
        ASSERT_EQ(ring.read(out).value(), 11u);
        for (const auto b : out) {
            ASSERT_EQ(b, next_out);
            next_out = std::byte(std::to_integer<unsigned>(next_out) + 1);
        }
    }
    std::array<std::byte, 40> much{};
    EXPECT_EQ(ring.write(much).value(), 16u);
    EXPECT_EQ(ring.write(much).value(), 0u);
    EXPECT_EQ(ring.read(much).value(), 16u);
    EXPECT_EQ(ring.read(much).value(), 0u);
}

TEST(ByteRing, ImpossibleIndexesAreAnError) {
    std::array<char, 16> data{};
    std::uint32_t cons = 0, prod = 17;
    const proto::ByteRing ring(data, &cons, &prod);
    std::array<std::byte, 8> some{};
    EXPECT_EQ(ring.read(some).error(), Errc::io);
    EXPECT_EQ(ring.write(some).error(), Errc::io);
    EXPECT_EQ(ring.readable().error(), Errc::io);
    ring.discard();
    EXPECT_EQ(ring.read(some).value(), 0u);
    EXPECT_EQ(ring.writable().value(), 16u);
}

}  // namespace
