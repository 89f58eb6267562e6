// SPDX-License-Identifier: Apache-2.0
/// What the machine looks like from inside: every CPUID leaf, and the model-specific registers that can be read. One line
/// each, to be compared with what another hypervisor shows (tests/system/conform).
#include "guests/conform/conform.hpp"
#include "guests/tiny/console.hpp"

namespace conform {

using namespace guest;

namespace {

struct Leaf {
    uint32_t a, b, c, d;
};

/// CPUID as the hypervisor executes it for a PV guest that asks.
Leaf emulated(uint32_t leaf, uint32_t subleaf) {
    Leaf l{leaf, 0, subleaf, 0};
    asm volatile("ud2; .ascii \"xen\"; cpuid" : "+a"(l.a), "=b"(l.b), "+c"(l.c), "=d"(l.d));
    return l;
}

void show(uint32_t leaf, uint32_t subleaf) {
    const Leaf l = emulated(leaf, subleaf);
    if (l.a | l.b | l.c | l.d)
        print("cpuid ", Hex{leaf}, " ", subleaf, ": ", Hex{l.a}, " ", Hex{l.b}, " ", Hex{l.c}, " ", Hex{l.d}, "\n");
}

void show_range(uint32_t first, uint32_t count) {
    constexpr uint32_t subleaves = 10;
    for (uint32_t leaf = first; leaf < first + count; ++leaf)
        for (uint32_t s = 0; s < subleaves; ++s) {
            // Leaves that do not look at ECX say the same every time.
            if (s != 0 && leaf != 4 && leaf != 7 && leaf != 0xb && leaf != 0xd && (leaf >> 16) != 0x4000) break;
            show(leaf, s);
        }
}

struct MsrRange {
    uint32_t first, last;
};

constexpr MsrRange msr_ranges[] = {
    {0, 0x1fff},
    {0x40000000, 0x4000030f},
    {0xc0000000, 0xc00001ff},
    {0xc0000400, 0xc000041f},
    {0xc0002000, 0xc000200f},
    {0xc0010000, 0xc00102ff},
    {0xc0011000, 0xc001104f},
};

/// False when it is #GP.
bool read_msr(uint32_t msr, uint64_t& value) {
    uint32_t low = 0, high = 0;
    const Trap t = caught([&] { asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr)); });
    value = uint64_t{high} << 32 | low;
    return t == vector_none;
}

bool write_msr(uint32_t msr, uint64_t value) {
    const auto low = static_cast<uint32_t>(value), high = static_cast<uint32_t>(value >> 32);
    return caught([&] { asm volatile("wrmsr" : : "a"(low), "d"(high), "c"(msr)); }) == vector_none;
}

constexpr uint32_t msr_tsc = 0x10, msr_hypercall_page = 0x40000000;

/// Registers where even the value that was read changes something: time, and the page that is given to be filled.
bool has_effect(uint32_t msr) { return msr == msr_tsc || msr == msr_hypercall_page; }

void show_msr(uint32_t msr) {
    uint64_t value = 0;
    const bool readable = read_msr(msr, value);
    const bool same = !has_effect(msr) && write_msr(msr, value);
    if (!readable && !same) return;
    if (msr == msr_tsc) value = 0;
    print("msr ", Hex{msr}, ": ");
    if (readable) print(Hex{value});
    else print("not readable");
    print(same ? " writable\n" : "\n");
}

}  // namespace

void dump_cpuid() {
    show_range(0, 0x21);
    show_range(0x40000000, 8);
    show_range(0x40000100, 6);
    show_range(0x80000000, 0x23);
}

void dump_msrs() {
    for (const MsrRange& r : msr_ranges)
        for (uint32_t msr = r.first; msr <= r.last; ++msr) show_msr(msr);
}

}  // namespace conform
