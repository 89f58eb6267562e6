// link: checksum
// SPDX-License-Identifier: Apache-2.0
// base::Checksum: by the processor's instruction and by tables the same, in parts of any length, and as its description says.
#include "lib/base/checksum.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string_view>
#include <vector>

namespace {

using base::CrcLanes;

/// CRC-32C bit by bit, as RFC 3720 has it, without the last inversion.
uint32_t crc_of(std::span<const std::byte> bytes, uint32_t crc = ~0U) {
    for (const std::byte byte : bytes) {
        crc ^= static_cast<uint32_t>(byte);
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0x82f63b78U : 0);
    }
    return crc;
}

std::vector<std::byte> random_bytes(size_t count, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<std::byte> out(count);
    for (auto& byte : out) byte = static_cast<std::byte>(random());
    return out;
}

uint64_t sum_of(std::span<const std::byte> bytes) {
    base::Checksum sum;
    sum.add(bytes);
    return sum.value();
}

TEST(Checksum, BothWaysAreCrc32cOfEachFourthWord) {
    EXPECT_EQ(~crc_of(std::as_bytes(std::span(std::string_view("123456789")))), 0xe3069283U) << "the published value";
    const auto bytes = random_bytes(64 * base::crc_stripe, 1);
    CrcLanes wanted{~0U, ~0U, ~0U, ~0U};
    for (size_t at = 0; at < bytes.size(); at += 8)
        wanted[at / 8 % 4] = crc_of(std::span(bytes).subspan(at, 8), wanted[at / 8 % 4]);
    CrcLanes lanes{~0U, ~0U, ~0U, ~0U};
    base::crc_stripes_by_tables(lanes, bytes.data(), 64);
    EXPECT_EQ(lanes, wanted);
    if (!__builtin_cpu_supports("sse4.2")) GTEST_SKIP() << "no SSE 4.2 here";
    lanes = {~0U, ~0U, ~0U, ~0U};
    base::crc_stripes_by_processor(lanes, bytes.data(), 64);
    EXPECT_EQ(lanes, wanted);
}

TEST(Checksum, PartsOfAnyLengthAreTheWhole) {
    const auto bytes = random_bytes(1000, 2);
    for (size_t length = 0; length < 200; ++length) {
        const auto all = std::span(bytes).first(length);
        for (size_t part = 1; part <= length; part += 1 + part / 3) {
            base::Checksum sum;
            for (auto left = all; !left.empty();) {
                const auto some = left.first(std::min(part, left.size()));
                sum.add(some);
                left = left.subspan(some.size());
            }
            EXPECT_EQ(sum.value(), sum_of(all)) << length << " in parts of " << part;
        }
    }
}

TEST(Checksum, ZerosAreZeros) {
    const auto bytes = random_bytes(100, 3);
    for (const size_t before : {0UL, 5UL, 31UL, 32UL, 64UL, 100UL})
        for (const size_t count : {0UL, 1UL, 27UL, 31UL, 32UL, 4095UL, 4096UL, 4097UL, 8192UL, 100'000UL}) {
            base::Checksum sum;
            sum.add(std::span(bytes).first(before));
            base::Checksum same = sum;
            sum.add_zeros(count);
            same.add(std::vector<std::byte>(count));
            EXPECT_EQ(sum.value(), same.value()) << count << " behind " << before;
            sum.add(bytes);
            same.add(bytes);
            EXPECT_EQ(sum.value(), same.value()) << count << " behind " << before << ", and more";
        }
}

TEST(Checksum, ChangesAndLengthsAreSeen) {
    auto bytes = random_bytes(300, 4);
    const uint64_t whole = sum_of(bytes);
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        bytes[bit / 8] ^= std::byte{1} << bit % 8;
        EXPECT_NE(sum_of(bytes), whole) << bit;
        bytes[bit / 8] ^= std::byte{1} << bit % 8;
    }
    const std::vector<std::byte> zeros(100);
    for (size_t length = 0; length < zeros.size(); ++length)
        EXPECT_NE(sum_of(std::span(zeros).first(length)), sum_of(zeros)) << length;
}

}  // namespace
