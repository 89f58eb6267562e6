// SPDX-License-Identifier: Apache-2.0
/// The routines that compilers call on their own.
#include <cstddef>
#include <cstdint>

extern "C" {

void* memcpy(void* dst, const void* src, size_t n) {
    void* d = dst;
    size_t words = n / 8;
    size_t rest = n & 7;
    asm volatile("rep movsq" : "+D"(d), "+S"(src), "+c"(words) : : "memory");
    if (rest) asm volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(rest) : : "memory");
    return dst;
}

void* memset(void* dst, int c, size_t n) {
    void* d = dst;
    if ((reinterpret_cast<uintptr_t>(dst) & 7) == 0 && (n & 7) == 0) {
        size_t words = n / 8;
        const uint64_t v = 0x0101010101010101u * static_cast<uint8_t>(c);
        asm volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(v) : "memory");
        return dst;
    }
    asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
    return dst;
}

void* memmove(void* dst, const void* src, size_t n) {
    auto* d = static_cast<uint8_t*>(dst);
    const auto* s = static_cast<const uint8_t*>(src);
    if (d < s || d >= s + n) return memcpy(dst, src, n);
    while (n--) d[n] = s[n];
    return dst;
}

int memcmp(const void* a, const void* b, size_t n) {
    const auto* x = static_cast<const uint8_t*>(a);
    const auto* y = static_cast<const uint8_t*>(b);
    for (size_t i = 0; i < n; ++i)
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    return 0;
}

/// For g++'s std::string_view::find.
void* memchr(const void* s, int c, size_t n) {
    const auto* p = static_cast<const uint8_t*>(s);
    for (size_t i = 0; i < n; ++i)
        if (p[i] == static_cast<uint8_t>(c)) return const_cast<uint8_t*>(p + i);
    return nullptr;
}

/// What __builtin_popcountll becomes on a CPU that may lack POPCNT.
int __popcountdi2(uint64_t v) {
    int n = 0;
    for (; v; v &= v - 1) ++n;
    return n;
}

size_t strlen(const char* s) {
    size_t n = 0;
    while (s[n]) ++n;
    return n;
}
}
