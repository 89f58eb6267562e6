// SPDX-License-Identifier: Apache-2.0
// link: xenconsoled_core
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "toolstack/xenconsoled/capped_log.hpp"
#include "toolstack/xenconsoled/console.hpp"

namespace xenconsoled {
namespace {

struct alignas(4096) Page {
    char bytes[4096] = {};
    xen::XenconsInterface& ring() { return *reinterpret_cast<xen::XenconsInterface*>(bytes); }
    /// As a guest prints.
    size_t print(std::string_view text) {
        auto& r = ring();
        size_t n = 0;
        for (; n < text.size() && r.out_prod - r.out_cons < sizeof r.out; ++n) r.out[r.out_prod++ % sizeof r.out] = text[n];
        return n;
    }
    std::string typed() {
        auto& r = ring();
        std::string got;
        while (r.in_cons != r.in_prod) got += r.in[r.in_cons++ % sizeof r.in];
        return got;
    }
};

std::string take(ConsoleRing& ring) {
    std::string got;
    ring.take_output([&](std::string_view bytes) { got += bytes; });
    return got;
}

TEST(Backlog, KeepsTheNewestUpToTheLimit) {
    Backlog b(10);
    b.append("0123456789");
    b.append("abc");
    EXPECT_EQ(b.front(), "3456789abc");
    EXPECT_EQ(b.dropped(), 3u);
    b.consume(4);
    EXPECT_EQ(b.front(), "789abc");
    b.append(std::string(100, 'z'));
    EXPECT_EQ(b.front(), std::string(10, 'z'));
    b.consume(1000);
    EXPECT_TRUE(b.empty());
}

std::string contents(const std::string& path) {
    std::ifstream in(path);
    return std::string(std::istreambuf_iterator<char>(in), {});
}

TEST(CappedLog, NeverHoldsMoreThanTwiceItsLimit) {
    std::string folder = (std::filesystem::temp_directory_path() / "capped-XXXXXX").string();
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    const std::string path = folder + "/g.log";
    CappedLog log(100);
    ASSERT_TRUE(log.open(path));
    for (int i = 0; i < 1000; ++i) log.append("0123456789" + std::to_string(i) + "\n");
    EXPECT_LE(std::filesystem::file_size(path), 100u);
    EXPECT_LE(std::filesystem::file_size(path + ".1"), 100u);
    EXPECT_TRUE(contents(path).ends_with("0123456789999\n"));
    EXPECT_TRUE((contents(path + ".1") + contents(path)).ends_with("998\n0123456789999\n")) << "nothing between is lost";
    // One that goes on with a file counts what is there; one that somebody moved away stays where it is.
    CappedLog again(100);
    ASSERT_TRUE(again.open(path));
    std::filesystem::rename(path, folder + "/moved");
    const std::string moved = contents(folder + "/moved"), old = contents(path + ".1");
    again.append(std::string(90, 'x'));
    EXPECT_EQ(contents(path), std::string(90, 'x'));
    EXPECT_EQ(contents(folder + "/moved"), moved);
    EXPECT_EQ(contents(path + ".1"), old);
    std::filesystem::remove_all(folder);
}

TEST(Backlog, AgreesWithAString) {
    std::mt19937 random(1);
    Backlog b(5000);
    std::string model;
    for (int i = 0; i < 5000; ++i) {
        const std::string more(random() % 300, static_cast<char>('a' + random() % 26));
        b.append(more);
        model += more;
        if (model.size() > 5000) model.erase(0, model.size() - 5000);
        const size_t n = std::min<size_t>(random() % 400, model.size());
        b.consume(n);
        model.erase(0, n);
        ASSERT_EQ(b.front(), model);
    }
}

TEST(Console, CarriesBothWaysAcrossTheWrap) {
    Page page;
    ConsoleRing ring(page.bytes);
    page.ring().out_cons = page.ring().out_prod = 0xfffffff0;
    page.ring().in_cons = page.ring().in_prod = 0xfffffff8;
    EXPECT_EQ(page.print("a line longer than sixteen bytes\n"), 33u);
    EXPECT_EQ(take(ring), "a line longer than sixteen bytes\n");
    EXPECT_EQ(take(ring), "");
    EXPECT_EQ(ring.put_input("typed across the wrap"), 21u);
    EXPECT_EQ(page.typed(), "typed across the wrap");
}

TEST(Console, StopsWhenTheGuestDoesNotReadItsInput) {
    Page page;
    ConsoleRing ring(page.bytes);
    EXPECT_EQ(ring.input_room(), 1024u);
    EXPECT_EQ(ring.put_input(std::string(2000, 'x')), 1024u);
    EXPECT_EQ(ring.input_room(), 0u);
    EXPECT_EQ(ring.put_input("y"), 0u);
    EXPECT_EQ(page.typed(), std::string(1024, 'x'));
    EXPECT_EQ(ring.input_room(), 1024u);
}

TEST(Console, ImpossibleIndexesLoseOutputNotTheConsole) {
    Page page;
    ConsoleRing ring(page.bytes);
    page.ring().out_prod = 100000;
    EXPECT_EQ(take(ring), "");
    EXPECT_EQ(ring.broken(), 1u);
    page.print("after");
    EXPECT_EQ(take(ring), "after");
    page.ring().in_cons = 77777;
    EXPECT_EQ(ring.input_room(), 0u);
    EXPECT_EQ(ring.put_input("x"), 0u);
}

TEST(Console, RandomPagesAreHarmless) {
    std::mt19937 random(2);
    for (int i = 0; i < 2000; ++i) {
        Page page;
        for (size_t at = 3072; at < 3088; ++at) page.bytes[at] = static_cast<char>(random());
        ConsoleRing ring(page.bytes);
        EXPECT_LE(take(ring).size(), 2048u);
        EXPECT_LE(ring.put_input(std::string(4096, 'x')), 1024u);
    }
}

TEST(RateLimit, AllowsSoManyAPeriod) {
    RateLimit limit;
    for (unsigned i = 0; i < RateLimit::events; ++i) EXPECT_TRUE(limit.allow(1000));
    EXPECT_FALSE(limit.allow(1100));
    EXPECT_EQ(limit.end(), 1200);
    EXPECT_TRUE(limit.allow(1200));
}

TEST(Log, FileNamesStayInTheirFolder) {
    EXPECT_EQ(safe_file_name("demo"), "demo");
    EXPECT_EQ(safe_file_name("../../etc/passwd"), "_.._.._etc_passwd");
    EXPECT_EQ(safe_file_name(""), "_");
    EXPECT_EQ(safe_file_name("a b\n\x1b"), "a_b__");
    EXPECT_LE(safe_file_name(std::string(5000, 'x')).size(), 200u);
}

}  // namespace
}  // namespace xenconsoled
