// SPDX-License-Identifier: Apache-2.0
/// dom0 as a PV guest: its layout by the kernel's notes, its first page tables, start_info, and the registers of its first vCPU.
#include <cstring>

#include "abi/xen/arch_x86.hpp"
#include "abi/xen/basic.hpp"
#include "abi/xen/sched.hpp"
#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/boot/dom0.hpp"
#include "hypervisor/boot/pv/pv_dom0_tables.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/guest/pv/hypercall_page.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/rt/log.hpp"
#include "lib/base/bits.hpp"

namespace hv {
namespace {

// -- layout ------------------------------------------------------------------------------------------------------------

/// Where things lie, in pfns and (for what is mapped at start) in virtual addresses.
struct Layout {
    uint64_t virt_base;
    uint64_t kernel_start, kernel_end;               ///< virtual
    uint64_t start_info, stack, tables, mapped_end;  ///< virtual
    uint64_t table_pages;
    bool initrd_mapped;  ///< in the first mapping, else named by its pfn
    bool p2m_apart;      ///< at INIT_P2M with tables of its own, else in the first mapping
    uint64_t p2m_va;
    uint64_t initrd_pfn, initrd_pages;
    uint64_t p2m_pfn, p2m_pages, p2m_tables;
    uint64_t pages;  ///< of the domain

