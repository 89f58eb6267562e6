// SPDX-License-Identifier: Apache-2.0
/// Copies between the hypervisor and the guest's address space that is loaded, safe against any guest address: a fault goes
/// on behind the copy (`.extable`), where `done` is still false.
#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/cpu.hpp"

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

namespace hv::arch {
namespace {

/// The guest's part of the address space: all but the hypervisor's, which reaches down to the gap of addresses that are not
/// canonical. It is one range that goes on from the top to 0, as the CPU does.
constexpr uint64_t guest_first = xen::HYPERVISOR_VIRT_END, guest_bytes = (uint64_t{1} << 47) - guest_first;
/// Where an access of at most `plain_most` bytes may begin for the CPU to walk the tables without another question: wherever
/// one of that size lies in the guest's part, or nowhere (walk_for_copies()). The few others are looked at more closely.
constexpr size_t plain_most = 65536;
std::atomic<uint64_t> plain_starts{guest_bytes - plain_most};

/// `i < n`; else what the CPU does ahead of the answer finds `gva` at 0, which is the guest's: nothing of ours is read for it
/// even then.
bool below(uint64_t i, uint64_t n, uint64_t& gva) {
    bool answer = false;
    uint64_t mask = 0;
    asm("cmp %[n], %[i]; sbb %[mask], %[mask]" : [mask] "=r"(mask), "=@ccb"(answer) : [n] "rm"(n), [i] "r"(i));
    if (answer) gva &= mask;
    return answer;
}
bool in_range(uint64_t& gva, size_t n) { return n <= guest_bytes && below(gva - guest_first, guest_bytes - n + 1, gva); }
bool plain(uint64_t& gva, size_t n) {
    return n <= plain_most && below(gva - guest_first, plain_starts.load(std::memory_order_relaxed), gva);
}

/// An access that is not plain: refused, walked for, or the ordinary one after all.
template <class Walk, class Copy>
bool careful(uint64_t& gva, size_t n, Walk by_walk, Copy by_cpu) {
    if (!in_range(gva, n)) return false;
    const Walked w = by_walk();
    return w == Walked::not_needed ? by_cpu() : w == Walked::done;
}

[[gnu::always_inline]] inline bool copy(void* to, const void* from, size_t n) {
    size_t words = n / 8;
    bool done = false;
    asm volatile(OPEN_GUEST
                 "1: rep movsq\n\t"
                 "mov %k[rest], %%ecx\n\t"
                 "2: rep movsb\n\t"
                 "movb $1, %[done]\n\t"
                 "3:" CLOSE_GUEST RESUME("1b", "3b") RESUME("2b", "3b")
                 : "+&D"(to), "+&S"(from), "+&c"(words), [done] "+&q"(done)
                 : [rest] "r"(n % 8)
                 : "memory", "cc");
    return done;
}

template <class Word>
bool load_by_cpu(Word& to, uint64_t gva) {
    bool done = false;
    asm volatile(GUEST_ACCESS("mov (%[from]), %[to]") : [to] "=&r"(to), [done] "+&q"(done) : [from] "r"(gva) : "memory", "cc");
    return done;
}

template <class Word>
bool store_by_cpu(uint64_t gva, Word value) {
    bool done = false;
    asm volatile(GUEST_ACCESS("mov %[value], (%[to])") : [done] "+&q"(done) : [to] "r"(gva), [value] "r"(value) : "memory", "cc");
    return done;
}

bool clear_by_cpu(uint64_t gva, size_t n) {
    bool done = false;
    asm volatile(GUEST_ACCESS("rep stosb") : "+D"(gva), "+c"(n), [done] "+&q"(done) : "a"(0) : "memory", "cc");
    return done;
}

// Out of line: what is in the way of nearly every copy is one comparison.

[[gnu::noinline]] bool careful_read(void* dst, uint64_t gva, size_t n) {
    return careful(
        gva, n, [&] { return walked_read(dst, gva, n); }, [&] { return copy(dst, reinterpret_cast<const void*>(gva), n); });
}
[[gnu::noinline]] bool careful_write(uint64_t gva, const void* src, size_t n) {
    return careful(
        gva, n, [&] { return walked_write(gva, src, n); }, [&] { return copy(reinterpret_cast<void*>(gva), src, n); });
}
[[gnu::noinline]] bool careful_clear(uint64_t gva, size_t n) {
    return careful(
        gva, n, [&] { return walked_write(gva, nullptr, n); }, [&] { return clear_by_cpu(gva, n); });
}
template <class Word>
[[gnu::noinline]] bool careful_load(Word& to, uint64_t gva) {
    return careful(
        gva, sizeof to, [&] { return walked_read(&to, gva, sizeof to); }, [&] { return load_by_cpu(to, gva); });
}
template <class Word>
[[gnu::noinline]] bool careful_store(uint64_t gva, Word value) {
    return careful(
        gva, sizeof value, [&] { return walked_write(gva, &value, sizeof value); }, [&] { return store_by_cpu(gva, value); });
}

template <class Word>
bool load(Word& to, uint64_t gva) {
    if (!plain(gva, sizeof to)) [[unlikely]]
        return careful_load(to, gva);
    return load_by_cpu(to, gva);
}
template <class Word>
bool store(uint64_t gva, Word value) {
    if (!plain(gva, sizeof value)) [[unlikely]]
        return careful_store(gva, value);
    return store_by_cpu(gva, value);
}

}  // namespace

void walk_for_copies() { plain_starts.store(0, std::memory_order_seq_cst); }

bool copy_from_guest(void* dst, uint64_t gva, size_t n) {
    if (!plain(gva, n)) [[unlikely]]
        return careful_read(dst, gva, n);
    return copy(dst, reinterpret_cast<const void*>(gva), n);
}
bool copy_to_guest(uint64_t gva, const void* src, size_t n) {
    if (!plain(gva, n)) [[unlikely]]
        return careful_write(gva, src, n);
    return copy(reinterpret_cast<void*>(gva), src, n);
}

bool load_from_guest(uint32_t& to, uint64_t gva) { return load(to, gva); }
bool load_from_guest(uint64_t& to, uint64_t gva) { return load(to, gva); }
bool store_to_guest(uint64_t gva, uint16_t value) { return store(gva, value); }
bool store_to_guest(uint64_t gva, uint32_t value) { return store(gva, value); }
bool store_to_guest(uint64_t gva, uint64_t value) { return store(gva, value); }

bool clear_guest(uint64_t gva, size_t n) {
    if (!plain(gva, n)) [[unlikely]]
        return careful_clear(gva, n);
    return clear_by_cpu(gva, n);
}

}  // namespace hv::arch
