// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/arch/x86/paging.hpp"

#include <cstring>

#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/rt/panic.hpp"

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
constexpr uint64_t device_window = 0xffff'8000'0000'0000 + ((uint64_t{l4_slot_devices} - l4_slot_m2p) << 39);

Mfn (*take)() = nullptr;

uint64_t* new_table() {
    auto* t = map_mfn<uint64_t>(take());
    memset(t, 0, page_size);
    return t;
}

uint64_t* device_l1 = nullptr;

uint64_t* next_table(uint64_t* table, unsigned index, uint64_t extra_flags) {
    if (!(table[index] & pte::present)) table[index] = mfn_of(new_table()).address() | table_flags | extra_flags;
    return map_mfn<uint64_t>(Mfn::of_address(table[index] & pte::frame_mask));
}

unsigned index_of(uint64_t va, unsigned level) { return (va >> (12 + 9 * (level - 1))) & 511; }

/// Maps one page of size 4 KiB (level 1) or 2 MiB (level 2).
void map_page(uint64_t va, uint64_t pa, uint64_t flags, unsigned level) {
    const uint64_t user = flags & pte::user;
    uint64_t* l3 = next_table(idle_l4, index_of(va, 4), user);
    uint64_t* l2 = next_table(l3, index_of(va, 3), user);
    if (level == 2) {
        l2[index_of(va, 2)] = pa | flags | pte::pse;
        return;
    }
    next_table(l2, index_of(va, 2), user)[index_of(va, 1)] = pa | flags;
}

uint64_t image_flags(uint64_t va) {
    if (va < reinterpret_cast<uint64_t>(text_end)) return pte::present | pte::accessed | pte::global;
    if (va < reinterpret_cast<uint64_t>(rodata_end)) return pte::present | pte::accessed | pte::nx | pte::global;
    return data_flags;
}

void map_image() {
    const auto start = reinterpret_cast<uint64_t>(image_start);
    const auto end = reinterpret_cast<uint64_t>(image_end);
    for (uint64_t va = start; va < end; va += page_size) map_page(va, va - image_virt_base, image_flags(va), 1);
}

/// The direct map's alias of the read-only parts must not be writable either.
uint64_t directmap_flags(uint64_t pa) {
    const uint64_t va = pa + image_virt_base;
    const bool read_only = va >= reinterpret_cast<uint64_t>(image_start) && va < reinterpret_cast<uint64_t>(rodata_end);
    return read_only ? data_flags & ~pte::rw : data_flags;
}

void init_idle_l4() {
    if (idle_l4) return;
    idle_l4 = new_table();
    map_image();
}

}  // namespace

uint64_t idle_cr3() { return mfn_of(idle_l4).address(); }

void map_directmap(uint64_t from, uint64_t end, Mfn (*take_page)()) {
    take = take_page;
    init_idle_l4();
    const auto base = reinterpret_cast<uint64_t>(directmap_base);
    const uint64_t image_last = reinterpret_cast<uint64_t>(rodata_end) - image_virt_base;
    for (uint64_t pa = from & ~(large - 1); pa < end; pa += large) {
        if (pa >= image_last) {
            map_page(base + pa, pa, data_flags, 2);
            continue;
        }
        for (uint64_t p = pa; p < pa + large; p += page_size) map_page(base + p, p, directmap_flags(p), 1);
    }
    // The tables used until now see new memory at once: both share the direct map's L3 from here on.
    for (unsigned s = l4_slot_directmap; s < l4_slot_end; ++s)
        if (idle_l4[s] & pte::present) boot_l4[s] = idle_l4[s];
    hw::write_cr3(hw::read_cr3());
}

void map_m2p(Mfn first, uint64_t bytes, Mfn (*take_page)()) {
    take = take_page;
    constexpr uint64_t m2p_va = 0xffff'8000'0000'0000;
    for (uint64_t off = 0; off < bytes; off += large)
        map_page(m2p_va + off, first.address() + off, pte::present | pte::user | pte::accessed | pte::nx, 2);
}

void seal_page_tables(Mfn (*take_page)()) {
    take = take_page;
    // Every slot guests copy exists from now on, so that later mappings in them are seen everywhere.
    for (unsigned s = l4_slot_m2p; s < l4_slot_end; ++s) {
        if (s == l4_slot_perdomain) continue;
        next_table(idle_l4, s, s == l4_slot_m2p ? pte::user : 0);
    }
    // Down to the last level, so that a page of devices can be mapped without memory.
    device_l1 = next_table(next_table(next_table(idle_l4, l4_slot_devices, 0), 0, 0), 0, 0);
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
            return reinterpret_cast<volatile uint8_t*>(device_window + i * page_size + (physical & offset_mask));
    }
    return nullptr;
}

}  // namespace hv