    uint64_t pfn(uint64_t va) const { return (va - virt_base) >> page_shift; }
};

Layout plan(const Dom0Kernel& k, uint64_t initrd_bytes, uint64_t pages) {
    if (k.notes.phys32_entry && !k.notes.entry && !k.notes.virt_base)
        give_up("The dom0 kernel's notes name no PV entry point: it was built without support for Xen PV");
    if (k.notes.paddr_offset && !k.notes.virt_base)
        give_up("The dom0 kernel says where its physical addresses start, but not its virtual ones");
    Layout l{};
    l.pages = pages;
    l.virt_base = k.notes.base_address();
    // Segments are placed by physical address; the notes say how that relates to the address the kernel runs at.
    const uint64_t offset = k.notes.paddr_offset.value_or(0);
    const parse::ElfExtent physical = k.image.physical_extent();
    if (physical.start < offset) give_up("The dom0 kernel lies below its own PADDR_OFFSET note");
    l.kernel_start = l.virt_base + (physical.start - offset);
    l.kernel_end = base::align_up(l.virt_base + (physical.end - offset), page_size);
    if (k.entry < l.kernel_start || k.entry >= l.kernel_end) give_up("The dom0 kernel's entry point lies outside it");
    l.initrd_pages = Pages::covering(initrd_bytes).n;
    l.p2m_pages = Pages::covering(pages * sizeof(uint64_t)).n;
    l.initrd_mapped = !k.notes.mod_start_pfn;
    l.p2m_apart = k.notes.init_p2m.has_value();
    uint64_t next = l.kernel_end;
    if (l.initrd_mapped) {
        l.initrd_pfn = l.pfn(next);
        next += l.initrd_pages * page_size;
    }
    if (!l.p2m_apart) {
        l.p2m_va = next;
        l.p2m_pfn = l.pfn(next);
        next += l.p2m_pages * page_size;
    }
    l.start_info = next;
    l.stack = l.start_info + page_size;
    l.tables = l.stack + page_size;
    // The tables map themselves: more of them may need more of them.
    constexpr uint64_t spare = 512 * 1024, granule = uint64_t{4} << 20;
    for (l.table_pages = 1;;) {
        l.mapped_end = base::align_up(l.tables + l.table_pages * page_size + spare, granule);
        const uint64_t needed = 1 + tables_for(l.virt_base, l.mapped_end);
        if (needed <= l.table_pages) break;
        l.table_pages = needed;
    }
    uint64_t end = l.pfn(l.mapped_end);
    if (!l.initrd_mapped) {
        l.initrd_pfn = end;
        end += l.initrd_pages;
    }
    if (l.p2m_apart) {
        l.p2m_va = *k.notes.init_p2m;
        l.p2m_pfn = end;
        l.p2m_tables = tables_for(l.p2m_va, l.p2m_va + l.p2m_pages * page_size);
        end += l.p2m_pages + l.p2m_tables;
    }
    if (end + (uint64_t{8} << 20 >> page_shift) > pages)
        give_up("dom0_mem is too small: %lu MiB are not enough for kernel and initrd (%lu MiB)", pages >> 8, end >> 8);
    return l;
}

// -- memory ------------------------------------------------------------------------------------------------------------

/// Fills p2m with frames for every page: the largest blocks there are, so that dom0's memory is contiguous.
void populate(Domain& d, uint64_t* p2m, uint64_t pages) {
    unsigned order = max_order;
    for (uint64_t pfn = 0; pfn < pages;) {
        while ((uint64_t{1} << order) > pages - pfn) --order;
        auto m = domain_alloc_pages(d, order, 64);
        if (!m) {
            if (order == 0) give_up("Not enough memory for dom0: %lu of %lu MiB", pfn >> 8, pages >> 8);
            --order;
            continue;
        }
        for (uint64_t i = 0; i < (uint64_t{1} << order); ++i, ++pfn) {
            p2m[pfn] = m.value().raw + i;
            set_m2p(Mfn(p2m[pfn]), pfn);
        }
    }
}

/// Copies bytes to guest pages from pfn on; the frames need not be contiguous.
void copy_in(const uint64_t* p2m, uint64_t pfn, uint64_t offset, const void* src, uint64_t n) {
    const auto* from = static_cast<const uint8_t*>(src);
    pfn += offset >> page_shift;
    offset &= page_size - 1;
    while (n != 0) {
        const uint64_t part = n < page_size - offset ? n : page_size - offset;
        memcpy(map_mfn(Mfn(p2m[pfn])) + offset, from, part);
        from += part;
        n -= part;
        ++pfn;
        offset = 0;
    }
}

void load_segments(const Dom0Kernel& k, const Layout& l, const uint64_t* p2m) {
    for (uint32_t i = 0; i < k.image.segment_count(); ++i) {
        const parse::ElfSegment s = k.image.segment(i);
        if (s.type != parse::elf_pt_load) continue;
        const parse::Bytes bytes = k.image.contents(s);
        // Fresh pages are clear: the rest of the segment is zero already.
        copy_in(p2m, 0, s.paddr - k.notes.paddr_offset.value_or(0), bytes.data(), bytes.size());
    }
    if (k.notes.hypercall_page) {
        const uint64_t va = *k.notes.hypercall_page;
        if ((va & (page_size - 1)) || va < l.virt_base || va + page_size > l.kernel_end)
            give_up("The dom0 kernel's hypercall page lies outside it");
        fill_hypercall_page(map_mfn(Mfn(p2m[l.pfn(va)])));
    }
}

Mfn make_tables(const Layout& l, const uint64_t* p2m) {
    TableBuilder t(p2m, l.pfn(l.tables), l.table_pages);
    for (uint64_t va = l.virt_base; va < l.mapped_end; va += page_size) t.map(va, l.pfn(va));
    for (uint64_t i = 0; i < l.table_pages; ++i) t.protect(l.tables + i * page_size);
    if (!l.p2m_apart) return t.root();
    t.use_pool(l.p2m_pfn + l.p2m_pages, l.p2m_tables);
    for (uint64_t i = 0; i < l.p2m_pages; ++i) t.map(l.p2m_va + i * page_size, l.p2m_pfn + i);
    return t.root();
}

// -- what the kernel is told --------------------------------------------------------------------------------------------

void write_start_info(Domain& d, const Layout& l, const uint64_t* p2m, const Dom0Parts& parts) {
    const std::string_view command_line = parts.command_line;
    const uint64_t initrd_bytes = parts.initrd.size();
    uint8_t* page = map_mfn(Mfn(p2m[l.pfn(l.start_info)]));
    auto si = xen::zeroed<xen::StartInfo>();
    memcpy(si.magic, "xen-3.0-x86_64", 15);
    si.nr_pages = l.pages;
    si.shared_info = mfn_of(d.shared).address();
    si.flags = xen::SIF_PRIVILEGED | xen::SIF_INITDOMAIN;
    si.pt_base = l.tables;
    si.nr_pt_frames = l.table_pages;
    si.mfn_list = l.p2m_va;
    if (l.p2m_apart) {
        si.first_p2m_pfn = l.p2m_pfn;
        si.nr_p2m_frames = l.p2m_pages + l.p2m_tables;
    }
    if (initrd_bytes != 0) {
        if (!l.initrd_mapped) si.flags |= xen::SIF_MOD_START_PFN;
        si.mod_start = l.initrd_mapped ? l.virt_base + (l.initrd_pfn << page_shift) : l.initrd_pfn;
        si.mod_len = initrd_bytes;
    }
    const size_t room = sizeof si.cmd_line - 1;
    if (command_line.size() > room) log(LogLevel::warning, "The dom0 command line is cut at %lu characters", room);
    memcpy(si.cmd_line, command_line.data(), command_line.size() < room ? command_line.size() : room);
    if (parts.screen.video_type != 0) {
        si.console.dom0.info_off = sizeof(xen::StartInfo);
        si.console.dom0.info_size = sizeof parts.screen;
        memcpy(page + sizeof(xen::StartInfo), &parts.screen, sizeof parts.screen);
    }
    memcpy(page, &si, sizeof si);
}

// -- the first vCPU ----------------------------------------------------------------------------------------------------------

void pin_root(Domain& d, Mfn root) {
    for (;;) {
        const Status s = pin_table(d, root, PageType::l4);
        if (s) return;
        if (s.error() != Errc::restart) panic("dom0's first page tables are refused: error %u", static_cast<unsigned>(s.error()));
        this_cpu().preempt_deadline = 0;  // nothing else can run yet: go on
    }
}

void fill_first_context(xen::VcpuGuestContext& c, const Dom0Kernel& k, const Layout& l, Mfn root) {
    c.flags = xen::VGCF_in_kernel | xen::VGCF_online;
    c.user_regs.rip = k.entry;
    c.user_regs.rsp = l.stack + page_size;
    c.user_regs.rsi = l.start_info;
    c.user_regs.cs = xen::FLAT_KERNEL_CS;
    c.user_regs.ss = xen::FLAT_KERNEL_SS;
    c.user_regs.rflags = 1u << 9;
    c.kernel_ss = xen::FLAT_KERNEL_SS;
    c.kernel_sp = l.stack + page_size;
    c.ctrlreg[3] = xen::xen_pfn_to_cr3(root.raw);
}

void start_first_vcpu(Domain& d, const Dom0Kernel& k, const Layout& l, Mfn root) {
    // 5 KiB: too much for a hypervisor stack. Static: all zero to begin with.
    static xen::VcpuGuestContext context;
    fill_first_context(context, k, l, root);
    Vcpu& v = *d.vcpus[0];
    const Status s = pv_set_context(v, context);
    if (!s) panic("dom0's first context is refused: error %u", static_cast<unsigned>(s.error()));
    v.pause_flags.fetch_and(~uint32_t{vpf_down});
}

void build(Domain& d, const Dom0Parts& parts) {
    const Layout l = plan(parts.kernel, parts.initrd.size(), parts.pages);
    auto p2m_copy = make_array<uint64_t>(l.pages);
    if (!p2m_copy) give_up("Not enough memory for dom0's p2m list");
    uint64_t* p2m = p2m_copy.value();
    // The list itself comes out of the heap that dom0 may have been promised to the last page.
    populate(d, p2m, l.pages);
    load_segments(parts.kernel, l, p2m);
    copy_in(p2m, l.initrd_pfn, 0, parts.initrd.data(), parts.initrd.size());
    copy_in(p2m, l.p2m_pfn, 0, p2m, l.pages * sizeof(uint64_t));
    write_start_info(d, l, p2m, parts);
    const Mfn root = make_tables(l, p2m);
    destroy_array(p2m, l.pages);
    pin_root(d, root);
    start_first_vcpu(d, parts.kernel, l, root);
    log(LogLevel::info, "Dom0: PV, p2m at %lx", l.p2m_va);
}

}  // namespace

constinit const Dom0Builder pv_dom0_builder{pv_guest, build};

}  // namespace hv
