// SPDX-License-Identifier: Apache-2.0
// link: hvmodel
/// Plays the stored inputs of guest_fuzz (tests/fuzz/corpus/guest, made by make_guest_corpus.sh) with the oracle after the
/// parts of their steps: what the fuzzer once reached is reached by every run of the host tests, and counts as covered.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "tests/machine/host.hpp"
#include "tests/model/world.hpp"

namespace {

using namespace hvmodel;
namespace host = hv::host;

std::vector<Record> records(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
    std::vector<Record> all(bytes.size() / sizeof(Record));
    if (!all.empty()) std::memcpy(all.data(), bytes.data(), all.size() * sizeof(Record));
    return all;
}

TEST(Corpus, EveryStoredInputLeavesTheMachineWhole) {
    std::vector<std::filesystem::path> inputs;
    for (const auto& f : std::filesystem::directory_iterator(XENOLITH_SOURCE_DIR "/tests/fuzz/corpus/guest"))
        inputs.push_back(f.path());
    std::sort(inputs.begin(), inputs.end());
    ASSERT_GT(inputs.size(), 50u);
    host::log_to_stderr = false;  // what guests write to their consoles is anything
    uint64_t steps = 0, parts = 0;
    for (const auto& input : inputs) {
        const std::vector<Record> all = records(input);
        if (all.empty()) continue;
        // As the fuzzer plays it: whether CPUs cache all they may is the first byte's.
        World w({16, (all[0].bytes[0] & 1) != 0});
        for (const Record& r : all) w.step(r);
        steps += all.size();
        parts += w.parts();
    }
    std::printf("corpus: %zu inputs, %lu steps, %lu parts\n", inputs.size(), steps, parts);
    // A part is a call, a restart or a trap: inputs that the grammar has moved away from would do next to nothing.
    EXPECT_GT(parts, steps);
}

}  // namespace
