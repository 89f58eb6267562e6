// SPDX-License-Identifier: Apache-2.0
// link: x86
/// CPU policies leaf by leaf: of machines that have everything, nothing or something, what guests are offered, and what one
/// of their own may say.
#include "lib/x86/cpu_policy.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "lib/x86/leaf_rules.hpp"

namespace {

using namespace x86;
using namespace x86::cpu_policy;

using Key = std::pair<uint32_t, uint32_t>;
struct Words {
    uint32_t a = 0, b = 0, c = 0, d = 0;
    bool operator==(const Words&) const = default;
};
std::ostream& operator<<(std::ostream& o, const Words& w) {
    return o << std::hex << w.a << ' ' << w.b << ' ' << w.c << ' ' << w.d;
}
std::map<Key, Words> in(const CpuPolicy& p) {
    std::map<Key, Words> words;
    for (unsigned i = 0; i < p.count; ++i) {
        const xen::CpuidLeaf& l = p.leaves[i];
        EXPECT_TRUE(words.emplace(Key{l.leaf, l.subleaf}, Words{l.a, l.b, l.c, l.d}).second) << "twice: " << std::hex << l.leaf;
    }
    return words;
}

/// A machine whose registers are a hash of the leaf and a seed, but for the two that say how many leaves there are.
uint32_t seed = 0, highest_basic = 0, highest_extended = 0;
CpuidResult something(uint32_t leaf, uint32_t subleaf) {
    std::minstd_rand r(seed + leaf * 31 + subleaf);
    const auto word = [&r] { return static_cast<uint32_t>(r() << 16 ^ r()); };
    CpuidResult h{word(), word(), word(), word()};
    if (leaf == 0) h.a = highest_basic;
    if (leaf == 0x80000000) h.a = highest_extended;
    return h;
}
CpuidResult everything(uint32_t, uint32_t) { return {~0u, ~0u, ~0u, ~0u}; }
CpuidResult nothing(uint32_t, uint32_t) { return {}; }

constexpr uint32_t no = no_subleaf;
constexpr Words ones{all, all, all, all}, zeros{};

struct CpuPolicies : testing::Test {
    OfferedMachine machine;
    CpuPolicy raw_policy, pv_policy;
    void make(CpuidReader read) { make_policies(read, machine, raw_policy, pv_policy); }
};

/// What guests see of a CPU that has every bit set: each register, spelt out.
std::map<Key, Words> all_that_is_offered(bool amd) {
    constexpr uint32_t save_size = 0x340;
    std::map<Key, Words> m = {
        {{0, no}, {0xd, all, all, all}},
        {{1, no}, {all, 0x00ffffff, 0xf6d83203, amd ? 0x1f89c3f5u : 0x1f89cbf5u}},
        {{2, no}, {all, all, all, all}},
        {{7, 0}, {0, 0x218c2369, 0x00400700, 0x8c000410}},
        {{0xb, 0}, {}},
        {{0xb, 1}, {}},
        {{0xd, 0}, {7, all, save_size, 0}},
        {{0xd, 1}, {7, 0, 0, 0}},
        {{0xd, 2}, {all, all, 0, 0}},
        {{0x40000000, no}, {}},
        {{0x40000100, no}, {}},
        {{0x80000001, no}, {amd ? all : 0, 0, 0x002109e3, 0xebd1cbf5}},
        {{0x80000007, no}, {0, 0, 0, 0x100}},
        {{0x80000008, no}, {all, 0x64001000, amd ? all : 0, 0}},
        {{0x80000021, no}, {0x44, 0, 0, 0}},
    };
    for (uint32_t cache = 0; cache < 5; ++cache) m[{4, cache}] = {all, all, all, all};
    for (uint32_t name = 0x80000002; name <= 0x80000004; ++name) m[{name, no}] = {all, all, all, all};
    m[{0x80000000, no}] = amd ? Words{0x80000021, all, all, all} : Words{0x80000008, 0, 0, 0};
    m[{0x80000005, no}] = amd ? Words{all, all, all, all} : Words{};
    m[{0x80000006, no}] = amd ? Words{all, all, all, all} : Words{0, 0, all, 0};
    for (const uint32_t empty : {3u, 5u, 6u, 8u, 9u, 0xau, 0xcu}) m[{empty, no}] = {};
    for (uint32_t empty = 0x80000009; amd && empty <= 0x80000020; ++empty) m[{empty, no}] = {};
    return m;
}

TEST_F(CpuPolicies, EachRegisterOfAFullMachine) {
    machine = {false, 0x340, spec_ctrl::ibrs | spec_ctrl::stibp | spec_ctrl::ssbd, true};
    for (const bool amd : {false, true}) {
        machine.amd = amd;
        make(everything);
        const auto offered = in(pv_policy);
        const auto expected = all_that_is_offered(amd);
        for (const auto& [key, words] : expected) {
            const auto found = offered.find(key);
            ASSERT_NE(found, offered.end()) << std::hex << key.first << '.' << key.second << " is missing";
            EXPECT_EQ(found->second, words) << std::hex << key.first << '.' << key.second << (amd ? " on AMD" : " on Intel");
        }
        EXPECT_EQ(offered.size(), expected.size());
        const auto raw = in(raw_policy);
        for (const auto& [key, words] : raw) EXPECT_EQ(words, ones) << std::hex << key.first;
        EXPECT_EQ(raw.size(), expected.size());
    }
}

TEST_F(CpuPolicies, AnEmptyMachineOffersThatItIsOne) {
    make(nothing);
    for (const auto& [key, words] : in(raw_policy)) EXPECT_EQ(words, zeros) << std::hex << key.first;
    const auto offered = in(pv_policy);
    EXPECT_EQ(offered.at({0, no}), zeros);
    EXPECT_FALSE(offered.contains({1, no})) << "beyond the highest leaf";
    EXPECT_EQ(pv_policy.highest[0], 0u);
    EXPECT_EQ(pv_policy.highest[1], 0u);
}

TEST_F(CpuPolicies, NothingIsOfferedThatTheMachineHasNot) {
    machine.spec_ctrl_allowed = 7;
    machine.has_ibpb = true;
    for (seed = 1; seed < 400; ++seed) {
        machine.amd = seed % 2;
        highest_basic = seed % 0x20;
        highest_extended = 0x80000000 + seed % 0x23;
        make(something);
        const auto raw = in(raw_policy), offered = in(pv_policy);
        for (auto [key, words] : offered) {
            ASSERT_TRUE(raw.contains(key));
            const Words& have = raw.at(key);
            const Key basic{1, no}, states{0xd, 0};
            if (key == basic) {
                EXPECT_TRUE(words.c & hypervisor_present);
                words.c &= ~hypervisor_present;
            }
            if (key == states) words.c = 0;  // how much our own states need
            const bool count = (key.first & 0x7fffffff) == 0;
            EXPECT_TRUE(count ? words.a <= have.a : (words.a & ~have.a) == 0) << std::hex << key.first;
            EXPECT_EQ((words.b & ~have.b) | (words.c & ~have.c) | (words.d & ~have.d), 0u) << std::hex << key.first;
            if (key.first < hypervisor_base) { EXPECT_LE(key.first, highest_basic); }
        }
    }
}

/// What a guest's policy is for a leaf when its tools say `l`.
Words given(CpuPolicy& own, const CpuPolicy& offered, const xen::CpuidLeaf& l) {
    EXPECT_TRUE(restrict_policy(offered, {&l, 1}, own));
    return in(own).at({l.leaf, l.subleaf});
}

TEST_F(CpuPolicies, EachLeafOfAGuestsOwn) {
    machine = {true, 0x340, 0, false};
    make(everything);
    const auto offered = in(pv_policy);
    for (const LeafRule& r : pv_rules) {
        if (r.leaf >= hypervisor_base && r.leaf < hypervisor_end) continue;
        CpuPolicy more = pv_policy, less = pv_policy, some = pv_policy;
        const Words ours = offered.at({r.leaf, r.subleaf});
        const Words most = given(more, pv_policy, {r.leaf, r.subleaf, all, all, all, all});
        const Words least = given(less, pv_policy, {r.leaf, r.subleaf, 0, 0, 0, 0});
        const Words half = given(some, pv_policy, {r.leaf, r.subleaf, 0x55555555, 0x55555555, 0xf5555555, 0x55555555});
        EXPECT_EQ(most, ours) << std::hex << r.leaf << ": nothing is more than ours";
        const bool fixed = r.freedom == Freedom::none;
        const bool highest = r.freedom == Freedom::lower, features = r.freedom == Freedom::fewer;
        const bool identity = r.freedom == Freedom::identity, widths = r.freedom == Freedom::widths;
        const uint32_t under_hypervisor = r.leaf == 1 ? hypervisor_present : 0;
        // Without XSAVE and AVX in leaf 1 other leaves shrink, but only the leaf that was given is looked at here.
        if (fixed) { EXPECT_EQ(least, ours) << std::hex << r.leaf; }
        if (highest) { EXPECT_EQ(least, (Words{0, ours.b, ours.c, ours.d})); }
        if (features) { EXPECT_EQ(least, zeros) << std::hex << r.leaf; }
        if (identity) { EXPECT_EQ(least, (Words{0, 0, under_hypervisor, 0})); }
        if (widths) { EXPECT_EQ(least, (Words{ours.a, 0, 0, ours.d})); }
        if (r.freedom == Freedom::any) { EXPECT_EQ(half, (Words{0x55555555, 0x55555555, 0xf5555555, 0x55555555})); }
        if (features) {
            EXPECT_EQ(half, (Words{ours.a & 0x55555555, ours.b & 0x55555555, ours.c & 0xf5555555, ours.d & 0x55555555}));
        }
    }
}

TEST_F(CpuPolicies, LeavesThatAreNotOursChangeNothing) {
    make(everything);
    CpuPolicy own = pv_policy;
    const auto before = in(own);
    for (const uint32_t leaf : {0xeu, 0x19u, 0x40000000u, 0x4000ffffu, 0x80000022u, 0xc0000000u}) {
        const xen::CpuidLeaf l{leaf, no, 1, 2, 3, 4};
        EXPECT_TRUE(restrict_policy(pv_policy, {&l, 1}, own));
    }
    const xen::CpuidLeaf subleaf{7, 1, 1, 2, 3, 4};
    EXPECT_TRUE(restrict_policy(pv_policy, {&subleaf, 1}, own));
    EXPECT_EQ(in(own), before);
}

TEST_F(CpuPolicies, WhatNeedsAVectorStateGoesWithIt) {
    constexpr uint32_t xsave = 1u << 26, fma = 1u << 12, avx2 = 1u << 5, avx_state = 4;
    machine = {true, 0x340, 0, false};
    make(everything);
    const Words ours = in(pv_policy).at({1, no});
    const xen::CpuidLeaf without{1, no, ours.a, ours.b, ours.c & ~xsave, ours.d};
    CpuPolicy own = pv_policy;
    EXPECT_EQ(given(own, pv_policy, without).c & fma, 0u);
    EXPECT_NE(in(pv_policy).at({7, 0}).b & avx2, 0u);
    EXPECT_EQ(in(own).at({7, 0}).b & avx2, 0u);
    EXPECT_EQ(in(own).at({0xd, 0}).a & avx_state, 0u);
}

TEST_F(CpuPolicies, AFeatureSetIsWordsOfThePolicy) {
    ASSERT_TRUE(raw_policy.set({1, no, 1, 2, 3, 4}));
    ASSERT_TRUE(raw_policy.set({7, 0, 5, 6, 7, 8}));
    EXPECT_EQ(feature_word(raw_policy, 0), 4u);
    EXPECT_EQ(feature_word(raw_policy, 1), 3u);
    EXPECT_EQ(feature_word(raw_policy, 2), 0u) << "no such leaf";
    EXPECT_EQ(feature_word(raw_policy, 5), 6u);
    EXPECT_EQ(feature_word(raw_policy, feature_words - 1), 0u);
    // hw_caps of an EPYC, as Xen 4.17 prints it; Intel's CPUs keep what AMD's have not.
    const xen::CpuidLeaf epyc[] = {{1, xen::XEN_CPUID_NO_SUBLEAF, 0, 0, 0xfed83203, 0x178bfbfd},
                                   {0x80000001, xen::XEN_CPUID_NO_SUBLEAF, 0, 0, 0x177, 0x2dd3fbfd}};
    x86::CpuPolicy epycs;
    for (const xen::CpuidLeaf& l : epyc) epycs.leaves[epycs.count++] = l;
    EXPECT_EQ(x86::shown_feature_word(epycs, 0, true), 0x178bf3fdu);
    EXPECT_EQ(x86::shown_feature_word(epycs, 1, true), 0xf6d83203u);
    EXPECT_EQ(x86::shown_feature_word(epycs, 2, true), 0x2c500800u);
    EXPECT_EQ(x86::shown_feature_word(epycs, 3, true), 0x177u);
    EXPECT_EQ(x86::shown_feature_word(epycs, 0, false), 0x178bfbfdu);
    EXPECT_EQ(x86::shown_feature_word(epycs, 1, false), 0xf6d83203u);
    EXPECT_EQ(x86::shown_feature_word(epycs, 2, false), 0x2dd3fbfdu);
}

}  // namespace
