// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/arch/x86/paging.hpp"

#include <cstring>

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/rt/panic.hpp"
#include "lib/base/radix.hpp"

namespace hv {

extern "C" {
extern uint64_t boot_l4[512];
extern const uint8_t text_end[], rodata_end[];
}

uint64_t* idle_l4 = nullptr;

namespace {

constexpr uint64_t table_flags = pte::present | pte::rw | pte::accessed | pte::dirty;
constexpr uint64_t data_flags = table_flags | pte::nx | pte::global;
constexpr uint64_t large = uint64_t{2} << 20;

/// Boot makes the tables, and nothing is ever given back.
struct BootTables : MappedTables {
    Mfn (*take_page)();
    Result<uint64_t> alloc_zeroed() const {
        const Mfn m = take_page();
        memset(map_mfn(m), 0, page_size);
        return m.address();
    }
    static void free(uint64_t) {}  ///< for who loses a race: nobody runs yet
};

struct HostFormat {
    uint64_t user;  ///< pte::user where guests may look
    static bool present(uint64_t e) { return e & pte::present; }
    static bool leaf(uint64_t e, unsigned level) { return level == 1 || (e & pte::pse); }
    uint64_t table(uint64_t at, unsigned) const { return at | table_flags | user; }
    static uint64_t part(uint64_t e, unsigned level, unsigned i) {
        return (level == 2 ? e & ~pte::pse : e) + i * base::radix::span_of(level - 1);
    }
};

uint64_t* device_l1 = nullptr;

/// The entry of `level` for `va`; its table is made when there is none.
uint64_t* entry_for(uint64_t va, unsigned level, Mfn (*take_page)(), uint64_t user = 0) {
    BootTables mem{{}, take_page};
    const auto at = base::radix::reach(mem, HostFormat{user}, idle_cr3(), 4, level, va);
    if (!at) panic("No page table for %p", reinterpret_cast<void*>(va));
    return MappedTables::entry(at.value());
}

uint64_t image_flags(uint64_t va) {
    if (va < reinterpret_cast<uint64_t>(text_end)) return pte::present | pte::accessed | pte::global;
    if (va < reinterpret_cast<uint64_t>(rodata_end)) return pte::present | pte::accessed | pte::nx | pte::global;
    return data_flags;
}

void map_image(Mfn (*take_page)()) {
    const auto start = reinterpret_cast<uint64_t>(image_start);
    const auto end = reinterpret_cast<uint64_t>(image_end);
    for (uint64_t va = start; va < end; va += page_size) *entry_for(va, 1, take_page) = (va - image_virt_base) | image_flags(va);
}

/// The direct map's alias of the read-only parts must not be writable either.
void protect_image_alias(Mfn (*take_page)()) {
    for (auto va = reinterpret_cast<uint64_t>(image_start); va < reinterpret_cast<uint64_t>(rodata_end); va += page_size)
        *entry_for(reinterpret_cast<uint64_t>(directmap_base) + va - image_virt_base, 1, take_page) &= ~pte::rw;
}

constexpr uint64_t va_of_slot(unsigned l4_slot) { return 0xffff'8000'0000'0000 + ((uint64_t{l4_slot} - l4_slot_m2p) << 39); }

}  // namespace

uint64_t idle_cr3() { return mfn_of(idle_l4).address(); }

Mfn mfn_of_image(const void* p) {
    return Mfn::of_address(*entry_for(reinterpret_cast<uint64_t>(p), 1, nullptr) & pte::frame_mask);
}

void map_cpu_stack(unsigned cpu, Mfn first, Mfn (*take_page)()) {
    uint8_t* const stack = cpu_stacks + cpu * cpu_stack_size;
    for (uint64_t off = 0; off < cpu_stack_size; off += page_size)
        *entry_for(reinterpret_cast<uint64_t>(stack) + off, 1, take_page) = (first.address() + off) | data_flags;
    memset(stack, 0, cpu_stack_size);
}

void map_directmap(uint64_t end, Mfn (*take_page)()) {
    idle_l4 = MappedTables::entry(BootTables{{}, take_page}.alloc_zeroed().value());
    map_image(take_page);
    const auto base = reinterpret_cast<uint64_t>(directmap_base);
    for (uint64_t pa = 0; pa < end; pa += large) *entry_for(base + pa, 2, take_page) = pa | data_flags | pte::pse;
    protect_image_alias(take_page);
    // The tables used until now see new memory at once: both share the direct map's L3 from here on.
    for (unsigned s = l4_slot_directmap; s < l4_slot_end; ++s)
        if (idle_l4[s] & pte::present) boot_l4[s] = idle_l4[s];
    hw::write_cr3(hw::read_cr3());
}

void map_m2p(Mfn first, uint64_t bytes, Mfn (*take_page)()) {
    for (uint64_t off = 0; off < bytes; off += large)
        *entry_for(va_of_slot(l4_slot_m2p) + off, 2, take_page, pte::user) =
            (first.address() + off) | pte::present | pte::user | pte::accessed | pte::nx | pte::pse;
}

void seal_page_tables(Mfn (*take_page)()) {
    // Every slot guests copy exists from now on, so that later mappings in them are seen everywhere.
    for (unsigned s = l4_slot_m2p; s < l4_slot_end; ++s)
        if (s != l4_slot_perdomain) entry_for(va_of_slot(s), 3, take_page, s == l4_slot_m2p ? pte::user : 0);
    // Down to the last level, so that a page of devices can be mapped without memory.
    device_l1 = entry_for(va_of_slot(l4_slot_devices), 1, take_page);
    // Other CPUs come in by the first tables, and use a stack that only these have.
    boot_l4[l4_slot_image] = idle_l4[l4_slot_image];
    hw::write_cr3(idle_cr3());
}

volatile void* map_device(uint64_t physical) {
    constexpr uint64_t four_gib = uint64_t{4} << 30, offset_mask = page_size - 1;
    if (physical < four_gib) return directmap_base + physical;
    constexpr uint64_t uncached = pte::pcd | pte::pwt;
    const uint64_t wanted = (physical & ~offset_mask) | data_flags | uncached;
    for (uint64_t i = 0; i < 512; ++i) {
        // From absent to present: no CPU has anything to flush.
        if (!device_l1[i]) __atomic_store_n(&device_l1[i], wanted, __ATOMIC_RELEASE);
        if (device_l1[i] == wanted)
            return reinterpret_cast<volatile uint8_t*>(va_of_slot(l4_slot_devices) + i * page_size + (physical & offset_mask));
    }
    return nullptr;
}

}  // namespace hv
