// SPDX-License-Identifier: Apache-2.0
/// A policy as a set of features: the words that tools compare machines by.
#include "lib/x86/cpu_policy.hpp"

namespace x86 {
namespace {

enum class Register : uint8_t { a, b, c, d };

struct FeatureWord {
    uint32_t leaf;
    uint32_t subleaf;
    Register reg;
};

constexpr uint32_t no_sub = xen::XEN_CPUID_NO_SUBLEAF;

/// The order of words in a feature set (public ABI).
constexpr FeatureWord places[] = {
    {1, no_sub, Register::d},
    {1, no_sub, Register::c},
    {0x80000001, no_sub, Register::d},
    {0x80000001, no_sub, Register::c},
    {0xd, 1, Register::a},
    {7, 0, Register::b},
    {7, 0, Register::c},
    {0x80000007, no_sub, Register::d},
    {0x80000008, no_sub, Register::b},
    {7, 0, Register::d},
    {7, 1, Register::a},
    {0x80000021, no_sub, Register::a},
    {7, 1, Register::b},
    {7, 2, Register::d},
};
static_assert(sizeof places / sizeof *places == feature_words);

}  // namespace

uint32_t feature_word(const CpuPolicy& p, uint32_t i) {
    const FeatureWord& w = places[i];
    const xen::CpuidLeaf* l = p.find(w.leaf, w.subleaf);
    if (!l) return 0;
    switch (w.reg) {
        case Register::a: return l->a;
        case Register::b: return l->b;
        case Register::c: return l->c;
        default: return l->d;
    }
}

uint32_t shown_feature_word(const CpuPolicy& p, uint32_t i, bool amd) {
    constexpr uint32_t basic_d = 0, basic_c = 1, extended_d = 2;
    constexpr uint32_t sysenter = 1u << 11, osxsave = 1u << 27, said_twice = 0x0183f3ff;
    const uint32_t word = feature_word(p, i);
    if (i == basic_c) return word & ~osxsave;
    if (amd && i == basic_d) return word & ~sysenter;
    if (amd && i == extended_d) return word & ~said_twice;
    return word;
}

}  // namespace x86
