// SPDX-License-Identifier: Apache-2.0
// link: parse
#include "lib/parse/cmdline.hpp"
#include "lib/parse/serial.hpp"

#include <gtest/gtest.h>

namespace {

using base::Errc;
using parse::CommandLine;

TEST(CommandLine, SplitsWordsKeysAndQuotes) {
    CommandLine line("  com1=115200,8n1 console=com1 no-smt smt\tx=\"a b\" 'y=c d' empty= ");
    auto option = line.next();
    ASSERT_TRUE(option);
    EXPECT_EQ(option->key, "com1");
    EXPECT_EQ(option->value, "115200,8n1");
    EXPECT_EQ(option->raw, "com1=115200,8n1");
    EXPECT_EQ(line.next()->value, "com1");
    option = line.next();
    EXPECT_EQ(option->key, "smt");
    EXPECT_TRUE(option->negated);
    EXPECT_FALSE(option->boolean().value());
    EXPECT_TRUE(line.next()->boolean().value());
    EXPECT_EQ(line.next()->value, "a b");
    option = line.next();
    EXPECT_EQ(option->key, "y");
    EXPECT_EQ(option->value, "c d");
    option = line.next();
    EXPECT_TRUE(option->has_value);
    EXPECT_EQ(option->value, "");
    EXPECT_EQ(option->boolean().error(), Errc::inval);
    EXPECT_FALSE(line.next());
    EXPECT_FALSE(line.next());
}

TEST(CommandLine, TheLastWordWins) {
    EXPECT_EQ(CommandLine::find("a=1 b a=2", "a")->value, "2");
    EXPECT_FALSE(CommandLine::find("a=1 b a=2", "c"));
    EXPECT_FALSE(CommandLine::find("", "c"));
    EXPECT_EQ(CommandLine::find("x='open", "x")->value, "'open");
}

TEST(CommandLine, Numbers) {
    EXPECT_EQ(parse::parse_integer("0").value(), 0u);
    EXPECT_EQ(parse::parse_integer("0x1F").value(), 31u);
    EXPECT_EQ(parse::parse_integer("017").value(), 15u);
    EXPECT_EQ(parse::parse_integer("18446744073709551615").value(), UINT64_MAX);
    EXPECT_EQ(parse::parse_integer("18446744073709551616").error(), Errc::range);
    for (const auto bad : {"", "0x", "08", "1k", "-1", " 1"}) EXPECT_EQ(parse::parse_integer(bad).error(), Errc::inval) << bad;
    EXPECT_EQ(parse::parse_size("512M").value(), 512u << 20);
    EXPECT_EQ(parse::parse_size("1g").value(), 1u << 30);
    EXPECT_EQ(parse::parse_size("64", 1024).value(), 65536u);
    EXPECT_EQ(parse::parse_size("64b", 1024).value(), 64u);
    EXPECT_EQ(parse::parse_size("0x1b").value(), 27u);
    EXPECT_EQ(parse::parse_size("0x10k").value(), 16384u);
    EXPECT_EQ(parse::parse_size("99999999999T").error(), Errc::range);
    EXPECT_EQ(parse::parse_size("M").error(), Errc::inval);
    EXPECT_EQ(parse::parse_size("").error(), Errc::inval);
}

TEST(CommandLine, Lists) {
    parse::ValueList list("a,,b");
    EXPECT_EQ(list.next(), "a");
    EXPECT_EQ(list.next(), "");
    EXPECT_EQ(list.next(), "b");
    EXPECT_EQ(list.next(), std::nullopt);
    parse::ValueList one("");
    EXPECT_EQ(one.next(), "");
    EXPECT_EQ(one.next(), std::nullopt);
}

TEST(Serial, SettingsOfALine) {
    const auto line = [](std::string_view text) { return parse::parse_serial(text, {}); };
    EXPECT_EQ(line("").value().baud, 115200u);
    EXPECT_EQ(line("9600,7e2").value().baud, 9600u);
    EXPECT_EQ(line("9600,7e2").value().line, 0x1e);
    EXPECT_EQ(line("auto,8n1").value().baud, 0u);
    EXPECT_EQ(line(",,0x2f8,3").value().port, 0x2f8);
    EXPECT_EQ(line(",,0x2f8,3").value().irq, 3);
    EXPECT_EQ(line(",,0x2f8,3").value().line, 3);
    EXPECT_EQ(line(",5o1").value().line, 0x08);
    EXPECT_EQ(line(",8m1").value().line, 0x2b);
    EXPECT_EQ(line(",6s1").value().line, 0x39);
    for (const char* bad : {"fast", "115200,8n3", "115200,9n1", "115200,8x1", "115200,8n", ",,x", ",,,irq"}) {
        EXPECT_EQ(line(bad).error(), Errc::inval) << bad;
    }
    for (const char* bad : {"0", "115201", ",,0x103f8", ",,0xfffc", ",,0", ",,,256"}) {
        EXPECT_EQ(line(bad).error(), Errc::range) << bad;
    }
}

}  // namespace
