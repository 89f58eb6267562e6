// SPDX-License-Identifier: Apache-2.0
// link: x86
// Where the CPUs of known models stand, by what their CPUID says.
#include "lib/x86/topology.hpp"

#include <gtest/gtest.h>

#include <map>
#include <utility>

namespace {

using x86::CpuidResult;
using Leaves = std::map<std::pair<uint32_t, uint32_t>, CpuidResult>;

Leaves leaves;

x86::Topology of(const Leaves& these, bool amd) {
    leaves = these;
    return x86::read_topology(
        [](uint32_t leaf, uint32_t subleaf) {
            const auto found = leaves.find({leaf, subleaf});
            return found == leaves.end() ? CpuidResult{} : found->second;
        },
        amd);
}

void expect(const x86::Topology& t, unsigned thread_bits, unsigned package_bits) {
    EXPECT_EQ(t.thread_bits, thread_bits);
    EXPECT_EQ(t.package_bits, package_bits);
}

TEST(Topology, ByLevels) {
    // Two threads a core, up to 16 CPUs a package.
    const Leaves two_levels = {{{0, 0}, {0x16, 0, 0, 0}}, {{0xb, 0}, {1, 2, 0x100, 0}}, {{0xb, 1}, {4, 8, 0x201, 0}}};
    const x86::Topology t = of(two_levels, false);
    expect(t, 1, 4);
    EXPECT_EQ(t.core(0x17), 3u);
    EXPECT_EQ(t.socket(0x17), 1u);
    expect(of(two_levels, true), 1, 4);
    // Without the level of cores a package is a core.
    expect(of({{{0, 0}, {0xb, 0, 0, 0}}, {{0xb, 0}, {1, 2, 0x100, 0}}}, false), 1, 1);
    // A leaf of zeros says nothing, and one that CPUID has not is not asked.
    expect(of({{{0, 0}, {0xb, 0, 0, 0}}, {{1, 0}, {0, 0x20000, 0, 1u << 28}}, {{4, 0}, {1u << 26, 0, 0, 0}}}, false), 0, 1);
    expect(of({{{0, 0}, {0xa, 0, 0, 0}}, {{0xb, 0}, {1, 2, 0x100, 0}}}, false), 0, 0);
}

TEST(Topology, ByAmdsLeaves) {
    const CpuidResult last{0x8000001e, 0, 0, 0}, old_last{0x80000008, 0, 0, 0}, extensions{0, 0, 1u << 22, 0};
    // Six cores, bits not said.
    expect(of({{{0x80000000, 0}, old_last}, {{0x80000008, 0}, {0, 0, 5, 0}}}, true), 0, 3);
    // Said: 4.
    expect(of({{{0x80000000, 0}, old_last}, {{0x80000008, 0}, {0, 0, 0x4005, 0}}}, true), 0, 4);
    // Two threads a core.
    const Leaves threads = {{{0x80000000, 0}, last},
                            {{0x80000001, 0}, extensions},
                            {{0x80000008, 0}, {0, 0, 0x4007, 0}},
                            {{0x8000001e, 0}, {0, 0x100, 0, 0}}};
    const x86::Topology t = of(threads, true);
    expect(t, 1, 4);
    EXPECT_EQ(t.core(5), 2u);
    EXPECT_EQ(t.socket(0x25), 2u);
    expect(of({{{0x80000000, 0}, {0x80000004, 0, 0, 0}}}, true), 0, 0);
}

TEST(Topology, ByCounts) {
    // Four logical CPUs, two cores.
    expect(of({{{0, 0}, {4, 0, 0, 0}}, {{1, 0}, {0, 4u << 16, 0, 1u << 28}}, {{4, 0}, {1u << 26, 0, 0, 0}}}, false), 1, 2);
    expect(of({{{0, 0}, {4, 0, 0, 0}}, {{1, 0}, {0, 4u << 16, 0, 0}}}, false), 0, 0);
    // What contradicts itself shifts nothing away.
    expect(of({{{0, 0}, {0xb, 0, 0, 0}}, {{0xb, 0}, {31, 2, 0x100, 0}}, {{0xb, 1}, {0, 8, 0x201, 0}}}, false), 31, 31);
}

}  // namespace
