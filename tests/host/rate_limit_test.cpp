// SPDX-License-Identifier: Apache-2.0
// link: base pthread
// tsan
#include "lib/base/rate_limit.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace {

using base::Nanos;
using base::RateLimit;

unsigned taken(RateLimit& limit, Nanos now, unsigned asked) {
    unsigned n = 0;
    for (unsigned i = 0; i < asked; ++i) n += limit.take(now);
    return n;
}

TEST(RateLimit, ABurstAndThenOneEachInterval) {
    RateLimit limit(3, Nanos::ms(10));
    EXPECT_EQ(taken(limit, Nanos::s(1), 5), 3u);
    EXPECT_EQ(limit.take_refused(), 2u);
    EXPECT_EQ(limit.take_refused(), 0u);
    EXPECT_EQ(taken(limit, Nanos::s(1) + Nanos::us(9999), 1), 0u);
    EXPECT_EQ(taken(limit, Nanos::s(1) + Nanos::ms(10), 2), 1u);
    EXPECT_EQ(limit.take_refused(), 2u);
    EXPECT_EQ(taken(limit, Nanos::s(1) + Nanos::ms(30), 5), 2u);
    EXPECT_EQ(taken(limit, Nanos::s(1000), 5), 3u) << "a long silence saves up no more than a burst";
}

TEST(RateLimit, ThreadsShareIt) {
    constexpr unsigned threads = 4, each = 1000, burst = 100;
    RateLimit limit(burst, Nanos::ms(1));
    std::vector<unsigned> got(threads);
    {
        std::vector<std::jthread> running;
        for (unsigned& n : got) running.emplace_back([&limit, &n] { n = taken(limit, Nanos::s(1), each); });
    }
    unsigned all = 0;
    for (const unsigned n : got) all += n;
    EXPECT_EQ(all, burst);
    EXPECT_EQ(limit.take_refused(), threads * each - burst);
}

}  // namespace
