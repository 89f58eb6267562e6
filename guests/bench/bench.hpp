// SPDX-License-Identifier: Apache-2.0
/// What the files of the benchmark kernel share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "abi/xen/basic.hpp"

extern "C" char hypercall_page[];

namespace bench {

inline constexpr size_t page_bytes = 4096;
inline constexpr uint64_t kernel_base = 0xffffffff80000000;
/// What a page-table entry says besides its frame.
inline constexpr uint64_t read_write = 0x67, read_only = 0x65;

inline long hypercall(unsigned nr, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0, uint64_t d = 0) {
    long result = 0;
    register uint64_t r10 asm("r10") = d;
    asm volatile("call *%[page]"
                 : "=a"(result), "+D"(a), "+S"(b), "+d"(c), "+r"(r10)
                 : [page] "r"(hypercall_page + nr * 32)
                 : "rcx", "r11", "r8", "r9", "memory");
    return result;
}

template <class T>
uint64_t addr(T* p) {
    return reinterpret_cast<uint64_t>(p);
}

inline uint64_t ticks() {
    uint32_t lo = 0, hi = 0;
    asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return uint64_t{hi} << 32 | lo;
}

/// Prints `name: ticks of one round`, with one decimal.
void report(const char* name, uint64_t tenths);
/// Prints a line that makes the run a failed one, unless `right`.
void expect(const char* what, bool right);

/// Runs f `rounds` times (and a few times before) and reports the ticks of one round.
template <class F>
void measure(const char* name, unsigned rounds, F f) {
    for (unsigned i = 0; i < 8; ++i) f();
    const uint64_t begin = ticks();
    for (unsigned i = 0; i < rounds; ++i) f();
    report(name, (ticks() - begin) * 10 / rounds);
}

extern const xen::StartInfo* info;
/// The machine frame behind an address of the kernel.
uint64_t mfn_of(const void* p);
/// Gives `va` another page-table entry; `flush` is one of UVMF_*.
inline long set_entry(void* va, uint64_t entry, uint64_t flush) {
    return hypercall(xen::HYPERVISOR_update_va_mapping, addr(va), entry, flush);
}

/// Pages to map things at, and pages to map.
struct Windows {
    char shared[page_bytes], grant[page_bytes], map[16][page_bytes], granted[page_bytes], other[page_bytes], table[page_bytes];
};
extern Windows windows;

void events();
void vcpus();
void batches();
void grants();
void traps();
void paging();
void memory();

}  // namespace bench
