// SPDX-License-Identifier: Apache-2.0
#include "lib/base/number.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace {

using base::parse_number;
using base::parse_number_or_hex;
using base::take_number;

TEST(Number, AllOfTheTextOrNothing) {
    EXPECT_EQ(parse_number<uint32_t>("0"), 0u);
    EXPECT_EQ(parse_number<uint32_t>("4294967295"), 4294967295u);
    EXPECT_EQ(parse_number<int64_t>("-9223372036854775808"), INT64_MIN);
    EXPECT_EQ(parse_number<double>("1.5"), 1.5);
    for (const char* bad : {"", " 1", "1 ", "+1", "-1", "0x10", "1.0", "4294967296", "99999999999999999999", "1\n", "one"}) {
        EXPECT_FALSE(parse_number<uint32_t>(bad)) << bad;
    }
    EXPECT_FALSE(parse_number<uint16_t>("65536"));
    EXPECT_FALSE(parse_number<uint32_t>(std::string_view("1\0", 2)));
}

TEST(Number, HexadecimalWithItsPrefixAlone) {
    EXPECT_EQ(parse_number_or_hex<uint32_t>("0x1F"), 31u);
    EXPECT_EQ(parse_number_or_hex<uint32_t>("0Xffffffff"), UINT32_MAX);
    EXPECT_EQ(parse_number_or_hex<int64_t>("-12"), -12);
    for (const char* bad : {"0x", "0x100000000", "0xg", "0x 1", "1f", "x1"})
        EXPECT_FALSE(parse_number_or_hex<uint32_t>(bad)) << bad;
    EXPECT_FALSE(parse_number_or_hex<int64_t>("0x-1"));
}

TEST(Number, TakesWhatStandsInFront) {
    std::string_view text = "12k";
    EXPECT_EQ(take_number<uint64_t>(text), 12u);
    EXPECT_EQ(text, "k");
    EXPECT_FALSE(take_number<uint64_t>(text));
    EXPECT_EQ(text, "k");
    std::string_view large = "300x";
    EXPECT_FALSE(take_number<uint8_t>(large));
    EXPECT_EQ(large, "300x");
}

}  // namespace
