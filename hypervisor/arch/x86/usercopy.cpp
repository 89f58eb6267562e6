// SPDX-License-Identifier: Apache-2.0
/// Copies between the hypervisor and the guest's address space that is loaded, safe against any guest address: a fault goes
/// on behind the copy (`.extable`), and says so in `failed`.
#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/cpu.hpp"

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
// One instruction that touches the guest's memory; a fault in it leaves %[failed] as it was, not 0.
#define GUEST_ACCESS(instruction)                 \
    OPEN_GUEST                                    \
    "1: " instruction "\n\t"                      \
    "xor %[failed], %[failed]\n\t"               \
    "2:" CLOSE_GUEST RESUME("1b", "2b")

namespace hv::arch {
namespace {

/// Outside the hypervisor's part of the address space, which reaches down to the gap of addresses that are not canonical:
/// the rest is one range that goes on from the top to 0, as the CPU does.
bool guest_range(uint64_t gva, size_t n) {
    constexpr uint64_t first = xen::HYPERVISOR_VIRT_END, size = (uint64_t{1} << 47) - first;
    return n <= size && gva - first <= size - n;
}

bool copy(void* to, const void* from, size_t n) {
    size_t words = n / 8;
    uint32_t failed = 1;
    asm volatile(OPEN_GUEST
                 "1: rep movsq\n\t"
                 "mov %k[rest], %%ecx\n\t"
                 "2: rep movsb\n\t"
                 "xor %[failed], %[failed]\n\t"
                 "3:" CLOSE_GUEST RESUME("1b", "3b") RESUME("2b", "3b")
                 : "+&D"(to), "+&S"(from), "+&c"(words), [failed] "+&r"(failed)
                 : [rest] "r"(n % 8)
                 : "memory", "cc");
    return failed == 0;
}

template <class Word>
bool load(Word& to, uint64_t gva) {
    if (!guest_range(gva, sizeof to)) return false;
    uint32_t failed = 1;
    asm volatile(GUEST_ACCESS("mov (%[from]), %[to]")
                 : [to] "=&r"(to), [failed] "+&r"(failed)
                 : [from] "r"(gva)
                 : "memory", "cc");
    return failed == 0;
}

template <class Word>
bool store(uint64_t gva, Word value) {
    if (!guest_range(gva, sizeof value)) return false;
    uint32_t failed = 1;
    asm volatile(GUEST_ACCESS("mov %[value], (%[to])")
                 : [failed] "+&r"(failed)
                 : [to] "r"(gva), [value] "r"(value)
                 : "memory", "cc");
    return failed == 0;
}

}  // namespace

bool copy_from_guest(void* dst, uint64_t gva, size_t n) {
    return guest_range(gva, n) && copy(dst, reinterpret_cast<const void*>(gva), n);
}
bool copy_to_guest(uint64_t gva, const void* src, size_t n) {
    return guest_range(gva, n) && copy(reinterpret_cast<void*>(gva), src, n);
}

bool load_from_guest(uint32_t& to, uint64_t gva) { return load(to, gva); }
bool load_from_guest(uint64_t& to, uint64_t gva) { return load(to, gva); }
bool store_to_guest(uint64_t gva, uint32_t value) { return store(gva, value); }
bool store_to_guest(uint64_t gva, uint64_t value) { return store(gva, value); }

bool clear_guest(uint64_t gva, size_t n) {
    if (!guest_range(gva, n)) return false;
    uint32_t failed = 1;
    asm volatile(GUEST_ACCESS("rep stosb") : "+D"(gva), "+c"(n), [failed] "+&r"(failed) : "a"(0) : "memory", "cc");
    return failed == 0;
}

}  // namespace hv::arch
