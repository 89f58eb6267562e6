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

}  // namespace x86
