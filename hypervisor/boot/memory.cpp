// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/memory.hpp"

#include <cstring>

#include "abi/xen/basic.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/boot/options.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/mm/host_map.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/rt/panic.hpp"
#include "lib/base/bits.hpp"

namespace hv {

PageInfo* frame_table = nullptr;
uint64_t* machine_to_phys = nullptr;
uint64_t max_frame = 0;

namespace {

constexpr uint64_t one_mib = uint64_t{1} << 20;
constexpr uint64_t four_gib = uint64_t{4} << 30;
constexpr uint64_t two_mib = uint64_t{2} << 20;

struct Span {
    uint64_t start, end;
};

/// What boot must not hand out. The list is short: image, modules, loader record, what we took ourselves.
parse::FixedList<Span, 48> taken;

void take_away(uint64_t start, uint64_t end) {
    if (start < end && !taken.push({start & ~uint64_t{4095}, base::align_up(end, 4096)})) give_up("Too many boot modules");
}

const Span* overlap(uint64_t start, uint64_t end) {
    for (const Span& s : taken)
        if (s.start < end && start < s.end) return &s;
    return nullptr;
}

/// The highest free range of `bytes` in RAM below `limit`. 0: none.
uint64_t find_free(uint64_t bytes, uint64_t align, uint64_t limit) {
    uint64_t best = 0;
    for (const parse::MemoryRange& r : host_memory_map.ranges()) {
        if (r.type != parse::MemoryType::ram || r.start >= limit) continue;
        uint64_t end = r.end < limit ? r.end : limit;
        while (end >= r.start + bytes) {
            const uint64_t start = base::align_down(end - bytes, align);
            if (start < r.start || start < one_mib) break;
            const Span* s = overlap(start, start + bytes);
            if (!s) {
                if (start > best) best = start;
                break;
            }
            end = s->start;
        }
    }
    return best;
}

uint64_t allocate(uint64_t bytes, uint64_t align, uint64_t limit, const char* what) {
    const uint64_t at = find_free(bytes, align, limit);
    if (at == 0) give_up("Not enough memory for %s (%lu KiB)", what, bytes >> 10);
    take_away(at, at + bytes);
    return at;
}

/// Tables come a few at a time from one block, so that `taken` stays short.
Mfn take_table_page() {
    static uint64_t next = 0, end = 0;
    constexpr uint64_t batch = 64 * 4096;
    if (next == end) {
        next = allocate(batch, 4096, four_gib, "page tables");
        end = next + batch;
    }
    const Mfn m = Mfn::of_address(next);
    next += 4096;
    return m;
}

void free_around_taken(uint64_t start, uint64_t end) {
    while (start < end) {
        const Span* s = nullptr;
        for (const Span& t : taken)
            if (t.start < end && start < t.end && (!s || t.start < s->start)) s = &t;
        const uint64_t stop = s ? s->start : end;
        if (stop > start) heap::add_region(Mfn::of_address(start), Pages{(stop - start) >> 12});
        if (!s) return;
        start = s->end;
    }
}

/// Frames that are no RAM, and the first MiB with its firmware areas, may be mapped by who has the rights.
void mark_device_frames() {
    uint64_t next = one_mib >> 12;
    for (uint64_t f = 0; f < next && f < max_frame; ++f) frame_table[f].owner.store(xen::DOMID_IO, std::memory_order_relaxed);
    for (const parse::MemoryRange& r : host_memory_map.ranges()) {
        if (r.type != parse::MemoryType::ram) continue;
        for (uint64_t f = next; f < (r.start >> 12) && f < max_frame; ++f)
            frame_table[f].owner.store(xen::DOMID_IO, std::memory_order_relaxed);
        if ((r.end >> 12) > next) next = r.end >> 12;
    }
}

void make_frame_table(uint64_t frames) {
    const uint64_t bytes = base::align_up(frames * sizeof(PageInfo), 4096);
    const uint64_t at = allocate(bytes, 4096, ~uint64_t{0}, "the frame table");
    frame_table = map_mfn<PageInfo>(Mfn::of_address(at));
    memset(static_cast<void*>(frame_table), 0, bytes);
    for (uint64_t f = 0; f < frames; ++f) frame_table[f].owner.store(no_owner, std::memory_order_relaxed);
    max_frame = frames;
}

void make_m2p(uint64_t frames) {
    const uint64_t bytes = base::align_up(frames * sizeof(uint64_t), two_mib);
    const uint64_t at = allocate(bytes, two_mib, ~uint64_t{0}, "the M2P map");
    machine_to_phys = map_mfn<uint64_t>(Mfn::of_address(at));
    memset(machine_to_phys, 0xff, bytes);
    map_m2p(Mfn::of_address(at), bytes, take_table_page);
    // Tools map it as a foreign domain's memory, to read: a type that is never given up keeps it from being writable.
    constexpr uint64_t never_writable = (static_cast<uint64_t>(PageType::segdesc) << page::type_shift) | page::validated | 1;
    for (uint64_t f = at >> 12; f < (at + bytes) >> 12; ++f) {
        frame_table[f].type.store(never_writable, std::memory_order_relaxed);
        frame_table[f].owner.store(xen::DOMID_XEN, std::memory_order_relaxed);
        frame_table[f].count.store(page::allocated | page::hyp_page | 1, std::memory_order_relaxed);
    }
}

void log_memory_map() {
    log(LogLevel::info, "Memory map:");
    for (const parse::MemoryRange& r : host_memory_map.ranges())
        log(LogLevel::info, " [%016lx, %016lx] (%s)", r.start, r.end - 1, parse::memory_type_name(r.type));
}

}  // namespace

void memory_init(const parse::BootRecord& record) {
    host_memory_map = record.memory;
    if (!host_memory_map.sanitise()) give_up("The memory map has too many overlaps");
    host_memory_map.align_ram_to_pages();
    if (options.mem_limit) host_memory_map.limit_ram(options.mem_limit);
    log_memory_map();

    const uint64_t image_first = reinterpret_cast<uint64_t>(image_start) - image_virt_base;
    take_away(image_first, reinterpret_cast<uint64_t>(image_end) - image_virt_base);
    take_away(record.info_start, record.info_end);
    for (const parse::BootModule& m : record.modules) take_away(m.start, m.end);

    const uint64_t ram_end = host_memory_map.ram_end();
    map_directmap(ram_end > four_gib ? ram_end : four_gib, take_table_page);
    const uint64_t frames = ram_end >> 12;
    make_frame_table(frames);
    make_m2p(frames);
    seal_page_tables(take_table_page);
    mark_device_frames();
    for (const parse::MemoryRange& r : host_memory_map.ranges())
        if (r.type == parse::MemoryType::ram && r.end > one_mib) free_around_taken(r.start < one_mib ? one_mib : r.start, r.end);
    log(LogLevel::info, "System RAM: %lu MiB (%lu KiB), %lu MiB free", host_memory_map.ram_bytes() >> 20,
        host_memory_map.ram_bytes() >> 10, heap::free_pages().bytes() >> 20);
}

void memory_free_boot_range(uint64_t start, uint64_t end) {
    start = base::align_up(start, 4096);
    end = base::align_down(end, 4096);
    if (start < end && start >= one_mib) heap::add_region(Mfn::of_address(start), Pages{(end - start) >> 12});
}

}  // namespace hv
