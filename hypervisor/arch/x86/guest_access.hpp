// SPDX-License-Identifier: Apache-2.0
/// The ways to the guest's address space that is loaded: which addresses may be tried, how an instruction of ours that faults there
/// goes on, and the frames of a guest's kernel, which lie in registers on our side. Copies are usercopy.cpp's.
#pragma once

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/cpu.hpp"

namespace hv::arch {

/// The guest's part of the address space: all but the hypervisor's, which reaches down to the gap of addresses that are not
/// canonical. It is one range that goes on from the top to 0, as the CPU does.
inline constexpr uint64_t guest_first = xen::HYPERVISOR_VIRT_END, guest_bytes = (uint64_t{1} << 47) - guest_first;
inline constexpr size_t plain_most = 65536;  ///< bytes of a plain access (below)
/// Where a plain access may begin as long as the CPU may walk the guest's tables in ring 0.
inline bool in_guest_part(uint64_t gva) { return gva - guest_first < guest_bytes - plain_most; }

#ifdef HV_HOST
template <class... Words>
bool store_frame(uint64_t gva, Words... words) {
    const uint64_t frame[] = {words...};
    return copy_to_guest(gva, frame, sizeof frame);
}
template <class... Words>
bool load_frame(uint64_t gva, Words&... words) {
    uint64_t frame[sizeof...(Words)];
    if (!copy_from_guest(frame, gva, sizeof frame)) return false;
    size_t i = 0;
    ((words = frame[i++]), ...);
    return true;
}
template <size_t n>
bool copy_words_from_guest(void* dst, uint64_t gva) {
    return copy_from_guest(dst, gva, 8 * n);
}
template <size_t n>
bool copy_words_to_guest(uint64_t gva, const void* src) {
    return copy_to_guest(gva, src, 8 * n);
}
#else
// It would break a line of assembler in two where a macro's argument stands.
// clang-format off
// Three bytes of no operation, which become STAC and CLAC on CPUs with SMAP (patch_smap_sites()): the guest's memory is
// open to ring 0 from the first to the second.
#define SMAP_SITE(last_byte)                      \
    "771: .byte 0x0f, 0x1f, 0x00\n\t"             \
    ".pushsection .smap_sites, \"a\"\n\t"         \
    ".quad 771b, " last_byte "\n\t"               \
    ".popsection\n\t"
#define OPEN_GUEST SMAP_SITE("0xcb")
#define CLOSE_GUEST SMAP_SITE("0xca")
#define RESUME(fault, at)                         \
    ".pushsection .extable, \"a\"\n\t"            \
    ".quad " fault ", " at "\n\t"                 \
    ".popsection\n\t"
// One instruction that touches the guest's memory; a fault in it leaves %[done] as it was, not 1.
#define GUEST_ACCESS(instruction)                 \
    OPEN_GUEST                                    \
    "1: " instruction "\n\t"                      \
    "movb $1, %[done]\n\t"                        \
    "2:" CLOSE_GUEST RESUME("1b", "2b")
// clang-format on

/// Where an access of at most `plain_most` bytes may begin for the CPU to walk the tables without another question: wherever
/// one of that size lies in the guest's part, or nowhere (walk_for_copies()). The few others are looked at more closely.
extern std::atomic<uint64_t> plain_starts;

/// `i < n`; else what the CPU does ahead of the answer finds `gva` at 0, which is the guest's: nothing of ours is read for it
/// even then.
inline bool below(uint64_t i, uint64_t n, uint64_t& gva) {
    bool answer = false;
    uint64_t mask = 0;
    asm("cmp %[n], %[i]; sbb %[mask], %[mask]" : [mask] "=r"(mask), "=@ccb"(answer) : [n] "rm"(n), [i] "r"(i));
    if (answer) gva &= mask;
    return answer;
}
inline bool plain(uint64_t& gva, size_t n) {
    return n <= plain_most && below(gva - guest_first, plain_starts.load(std::memory_order_relaxed), gva);
}

// clang-format off
#define STORE(n) #n ": mov %[w" #n "], 8*" #n "(%[to])\n\t"
#define LOAD(n) #n ": mov 8*" #n "(%[from]), %[w" #n "]\n\t"
#define RESUME_AT_9(n) RESUME(#n "b", "9b")
#define OF_7(each) each(0) each(1) each(2) each(3) each(4) each(5) each(6)
#define OF_8(each) OF_7(each) each(7)
#define OF_9(each) OF_8(each) each(8)
#define FRAME_ACCESS(of, each) OPEN_GUEST of(each) "movb $1, %[done]\n\t" "9:" CLOSE_GUEST of(RESUME_AT_9)
// clang-format on

/// Stores words one behind the other from `gva` on, in any order. False on a fault or outside the guest's part; some of them may be
/// stored then. No loop and no copy on our side.
[[gnu::always_inline]] inline bool store_frame(uint64_t gva, uint64_t w0, uint64_t w1, uint64_t w2, uint64_t w3, uint64_t w4,
                                               uint64_t w5, uint64_t w6) {
    if (!plain(gva, 7 * 8)) [[unlikely]] {
        const uint64_t frame[] = {w0, w1, w2, w3, w4, w5, w6};
        return copy_to_guest(gva, frame, sizeof frame);
    }
    bool done = false;
    asm volatile(FRAME_ACCESS(OF_7, STORE)
                 : [done] "+&q"(done)
                 : [to] "r"(gva), [w0] "r"(w0), [w1] "r"(w1), [w2] "r"(w2), [w3] "r"(w3), [w4] "r"(w4), [w5] "r"(w5), [w6] "r"(w6)
                 : "memory", "cc");
    return done;
}
[[gnu::always_inline]] inline bool store_frame(uint64_t gva, uint64_t w0, uint64_t w1, uint64_t w2, uint64_t w3, uint64_t w4,
                                               uint64_t w5, uint64_t w6, uint64_t w7) {
    if (!plain(gva, 8 * 8)) [[unlikely]] {
        const uint64_t frame[] = {w0, w1, w2, w3, w4, w5, w6, w7};
        return copy_to_guest(gva, frame, sizeof frame);
    }
    bool done = false;
    asm volatile(FRAME_ACCESS(OF_8, STORE)
                 : [done] "+&q"(done)
                 : [to] "r"(gva), [w0] "r"(w0), [w1] "r"(w1), [w2] "r"(w2), [w3] "r"(w3), [w4] "r"(w4), [w5] "r"(w5),
                   [w6] "r"(w6), [w7] "r"(w7)
                 : "memory", "cc");
    return done;
}

/// The other way round. The words mean nothing after a fault.
[[gnu::always_inline]] inline bool load_frame(uint64_t gva, uint64_t& w0, uint64_t& w1, uint64_t& w2, uint64_t& w3, uint64_t& w4,
                                              uint64_t& w5, uint64_t& w6, uint64_t& w7, uint64_t& w8) {
    if (!plain(gva, 9 * 8)) [[unlikely]] {
        uint64_t frame[9];
        if (!copy_from_guest(frame, gva, sizeof frame)) return false;
        w0 = frame[0], w1 = frame[1], w2 = frame[2], w3 = frame[3], w4 = frame[4];
        w5 = frame[5], w6 = frame[6], w7 = frame[7], w8 = frame[8];
        return true;
    }
    bool done = false;
    asm volatile(FRAME_ACCESS(OF_9, LOAD)
                 : [done] "+&q"(done), [w0] "=&r"(w0), [w1] "=&r"(w1), [w2] "=&r"(w2), [w3] "=&r"(w3), [w4] "=&r"(w4),
                   [w5] "=&r"(w5), [w6] "=&r"(w6), [w7] "=&r"(w7), [w8] "=&r"(w8)
                 : [from] "r"(gva)
                 : "memory", "cc");
    return done;
}

// clang-format off
#define COPY_WORDS(at_load, at_store)                                     \
    OPEN_GUEST                                                            \
    ".set .Lcopied, 0\n\t"                                                \
    ".rept %c[n]\n\t"                                                     \
    at_load "mov .Lcopied(%[from]), %[word]\n\t"                          \
    at_store "mov %[word], .Lcopied(%[to])\n\t" RESUME("1b", "2f")        \
    ".set .Lcopied, .Lcopied + 8\n\t"                                     \
    ".endr\n\t"                                                           \
    "movb $1, %[done]\n\t"                                                \
    "2:" CLOSE_GUEST
// clang-format on

/// copy_from_guest() and copy_to_guest() of `n` words, in line and without a loop: for the arguments of hypercalls.
template <size_t n>
[[gnu::always_inline]] inline bool copy_words_from_guest(void* dst, uint64_t gva) {
    if (!plain(gva, 8 * n)) [[unlikely]]
        return copy_from_guest(dst, gva, 8 * n);
    bool done = false;
    uint64_t word = 0;
    asm volatile(COPY_WORDS("1: ", "")
                 : [done] "+&q"(done), [word] "=&r"(word), "=m"(*static_cast<uint64_t(*)[n]>(dst))
                 : [to] "r"(dst), [from] "r"(gva), [n] "i"(n)
                 : "memory", "cc");
    return done;
}
template <size_t n>
[[gnu::always_inline]] inline bool copy_words_to_guest(uint64_t gva, const void* src) {
    if (!plain(gva, 8 * n)) [[unlikely]]
        return copy_to_guest(gva, src, 8 * n);
    bool done = false;
    uint64_t word = 0;
    asm volatile(COPY_WORDS("", "1: ")
                 : [done] "+&q"(done), [word] "=&r"(word)
                 : [to] "r"(gva), [from] "r"(src), [n] "i"(n)
                 : "memory", "cc");
    return done;
}
#endif

}  // namespace hv::arch
