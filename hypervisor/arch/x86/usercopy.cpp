// SPDX-License-Identifier: Apache-2.0
/// Copies between the hypervisor and the guest's address space that is loaded, safe against any guest address: a fault goes
/// on behind the copy (`.extable`), where `done` is still false.
#include "hypervisor/arch/x86/guest_access.hpp"

namespace hv::arch {

std::atomic<uint64_t> plain_starts{guest_bytes - plain_most};

namespace {

bool in_range(uint64_t& gva, size_t n) { return n <= guest_bytes && below(gva - guest_first, guest_bytes - n + 1, gva); }
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

namespace {
bool walking = false, watched = false;
void choose_starts() { plain_starts.store(walking || watched ? 0 : guest_bytes - plain_most, std::memory_order_seq_cst); }
}  // namespace

void walk_for_copies() {
    walking = true;
    choose_starts();
}
void watch_doors(bool on) {
    watched = on;
    choose_starts();
}

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
