// SPDX-License-Identifier: Apache-2.0
/// What every file of a guest needs: hypercalls, addresses as numbers, the time-stamp counter.
#pragma once

#include <cstddef>
#include <cstdint>

#include "abi/xen/basic.hpp"

extern "C" char hypercall_page[];

namespace guest {

inline constexpr size_t page_bytes = 4096;
/// Where guest.lds links kernels: the virtual address of pseudo-physical page 0.
#ifdef GUEST_GENERIC
inline constexpr uint64_t kernel_base = 0;
#else
inline constexpr uint64_t kernel_base = 0xffffffff80000000;
#endif

/// A page of the guest's own, to map, grant or make a table of.
struct alignas(page_bytes) Page {
    char bytes[page_bytes];
};

/// Hypercall `nr`, through the hypercall page. Returns what the hypervisor leaves in rax: -errno for an error.
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

template <class T>
T* at(uint64_t address) {
    return reinterpret_cast<T*>(address);
}

inline uint64_t ticks() {
    uint32_t lo = 0, hi = 0;
    asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return uint64_t{hi} << 32 | lo;
}

}  // namespace guest
