// SPDX-License-Identifier: Apache-2.0
// link: hvmodel
// Random steps of hostile guests and of the control domain on the real core; after each part of each step the counts of every
// page are computed anew and compared, and so is what CPUs may have cached. HV_MODEL_SECONDS and HV_MODEL_SEED make it
// longer, or another; HV_WORLD_DUMP=FILE keeps a failing world's steps, for the fuzzer to play again.
#include "tests/model/page_model.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "tests/machine/host.hpp"
#include "tests/model/world.hpp"

namespace {

using namespace hvmodel;

uint64_t setting(const char* name, uint64_t otherwise) {
    const char* s = std::getenv(name);
    return s ? std::strtoull(s, nullptr, 0) : otherwise;
}

TEST(PageModel, EveryCallIsInTheGrammar) { check_grammar(); }

TEST(PageModel, CountsAreWhatHoldsThem) {
    constexpr unsigned steps_each = 600;
    const uint64_t seed = setting("HV_MODEL_SEED", 1);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(setting("HV_MODEL_SECONDS", 20));
    uint64_t worlds = 0, steps = 0, parts = 0;
    for (; std::chrono::steady_clock::now() < end; ++worlds) {
        Random random(seed << 32 | worlds);
        World w({1, worlds % 2 == 0});
        for (unsigned i = 0; i < steps_each; ++i, ++steps) w.step(random.record());
        parts += w.parts();
    }
    std::printf("page model: %lu steps in %lu worlds, checked %lu times, seed %lu\n", steps, worlds, parts, seed);
    EXPECT_GT(steps, 1000u);
}

}  // namespace
