// SPDX-License-Identifier: Apache-2.0
// Lays out a 64-bit PV domain. From the kernel's virtual base upwards, one frame after the other:
//
//   virt_base                                                                                       mapped_end
//   | (below the kernel) | kernel | ramdisk | p2m list | start info | store | console | tables | stack | pad |
//                                  ^ unless the kernel takes it by pfn
//                                            ^ unless the kernel wants it at INIT_P2M
//   and behind that, outside the first mapping: ramdisk by pfn, then the p2m list with the tables that map it.
//
// The pad is at least 512 KiB and makes the mapped range end at a multiple of 4 MiB: the interface promises both.
#include "toolstack/builder/pv_plan.hpp"

#include <algorithm>

#include "abi/xen/basic.hpp"
#include "abi/xen/features.hpp"
#include "lib/parse/elf.hpp"
#include "toolstack/builder/tables.hpp"

namespace builder {
namespace {

using base::Errc;
using base::fail;
using base::Outcome;
using base::Pages;

constexpr uint64_t pad_minimum = 512 << 10;
constexpr uint64_t map_granule = 4 << 20;
constexpr uint64_t largest_kernel = 1 << 30;
constexpr uint64_t lower_half_end = 0x0000'8000'0000'0000;
constexpr uint64_t upper_half_start = 0xffff'8800'0000'0000;  // below, from the middle up, the hypervisor lives

/// Whether a guest may map [virt, virt + bytes): it lies in one of the two ranges the hypervisor leaves, and ends before
/// the last page so that its end is an address.
bool mappable(uint64_t virt, uint64_t bytes) {
    if (virt % base::page_size != 0) return false;
    if (virt < lower_half_end) return bytes <= lower_half_end - virt;
    return virt >= upper_half_start && bytes <= ~virt - base::page_size;
}

uint64_t round_up(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

struct Kernel {
    parse::XenNotes notes;
    uint64_t virt_base = 0;
    uint64_t entry = 0;
    std::vector<LoadPiece> pieces;
    uint64_t start = 0;  // pseudo-physical bytes
    uint64_t end = 0;
};

Outcome<Kernel> read_kernel(const Images& images) {
    const std::string& path = images.kernel_path;
    const auto opened = parse::ElfImage::open(*images.kernel);
    if (!opened) {
        if (opened.error() == Errc::range)
            return fail(Errc::badmsg, "Kernel " + path + " is truncated or damaged: a segment lies outside the file");
        return fail(Errc::noexec, "Kernel " + path + " is not a 64-bit x86 kernel");
    }
    const parse::ElfImage& elf = opened.value();
    auto notes = parse::read_xen_notes(elf);
    if (!notes) {
        if (notes.error() == Errc::noent)
            return fail(Errc::noexec, "Kernel " + path + " has no Xen notes: it is not built to run as a PV domain");
        return fail(Errc::noexec, "Kernel " + path + " has damaged Xen notes");
    }
    Kernel k;
    k.notes = notes.value();
    k.virt_base = k.notes.base_address();
    const uint64_t offset = k.notes.paddr_offset.value_or(0);
    k.start = ~uint64_t{0};
    for (uint32_t i = 0; i < elf.segment_count(); ++i) {
        const parse::ElfSegment s = elf.segment(i);
        if (s.type != parse::elf_pt_load || s.mem_size == 0) continue;
        if (s.paddr < offset || s.paddr - offset > highest_pages * base::page_size || s.mem_size > largest_kernel)
            return fail(Errc::noexec, "Kernel " + path + " asks to be loaded outside of a domain's memory");
        const uint64_t at = s.paddr - offset;
        k.pieces.push_back({at, static_cast<size_t>(s.offset), s.file_size, s.mem_size});
        k.start = std::min(k.start, at);
        k.end = std::max(k.end, at + s.mem_size);
    }
    if (k.pieces.empty()) return fail(Errc::noexec, "Kernel " + path + " has nothing to load");
    k.entry = k.notes.entry.value_or(elf.entry());
    return k;
}

/// A note's text, as far as it fits into a line.
std::string said(std::string_view note) { return note.empty() ? "none is named" : std::string(note.substr(0, 32)); }

/// What the kernel says about itself must make sense before anything is laid out by it.
Outcome<> check_kernel(const Kernel& k, const std::string& path) {
    const parse::XenNotes& n = k.notes;
    if (n.phys32_entry && !n.entry && !n.virt_base)
        return fail(Errc::noexec, "Kernel " + path + " can only be started as PVH, not as a PV domain");
    if (!n.xen_version.starts_with("xen-3.0"))
        return fail(Errc::noexec, "Kernel " + path + " is for another interface: " + said(n.xen_version));
    if (!n.loader.starts_with("generic") && !n.guest_os.starts_with("linux"))
        return fail(Errc::noexec, "Kernel " + path + " wants a special loader: " + said(n.loader));
    if (n.paddr_offset && !n.virt_base)
        return fail(Errc::noexec, "Kernel " + path + " says where its physical addresses start, but not its virtual ones");
    if (n.unknown_feature_required) return fail(Errc::noexec, "Kernel " + path + " requires a feature that is not known");
    if (!mappable(k.virt_base, k.end)) return fail(Errc::noexec, "Kernel " + path + " has a virtual base that no domain can use");
    if (k.entry < k.virt_base + k.start || k.entry >= k.virt_base + k.end)
        return fail(Errc::noexec, "Kernel " + path + ": its entry point is outside of the image");
    if (n.hypercall_page &&
        (*n.hypercall_page < k.virt_base + k.start || *n.hypercall_page > k.virt_base + k.end - base::page_size))
        return fail(Errc::noexec, "Kernel " + path + ": its hypercall page is outside of the image");
    return base::Unit{};
}

/// What the kernel wants mapped, and the p2m list where it wants it, must fit into the address space.
Outcome<> check_ranges(const Kernel& k, const Plan& p) {
    const uint64_t list = p.pages * sizeof(uint64_t);
    uint64_t mapped = k.end;
    if (!k.notes.mod_start_pfn) mapped += p.images->ramdisk->size() + base::page_size;
    if (!k.notes.init_p2m) mapped += list + base::page_size;
    mapped += mapped / 256 + 4 * map_granule;  // tables, single pages, pad: more than they can be
    if (!mappable(k.virt_base, mapped))
        return fail(Errc::noexec,
                    "Kernel " + p.images->kernel_path + " and what must be mapped with it do not fit into the address space");
    if (!k.notes.init_p2m) return base::Unit{};
    const uint64_t at = *k.notes.init_p2m;
    const bool overlaps = at < k.virt_base + mapped && k.virt_base < at + list;
    if (!mappable(at, list) || overlaps)
        return fail(Errc::noexec, "Kernel " + p.images->kernel_path + " wants its p2m list at an address that is not free");
    return base::Unit{};
}

/// Hands out frames one after the other.
struct Cursor {
    uint64_t next;
    Extent take(uint64_t pages) {
        const Extent e{next, pages};
        next += pages;
        return e;
    }
};

/// Page tables and stack, and the end of the mapping they are part of: the more is mapped the more tables it takes, so
/// this repeats until the count holds.
void place_tables(Layout& l, Cursor& cursor) {
    uint64_t count = 0;
    std::vector<TablePage> tables;
    for (;;) {
        const uint64_t used = (cursor.next + count + 1) * base::page_size;
        l.mapped_end = round_up(l.virt_base + used + pad_minimum, map_granule);
        tables = tables_for(l.virt_base, (l.mapped_end - l.virt_base) / base::page_size, {});
        if (tables.size() <= count) break;
        count = tables.size();
    }
    l.tables = cursor.take(count);
    l.stack = cursor.take(1).first;
    for (size_t i = 0; i < tables.size(); ++i) tables[i].pfn = l.tables.first + i;
    l.table_pages = std::move(tables);
    const uint64_t mapped = (l.mapped_end - l.virt_base) / base::page_size;
    l.mapped.push_back({l.virt_base, {0, mapped}});
    cursor.next = mapped;  // the pad is the domain's memory too
}

/// The p2m list at the kernel's own address, with the tables that map it right behind.
void place_p2m_apart(Layout& l, Cursor& cursor, uint64_t list_pages) {
    std::vector<TablePage> extra = tables_for(l.p2m_virt, list_pages, l.table_pages);
    l.p2m = cursor.take(list_pages + extra.size());
    for (size_t i = 0; i < extra.size(); ++i) extra[i].pfn = l.p2m.first + list_pages + i;
    l.table_pages.insert(l.table_pages.end(), extra.begin(), extra.end());
    l.mapped.push_back({l.p2m_virt, {l.p2m.first, list_pages}});
}

Layout lay_out(const Kernel& k, uint64_t ramdisk_bytes, uint64_t pages) {
    Layout l;
    l.virt_base = k.virt_base;
    l.entry = k.entry;
    if (k.notes.hypercall_page) l.hypercall_page = (*k.notes.hypercall_page - k.virt_base) / base::page_size;
    const uint64_t first = k.start / base::page_size;
    l.kernel = {first, Pages::covering(k.end).n - first};
    Cursor cursor{l.kernel.end()};
    const uint64_t ramdisk_pages = Pages::covering(ramdisk_bytes).n;
    const uint64_t list_pages = Pages::covering(pages * sizeof(uint64_t)).n;
    l.ramdisk_mapped = !k.notes.mod_start_pfn;
    l.p2m_apart = k.notes.init_p2m.has_value();
    if (l.ramdisk_mapped) l.ramdisk = cursor.take(ramdisk_pages);
    if (!l.p2m_apart) {
        l.p2m = cursor.take(list_pages);
        l.p2m_virt = l.virt_base + l.p2m.first * base::page_size;
    }
    l.start_info = cursor.take(1).first;
    l.store = cursor.take(1).first;
    l.console = cursor.take(1).first;
    place_tables(l, cursor);
    if (!l.ramdisk_mapped) l.ramdisk = cursor.take(ramdisk_pages);
    if (l.p2m_apart) {
        l.p2m_virt = *k.notes.init_p2m;
        place_p2m_apart(l, cursor, list_pages);
    }
    l.end = cursor.next;
    return l;
}

std::string mib(uint64_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; }

base::Failure too_little(const Plan& p) {
    std::string text = "Too little memory: " + mib(p.pages * base::page_size) + ", but kernel " + p.images->kernel_path + " (" +
                       mib(p.layout.kernel.pages * base::page_size) + ")";
    if (!p.images->ramdisk->empty())
        text += " and ramdisk " + p.images->ramdisk_path + " (" + mib(p.images->ramdisk->size()) + ")";
    return fail(Errc::nomem, text + " need at least " + mib(p.layout.end * base::page_size));
}

}  // namespace

Outcome<Plan> plan_pv(const BuildInput& input, std::shared_ptr<const Images> images) {
    Kernel kernel = OTRY(read_kernel(*images));
    OTRY(check_kernel(kernel, images->kernel_path));
    Plan p;
    p.input = input;
    p.input.max_vcpus = std::max(input.vcpus, input.max_vcpus);
    p.images = std::move(images);
    p.pieces = std::move(kernel.pieces);
    p.pages = input.memory_kib / 4;
    p.max_pages = std::max(input.memory_kib, input.max_memory_kib) / 4;
    OTRY(check_ranges(kernel, p));
    p.layout = lay_out(kernel, p.images->ramdisk->size(), p.pages);
    if (p.layout.end > p.pages) return too_little(p);
    return p;
}

}  // namespace builder
