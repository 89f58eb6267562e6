// SPDX-License-Identifier: Apache-2.0
// link: proto
#include "lib/proto/sxp.hpp"

#include <gtest/gtest.h>

namespace {

using proto::parse_sxp;
using proto::Sxp;
using proto::to_string;

Sxp parsed(std::string_view text) {
    auto value = parse_sxp(text);
    EXPECT_TRUE(value) << value.failure().text;
    return value ? std::move(value).take() : Sxp{};
}

TEST(Sxp, ReadsAConfigurationAndAnswersQuestions) {
    const Sxp vm = parsed(
        "# saved\n(vm (name 'my vm') (memory 64) (vcpus) # end\n"
        "(device (vif (mac 00:16:3e:00:00:01))) (device (vbd (dev xvda))))");
    EXPECT_EQ(vm.name(), "vm");
    EXPECT_EQ(vm.child_value("name"), "my vm");
    EXPECT_EQ(vm.child_value("memory"), "64");
    EXPECT_EQ(vm.child_value("vcpus"), "");
    EXPECT_EQ(vm.child_value("absent"), std::nullopt);
    EXPECT_EQ(vm.child_value("absent", "x"), "x");
    ASSERT_EQ(vm.children("device").size(), 2u);
    EXPECT_EQ(vm.children("device")[1]->child("vbd")->child_value("dev"), "xvda");
}

TEST(Sxp, AttributesStandAfterTheName) {
    const Sxp element = parsed("(disk (@ (mode ro) (id 3)) (dev hda))");
    EXPECT_EQ(element.attribute("mode"), "ro");
    EXPECT_EQ(element.attribute("none"), std::nullopt);
    EXPECT_EQ(element.children().size(), 1u);
    EXPECT_EQ(to_string(element), "(disk (@ (mode ro) (id 3)) (dev hda))");
}

TEST(Sxp, EscapesSurviveARoundTrip) {
    std::string all;
    for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
    const Sxp value = Sxp::pair("bytes", all);
    EXPECT_EQ(parsed(to_string(value)), value);
    EXPECT_EQ(parsed(R"("\x41\102\n\'\"")").text(), "AB\n'\"");
    EXPECT_EQ(to_string(Sxp::atom("")), "''");
    EXPECT_EQ(to_string(Sxp::atom("a b")), "'a b'");
    EXPECT_EQ(to_string(Sxp::atom("phy:/dev/sda1")), "phy:/dev/sda1");
}

TEST(Sxp, SeparatorsSplitAtoms) {
    const Sxp value = parsed("(a<b c;d)");
    ASSERT_EQ(value.items().size(), 6u);
    EXPECT_EQ(value.items()[1].text(), "<");
    EXPECT_EQ(parsed("(a'b'c)").items().size(), 3u);
}

TEST(Sxp, ErrorsNameLineAndColumn) {
    const auto check = [](std::string_view text, std::string_view message) {
        const auto value = parse_sxp(text);
        ASSERT_FALSE(value) << text;
        EXPECT_EQ(value.failure().text, message);
    };
    check("(a\n (b)", "Syntax error at line 2, column 4: the text ends inside a list: ')' is missing");
    check("(a))", "Syntax error at line 1, column 4: unexpected ')'");
    check("(a 'b)", "Syntax error at line 1, column 6: the text ends inside a string");
    check("'\\q'", "Syntax error at line 1, column 3: unknown escape \\q");
    check("'\\xg0'", "Syntax error at line 1, column 4: bad digit in an escape");
    check("'\\777'", "Syntax error at line 1, column 5: an octal escape above \\377");
    check("", "Expected one value, found 0");
    check("a b", "Expected one value, found 2");
}

TEST(Sxp, LimitsHoldAgainstHostileInput) {
    EXPECT_EQ(parse_sxp(std::string(1000, '(')).failure().code, base::Errc::toobig);
    EXPECT_EQ(parse_sxp("(" + std::string(100, 'a'), {.bytes = 50}).failure().code, base::Errc::toobig);
    EXPECT_EQ(parse_sxp("(a b c)", {.values = 3}).failure().code, base::Errc::toobig);
    EXPECT_TRUE(parse_sxp("(a b c)", {.values = 4}));
    std::string nested(64, '(');
    nested.append(64, ')');
    EXPECT_TRUE(parse_sxp(nested));
}

TEST(Sxp, ParserTakesBytesAsTheyCome) {
    proto::SxpParser parser;
    const std::string_view text = "(one 'two three')\n(four)\x04(ignored";
    for (const char c : text) ASSERT_TRUE(parser.feed({&c, 1}));
    ASSERT_TRUE(parser.finish());
    EXPECT_TRUE(parser.ended());
    ASSERT_TRUE(parser.has_value());
    EXPECT_EQ(to_string(parser.take()), "(one 'two three')");
    EXPECT_EQ(to_string(parser.take()), "(four)");
    EXPECT_FALSE(parser.has_value());
}

TEST(Sxp, AParserStaysFailed) {
    proto::SxpParser parser;
    EXPECT_FALSE(parser.feed(")"));
    EXPECT_FALSE(parser.feed("(fine)"));
    EXPECT_FALSE(parser.has_value());
}

TEST(Sxp, BuildsAndEdits) {
    Sxp vm = Sxp::named("vm");
    vm.add("name", "a").add("memory", "1").add(Sxp::pair("image", Sxp::pair("kernel", "/k")));
    vm.set("memory", "2").set("vcpus", "4");
    EXPECT_EQ(to_string(vm), "(vm (name a) (memory 2) (image (kernel /k)) (vcpus 4))");
    EXPECT_EQ(vm.remove("name"), 1u);
    EXPECT_EQ(vm.remove("name"), 0u);
    EXPECT_EQ(Sxp{}.child("x"), nullptr);
    EXPECT_EQ(to_string(Sxp{}), "()");
}

TEST(Sxp, PrettyPrintsWithinTheWidth) {
    Sxp vm = Sxp::named("domain");
    for (int i = 0; i < 12; ++i) vm.add("key" + std::to_string(i), std::string(20, 'v'));
    const std::string text = to_pretty_string(vm);
    EXPECT_EQ(parsed(text), vm);
    std::size_t start = 0;
    for (std::size_t end; (end = text.find('\n', start)) != std::string::npos; start = end + 1) EXPECT_LE(end - start, 80u);
    EXPECT_NE(text.find("\n    (key0 "), std::string::npos);
    EXPECT_EQ(to_pretty_string(parsed("(a (b c))")), "(a (b c))");
}

TEST(Print, TheWriterMakesTheSameText) {
    proto::SxpWriter out;
    out.open();
    out.open();
    out.atom("domain");
    out.pair("name", "a b");
    out.pair("empty", "");
    out.pair("odd", "(x)'\n");
    out.close();
    out.add(Sxp::named("one").add("id", "1"));
    out.atom("last");
    out.close();
    const Sxp same = Sxp::list({Sxp::named("domain").add("name", "a b").add("empty", "").add("odd", "(x)'\n"),
                                Sxp::named("one").add("id", "1"), Sxp::atom("last")});
    EXPECT_EQ(out.take(), proto::to_string(same));
}

}  // namespace
