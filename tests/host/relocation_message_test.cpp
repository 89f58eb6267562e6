// SPDX-License-Identifier: Apache-2.0
// link: proto
// What two hosts say to each other, and what a hostile one may say.
#include "lib/proto/relocation/message.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace {

using namespace proto::relocation;

base::Outcome<Message> read(std::span<const std::byte> bytes) {
    const Head head = OTRY(decode_head(bytes.first<head_bytes>()));
    if (head.length != bytes.size() - head_bytes) return base::fail(base::Errc::badmsg, "another length");
    return decode(head, bytes.subspan(head_bytes));
}

const std::vector<Message>& samples() {
    static const std::vector<Message> all = {
        Hello{1, 0, {1, 2, 3}},
        Offer{{9}, 1, 131072, 4, "(vm (name demo))"},
        Accept{},
        Refuse{"Not enough free memory"},
        Image{4096, {std::byte{1}, std::byte{2}}},
        Round{3, 77, 1},
        Sum{123456789, 42},
        Ready{},
        Go{},
        Running{},
        Failed{"a disk is away"},
        Ask{{9}},
        Outcome{Outcome::What::not_known_yet},
        Cancel{"it was cancelled"},
        Done{},
        Taken{3},
    };
    return all;
}

TEST(RelocationMessage, AnImageMayBeSentInTwoParts) {
    Image image{12, {std::byte{1}, std::byte{2}, std::byte{3}}};
    for (int i = 0; i < 2; ++i, image.bytes.clear()) {
        const auto whole = encode(image);
        const auto head = encode_image_head(image);
        EXPECT_TRUE(std::ranges::equal(std::span(whole).first(head.size()), head));
        EXPECT_TRUE(std::ranges::equal(std::span(whole).subspan(head.size()), image.bytes));
        const auto decoded = decode_head(std::span(head).first<head_bytes>());
        ASSERT_TRUE(decoded);
        EXPECT_TRUE(is_image(*decoded));
        EXPECT_EQ(decode_image_start(std::span(head).subspan<head_bytes>()).zeros, 12u);
    }
    for (const Message& other : samples()) {
        const auto bytes = encode(other);
        EXPECT_EQ(is_image(*decode_head(std::span(bytes).first<head_bytes>())), std::holds_alternative<Image>(other));
    }
}

TEST(RelocationMessage, EachComesBackAsItWas) {
    ASSERT_EQ(samples().size(), std::variant_size_v<Message>);
    for (size_t i = 0; i < samples().size(); ++i) {
        ASSERT_EQ(samples()[i].index(), i);
        const auto back = read(encode(samples()[i]));
        ASSERT_TRUE(back) << name_of(samples()[i]) << ": " << back.failure().text;
        EXPECT_EQ(*back, samples()[i]);
    }
}

/// A body that is shorter or longer than its fields is refused; an image may be of any length.
TEST(RelocationMessage, AnotherLengthIsRefused) {
    for (const Message& message : samples()) {
        const auto bytes = encode(message);
        for (uint32_t length = 0; length < bytes.size() + 8; ++length) {
            if (length + head_bytes == bytes.size()) continue;
            if (std::holds_alternative<Image>(message) && length >= 8) continue;
            const Head head{static_cast<uint32_t>(message.index() + 1), length};
            std::array<std::byte, head_bytes> start{};
            std::memcpy(start.data(), &head, sizeof head);
            std::vector<std::byte> body(bytes.begin() + head_bytes, bytes.end());
            body.resize(length);
            EXPECT_FALSE(decode_head(start) && decode(head, body)) << name_of(message) << " of " << length;
        }
    }
}

base::Outcome<Head> head_of(uint32_t type, uint32_t length) {
    const Head head{type, length};
    std::array<std::byte, head_bytes> start{};
    std::memcpy(start.data(), &head, sizeof head);
    return decode_head(start);
}

/// The head decides how much memory is taken.
TEST(RelocationMessage, NoTypeAndNoLengthBeyondTheirLimits) {
    EXPECT_FALSE(head_of(0, 0));
    EXPECT_FALSE(head_of(static_cast<uint32_t>(std::variant_size_v<Message>) + 1, 0));
    EXPECT_FALSE(head_of(~0U, ~0U));
    EXPECT_TRUE(head_of(5, body_limit));
    EXPECT_FALSE(head_of(5, body_limit + 1));
    EXPECT_FALSE(head_of(2, 64 + config_limit));
    EXPECT_FALSE(head_of(4, 5000));
    EXPECT_EQ(head_of(9, 1).failure().text, "a GO of 1 bytes");
}

TEST(RelocationMessage, ValuesThatThereAreNotAreRefused) {
    auto bytes = encode(Outcome{});
    bytes[head_bytes] = std::byte{3};
    EXPECT_EQ(read(bytes).failure().text, "a malformed OUTCOME");
    bytes = encode(Offer{});
    bytes[head_bytes + 16] = std::byte{2};
    EXPECT_FALSE(read(bytes));
    bytes = encode(Round{1, 2, 1});
    bytes.back() = std::byte{2};
    EXPECT_EQ(read(bytes).failure().text, "a malformed ROUND");
}

/// It is shown on a terminal, and stands in a log of lines.
TEST(RelocationMessage, AReasonIsOneLineOfPlainText) {
    auto bytes = encode(Failed{"abc"});
    bytes[head_bytes + 5] = std::byte{0x1b};
    EXPECT_FALSE(read(bytes));
    const auto cleaned = read(encode(Failed{"two\nlines\x1b[2J"}));
    ASSERT_TRUE(cleaned);
    EXPECT_EQ(std::get<Failed>(*cleaned).reason, "two?lines?[2J");
    const auto cut = read(encode(Refuse{std::string(5000, 'x')}));
    ASSERT_TRUE(cut);
    EXPECT_EQ(std::get<Refuse>(*cut).reason.size(), text_limit);
}

}  // namespace
