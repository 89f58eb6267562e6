// SPDX-License-Identifier: Apache-2.0
#include "lib/x86/topology.hpp"

#include <algorithm>
#include <bit>

namespace x86 {
namespace {

constexpr unsigned most_bits = 31;

/// Bits for as many values.
unsigned bits_for(uint32_t count) { return count ? static_cast<unsigned>(std::bit_width(count - 1)) : 0; }

/// Leaf 0xb: each level says by how many bits the next one's number is shifted. False: it says nothing.
bool by_levels(CpuidReader read, Topology& t) {
    constexpr uint32_t level_of_threads = 1, level_of_cores = 2, levels = 8;
    if (read(0, 0).a < 0xb) return false;
    const auto first = read(0xb, 0);
    if (first.b == 0 || ((first.c >> 8) & 0xff) != level_of_threads) return false;
    t.thread_bits = t.package_bits = first.a & most_bits;
    for (uint32_t i = 1; i < levels; ++i) {
        const auto level = read(0xb, i);
        const uint32_t kind = (level.c >> 8) & 0xff;
        if (kind == 0) break;
        if (kind == level_of_cores) t.package_bits = level.a & most_bits;
    }
    return true;
}

void by_amd_leaves(CpuidReader read, Topology& t) {
    constexpr uint32_t topology_extensions = 1u << 22;
    const uint32_t last = read(0x80000000, 0).a;
    if (last < 0x80000008) return;
    const uint32_t sizes = read(0x80000008, 0).c;
    const unsigned said = (sizes >> 12) & 0xf;
    t.package_bits = said ? said : bits_for((sizes & 0xff) + 1);
    if (last >= 0x8000001e && (read(0x80000001, 0).c & topology_extensions))
        t.thread_bits = bits_for(((read(0x8000001e, 0).b >> 8) & 0xff) + 1);
}

/// Leaf 1 knows of CPUs in a package, leaf 4 of cores.
void by_counts(CpuidReader read, Topology& t) {
    constexpr uint32_t several = 1u << 28;
    const auto basic = read(1, 0);
    if (!(basic.d & several)) return;
    t.package_bits = bits_for((basic.b >> 16) & 0xff);
    const unsigned core_bits = read(0, 0).a >= 4 ? bits_for((read(4, 0).a >> 26) + 1) : 0;
    t.thread_bits = t.package_bits > core_bits ? t.package_bits - core_bits : 0;
}

}  // namespace

Topology read_topology(CpuidReader read, bool amd) {
    Topology t;
    if (!by_levels(read, t)) {
        if (amd) by_amd_leaves(read, t);
        else by_counts(read, t);
    }
    t.package_bits = std::max(t.package_bits, t.thread_bits);
    return t;
}

}  // namespace x86
