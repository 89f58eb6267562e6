// SPDX-License-Identifier: Apache-2.0
// link: xentrace_core
/// xentrace's command line and file.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <sstream>

#include "abi/xen/trace.hpp"
#include "toolstack/xentrace/options.hpp"
#include "toolstack/xentrace/output.hpp"

namespace {

using namespace xentrace;
using Map = std::vector<uint8_t>;

base::Outcome<Options> from(std::vector<std::string> words) {
    words.insert(words.begin(), "xentrace");
    std::vector<char*> argv;
    for (std::string& w : words) argv.push_back(w.data());
    argv.push_back(nullptr);
    return parse(static_cast<int>(words.size()), argv.data());
}
std::string complaint(std::vector<std::string> words) {
    const auto o = from(std::move(words));
    return o ? "" : o.failure().text;
}

TEST(Xentrace, Options) {
    const auto o = from({"-D", "-S", "64", "--time-interval=4", "-e", "0x0002f000", "-c", "0-2", "-s", "50", "-t", "10", "-r",
                         "5M", "-x", "out"});
    ASSERT_TRUE(o);
    EXPECT_TRUE(o.value().discard && o.value().leave_on && o.value().start);
    EXPECT_EQ(o.value().pages, 64u);
    EXPECT_EQ(o.value().duration.count(), 4);
    EXPECT_EQ(o.value().events, 0x2f000u);
    EXPECT_EQ(o.value().cpus, Map{7});
    EXPECT_EQ(o.value().sleep.count(), 50);
    EXPECT_EQ(o.value().threshold, 10u);
    EXPECT_EQ(o.value().reserve, 5u << 20);
    EXPECT_EQ(o.value().file, "out");
    const auto plain = from({});
    ASSERT_TRUE(plain);
    EXPECT_TRUE(plain.value().file.empty() && !plain.value().events && !plain.value().cpus && !plain.value().leave_on);
    EXPECT_EQ(plain.value().pages, 32u);
    for (const char* help : {"-?", "--help", "--usage"}) EXPECT_TRUE(from({help}).value().help) << help;
    EXPECT_TRUE(from({"-V"}).value().version);
    EXPECT_FALSE(from({"-X"}).value().start);
}

TEST(Xentrace, WhatIsMistyped) {
    EXPECT_EQ(complaint({"-z"}), "-z is no option: xentrace --help shows those there are");
    EXPECT_EQ(complaint({"--frob"}), "--frob is no option: xentrace --help shows those there are");
    EXPECT_EQ(complaint({"-S"}), "-S wants a value");
    EXPECT_EQ(complaint({"-S", "0"}), "--trace-buf-size: '0' is no number from 1 to 65535");
    EXPECT_EQ(complaint({"-S", "32x"}), "--trace-buf-size: '32x' is no number from 1 to 65535");
    EXPECT_EQ(complaint({"-T", "-1"}), "--time-interval: '-1' is no number from 1 to 1000000000");
    EXPECT_EQ(complaint({"-s", "0"}), "--poll-sleep: '0' is no number from 1 to 3600000");
    EXPECT_EQ(complaint({"-e", "sheduling"}), "--evt-mask: 'sheduling' is not a mask of 32 bits, nor a class of events");
    EXPECT_EQ(complaint({"-e", "0x1ffffffff"}), "--evt-mask: '0x1ffffffff' is not a mask of 32 bits, nor a class of events");
    EXPECT_EQ(complaint({"-r", "lots"}), "--reserve-disk-space: 'lots' is not a number of bytes, like 500M");
    EXPECT_EQ(complaint({"a", "b"}), "one file is enough: 'b' is too much");
    EXPECT_NE(complaint({"-M", "1M"}).find("not there"), std::string::npos);
}

TEST(Xentrace, CpusAndEvents) {
    EXPECT_EQ(parse_cpus("3").value(), Map{8});
    EXPECT_EQ(parse_cpus("0,2-3,8").value(), (Map{0x0d, 1}));
    EXPECT_EQ(parse_cpus("-3").value(), Map{15});
    EXPECT_EQ(parse_cpus("0x5").value(), (Map{5, 0, 0, 0}));
    EXPECT_EQ(parse_cpus("all").value(), Map(512, 0xff));
    const Map from3 = parse_cpus("3-").value();
    EXPECT_EQ(from3.size(), 512u);
    EXPECT_EQ(from3[0], 0xf8);
    for (const char* bad : {"", "-", "3-1", "4096", "a", "1,,2", "0x", "0x100000000", "1-2-3", "0x0", ","})
        EXPECT_FALSE(parse_cpus(bad)) << bad;
    EXPECT_EQ(parse_events("sched").value(), 0x2f000u);
    EXPECT_EQ(parse_events("all").value(), 0x0ffff000u);
    EXPECT_EQ(parse_events("131072").value(), 0x20000u);
    for (const char* bad : {"", "0x", "-1", "Sched", "0xg"}) EXPECT_FALSE(parse_events(bad)) << bad;
}

TEST(Xentrace, TheFile) {
    char name[] = "/tmp/xentrace-XXXXXX";
    ::close(::mkstemp(name));
    const uint32_t a[] = {1, 2, 3}, b[] = {4};
    {
        auto out = Output::open(name, 0);
        ASSERT_TRUE(out);
        ASSERT_TRUE(out.value().add(5, Window{std::as_bytes(std::span(a)), std::as_bytes(std::span(b))}));
    }
    std::ostringstream text;
    text << std::ifstream(name, std::ios::binary).rdbuf();
    const std::string bytes = text.str();
    const uint32_t wanted[] = {xen::TRC_TRACE_CPU_CHANGE | 2u << 28, 5, 16, 1, 2, 3, 4};
    ASSERT_EQ(bytes.size(), sizeof wanted);
    EXPECT_EQ(std::memcmp(bytes.data(), wanted, sizeof wanted), 0);
    auto full = Output::open(name, ~uint64_t{0} >> 1);
    ASSERT_TRUE(full);
    EXPECT_EQ(full.value().add(0, Window{std::as_bytes(std::span(a)), {}}).failure().code, base::Errc::nospc);
    EXPECT_FALSE(Output::open("/nowhere/at/all", 0));
    ::unlink(name);
}

}  // namespace
