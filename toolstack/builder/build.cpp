// SPDX-License-Identifier: Apache-2.0
// Carries a Plan out.
#include <algorithm>
#include <cstring>

#include "abi/xen/arch_x86.hpp"
#include "abi/xen/basic.hpp"
#include "toolstack/builder/builder.hpp"
#include "toolstack/builder/frames.hpp"
#include "toolstack/builder/new_domain.hpp"
#include "toolstack/builder/tables.hpp"
#include "toolstack/builder/undo.hpp"

namespace builder {
namespace {

using base::DomId;
using base::Errc;
using base::fail;
using base::Gfn;
using base::Mfn;
using base::Outcome;
using base::Unit;
using base::VcpuId;
using xenctrl::Control;

Outcome<> give_memory(Control& control, DomId domain, const Plan& plan, DomainFrames& frames) {
    OTRY(limit_memory(control, domain, plan.max_pages));
    // A claim makes two builders that race for the last memory fail cleanly instead of both half-way.
    OTRY(control.claim(domain, plan.pages));
    OTRY(frames.populate(plan.pages));
    return control.claim(domain, 0);
}

Outcome<> load_images(const Plan& plan, DomainFrames& frames) {
    // Kernels start from the gaps between segments as from their bss: all of it must be clean.
    uint64_t clean_to = plan.layout.kernel.first * base::page_size;
    std::vector<LoadPiece> pieces = plan.pieces;
    std::ranges::sort(pieces, {}, &LoadPiece::address);
    const std::span<const std::byte> image(*plan.images->kernel);
    for (const LoadPiece& piece : pieces) {
        if (piece.address > clean_to) OTRY(frames.fill(clean_to, {}, piece.address - clean_to));
        OTRY(frames.fill(piece.address, image.subspan(piece.offset, std::min(piece.file_size, piece.memory_size)),
                         piece.memory_size));
        clean_to = std::max(clean_to, piece.address + piece.memory_size);
    }
    const uint64_t end = plan.layout.kernel.end() * base::page_size;
    OTRY(frames.fill(clean_to, {}, end - clean_to));
    const auto& ramdisk = *plan.images->ramdisk;
    return frames.fill(plan.layout.ramdisk.first * base::page_size, ramdisk, plan.layout.ramdisk.pages * base::page_size);
}

Outcome<> write_p2m(const Plan& plan, DomainFrames& frames) {
    const auto list = std::as_bytes(std::span(frames.mfns()));
    const uint64_t pages = base::Pages::covering(list.size()).n;
    return frames.fill(plan.layout.p2m.first * base::page_size, list, pages * base::page_size);
}

Outcome<> write_tables(const Plan& plan, DomainFrames& frames) {
    const Layout& l = plan.layout;
    const auto mfn_of = [&](uint64_t pfn) { return frames.mfn(pfn); };
    const auto write_run = [&](Extent run) {
        return frames.write(run, [&](std::span<std::byte> bytes, uint64_t pfn) {
            for (const TablePage& table : l.table_pages) {
                if (table.pfn < pfn || table.pfn >= pfn + bytes.size() / base::page_size) continue;
                auto* at = reinterpret_cast<uint64_t*>(bytes.data() + (table.pfn - pfn) * base::page_size);
                write_table(l, table, std::span<uint64_t, entries_per_table>(at, entries_per_table), mfn_of);
            }
        });
    };
    // Every frame of `tables` is to be a table, also one the layout's last round turned out not to need.
    OTRY(frames.clear(l.tables));
    OTRY(write_run(l.tables));
    if (!l.p2m_apart) return Unit{};
    const uint64_t list_pages = base::Pages::covering(plan.pages * sizeof(uint64_t)).n;
    return write_run({l.p2m.first + list_pages, l.p2m.pages - list_pages});
}

xen::StartInfo start_info(const Plan& plan, const DomainFrames& frames, Mfn shared_info, const DomainPorts& ports) {
    const Layout& l = plan.layout;
    const auto virt = [&](uint64_t pfn) { return l.virt_base + pfn * base::page_size; };
    auto s = xen::zeroed<xen::StartInfo>();
    std::memcpy(s.magic, "xen-3.0-x86_64", sizeof "xen-3.0-x86_64");
    s.nr_pages = plan.pages;
    s.shared_info = shared_info.address();
    s.store_mfn = frames.mfn(l.store);
    s.store_evtchn = ports.store.raw;
    s.console.domU.mfn = frames.mfn(l.console);
    s.console.domU.evtchn = ports.console.raw;
    s.pt_base = virt(l.tables.first);
    s.nr_pt_frames = l.tables.pages;
    s.mfn_list = l.p2m_virt;
    if (l.p2m_apart) {
        s.first_p2m_pfn = l.p2m.first;
        s.nr_p2m_frames = l.p2m.pages;
    }
    if (!plan.images->ramdisk->empty()) {
        s.mod_start = l.ramdisk_mapped ? virt(l.ramdisk.first) : l.ramdisk.first;
        s.mod_len = plan.images->ramdisk->size();
        if (!l.ramdisk_mapped) s.flags |= xen::SIF_MOD_START_PFN;
    }
    std::memcpy(s.cmd_line, plan.input.command_line.c_str(),
                std::min<size_t>(plan.input.command_line.size(), xen::MAX_GUEST_CMDLINE - 1));
    return s;
}

Outcome<> write_single_pages(const Plan& plan, DomainFrames& frames, Mfn shared_info, const DomainPorts& ports) {
    const Layout& l = plan.layout;
    const xen::StartInfo info = start_info(plan, frames, shared_info, ports);
    OTRY(frames.fill(l.start_info * base::page_size, std::as_bytes(std::span(&info, 1)), base::page_size));
    OTRY(frames.clear({l.store, 1}));
    OTRY(frames.clear({l.console, 1}));
    return frames.clear({l.stack, 1});
}

/// Events start masked on every vCPU: the kernel has no handler yet.
Outcome<> reset_shared_info(Control& control, DomId domain, Mfn frame) {
    const Gfn gfn{frame.raw};
    const auto mapping = OTRY(control.map(domain, {&gfn, 1}, xencall::Access::read_write));
    auto info = xen::zeroed<xen::SharedInfo>();
    for (xen::VcpuInfo& vcpu : info.vcpu_info) vcpu.evtchn_upcall_mask = 1;
    std::memset(mapping.data(), 0, base::page_size);
    std::memcpy(mapping.data(), &info, sizeof info);
    return Unit{};
}

xen::VcpuGuestContext boot_context(const Plan& plan, const DomainFrames& frames) {
    const Layout& l = plan.layout;
    auto c = xen::zeroed<xen::VcpuGuestContext>();
    c.flags = xen::VGCF_in_kernel | xen::VGCF_online;
    c.user_regs.rip = l.entry;
    c.user_regs.rsp = l.virt_base + (l.stack + 1) * base::page_size;
    c.user_regs.rsi = l.virt_base + l.start_info * base::page_size;
    c.user_regs.rflags = 1U << 9;  // interrupts on: for a PV guest the mask in its vcpu_info counts
    c.user_regs.cs = xen::FLAT_KERNEL_CS;
    c.user_regs.ss = xen::FLAT_KERNEL_SS;
    c.kernel_ss = xen::FLAT_KERNEL_SS;
    c.kernel_sp = c.user_regs.rsp;
    c.ctrlreg[3] = frames.mfn(l.tables.first) << base::page_shift;
    c.debugreg[6] = 0xffff0ff0;  // what the processor has after reset
    c.debugreg[7] = 0x400;
    return c;
}

Outcome<BuiltDomain> fill_domain(Control& control, DomId domain, const Plan& plan) {
    if (plan.input.tsc_mode) OTRY(control.set_tsc_info(domain, {.mode = *plan.input.tsc_mode}));
    if (plan.input.time_offset != 0) OTRY(control.set_time_offset(domain, plan.input.time_offset));
    OTRY(set_scheduling(control, domain, plan.input));
    DomainFrames frames(control, domain);
    OTRY(give_memory(control, domain, plan, frames));
    const DomainPorts ports = OTRY(open_ports(control, domain, plan.input));
    const Mfn shared_info = OTRY(control.info(domain)).shared_info;
    OTRY(load_images(plan, frames));
    OTRY(write_p2m(plan, frames));
    OTRY(write_tables(plan, frames));
    OTRY(write_single_pages(plan, frames, shared_info, ports));
    if (plan.layout.hypercall_page) OTRY(control.hypercall_init(domain, Gfn{frames.mfn(*plan.layout.hypercall_page)}));
    OTRY(reset_shared_info(control, domain, shared_info));
    OTRY(seed_grants(control, domain, plan.input, Mfn{frames.mfn(plan.layout.console)}, Mfn{frames.mfn(plan.layout.store)}));
    OTRY(control.pin_l4(domain, Mfn{frames.mfn(plan.layout.tables.first)}));
    OTRY(control.set_vcpu_context(domain, VcpuId{0}, boot_context(plan, frames)));
    return BuiltDomain{domain, Mfn{frames.mfn(plan.layout.store)}, ports.store, Mfn{frames.mfn(plan.layout.console)},
                       ports.console};
}

}  // namespace

Outcome<BuiltDomain> build(Control& control, StoreIntroduce& store, const Plan& plan, BuildObserver* observer) {
    const xenctrl::PhysInfo machine = OTRY(control.physinfo());
    OTRY(check_memory(machine, plan.pages));
    Undo undo;
    const DomId domain = OTRY(control.create(create_options(plan.input, machine)));
    undo.on_failure([&control, domain] { static_cast<void>(control.destroy(domain)); });
    if (observer != nullptr) OTRY(observer->created(domain));
    const BuiltDomain built = OTRY(fill_domain(control, domain, plan));
    OTRY(store.introduce(domain, built.store_frame, built.store_port));
    undo.commit();
    return built;
}

}  // namespace builder
