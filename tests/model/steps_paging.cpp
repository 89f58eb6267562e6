// SPDX-License-Identifier: Apache-2.0
/// Steps that change pages: tables, pins, roots, descriptors, grants, reservations, and faults on page tables.
#include <iterator>
#include <utility>

#include "abi/xen/basic.hpp"
#include "abi/xen/grant_table.hpp"
#include "abi/xen/memory.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/grant/grant.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/traps.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "tests/machine/mmu.hpp"
#include "tests/model/world.hpp"

namespace hvmodel {
namespace {

constexpr uint64_t read_only = pte::present | pte::user;
constexpr uint64_t read_write = read_only | pte::rw;

/// The low half names the pages' owner, the high half the tables' owner + 1.
uint64_t foreign(World& w, Choice& c) {
    if (c.chance(w.control() ? 50 : 90)) return xen::DOMID_SELF;
    return w.domid(c) | (c.chance(40) ? uint64_t{c.below(5)} + 1 : 0) << 16;
}

xen::MmuUpdate random_update(World& w, Choice& c) {
    const auto level = static_cast<unsigned>(1 + c.below(4));
    const uint64_t table = c.chance(85) ? w.own_table(c, level) : w.frame(c);
    const uint64_t slot = c.chance(70) ? c.below(8) : c.of<uint64_t>({255, 256, 260, 262, 271, 272, 510, 511});
    const uint64_t command = c.of<uint64_t>({0, 0, 0, 0, 1, 2, 3, 7});
    return {table << page_shift | slot * 8 | command, c.chance(15) ? w.word(c) : w.entry(c, level)};
}

void mmu_update(World& w, Choice& c) {
    xen::MmuUpdate list[4];
    const uint64_t n = 1 + c.below(4);
    for (xen::MmuUpdate& u : list) u = random_update(w, c);
    const uint64_t at = w.put(c, list);
    w.call(c, xen::HYPERVISOR_mmu_update, at, n, c.chance(40) ? w.writable_page(c) : 0, foreign(w, c));
}

void update_va(World& w, Choice& c) {
    const uint64_t va = w.address(c);
    const uint64_t pfn = (va - linear_base) >> page_shift;
    uint64_t value = w.entry(c, 1);
    // Often the page that belongs there, with other rights.
    if (c.chance(60) && pfn < 512) {
        for (unsigned n = 0; n < 8; ++n) {
            const uint64_t f = w.own_frame(c);
            if (m2p(Mfn(f)) == pfn) value = f << page_shift | (value & 0xfff);
        }
    }
    const uint64_t flags = c.of<uint64_t>({0, 0, 1, 2, 1 | 4, 2 | 4, w.writable_page(c) | 1, w.writable_page(c) | 2});
    if (w.control() && c.chance(30)) w.call(c, xen::HYPERVISOR_update_va_mapping_otherdomain, va, value, flags, w.domid(c));
    else w.call(c, xen::HYPERVISOR_update_va_mapping, va, value, flags);
}

void mmuext(World& w, Choice& c) {
    xen::MmuextOp list[3];
    for (xen::MmuextOp& op : list) {
        op = xen::zeroed<xen::MmuextOp>();
        op.cmd = static_cast<uint32_t>(c.below(21));
        const bool pin = op.cmd <= xen::MMUEXT_PIN_L4_TABLE;
        op.arg1.mfn = pin && c.chance(70)                             ? w.own_table(c, op.cmd + 1)
                      : op.cmd == xen::MMUEXT_NEW_BASEPTR             ? w.own_table(c, 4)
                      : op.cmd == xen::MMUEXT_NEW_USER_BASEPTR        ? (c.chance(20) ? 0 : w.own_table(c, 4))
                      : op.cmd == xen::MMUEXT_SET_LDT || c.chance(20) ? w.address(c)
                                                                      : w.frame(c);
        if (op.cmd == xen::MMUEXT_SET_LDT) op.arg1.linear_addr &= ~(page_size - 1);
        op.arg2.nr_ents = static_cast<uint32_t>(c.of<uint64_t>({0, 1, 512, 513, 8192, w.frame(c)}));
        if (op.cmd == xen::MMUEXT_COPY_PAGE) op.arg2.src_mfn = w.frame(c);
        if (op.cmd == xen::MMUEXT_TLB_FLUSH_MULTI || op.cmd == xen::MMUEXT_INVLPG_MULTI)
            op.arg2.vcpumask.addr = w.writable_page(c);
    }
    const uint64_t n = 1 + c.below(3);
    const uint64_t at = w.put(c, list);
    const uint64_t target = c.chance(w.control() ? 60 : 92) ? xen::DOMID_SELF : w.domid(c);
    w.call(c, xen::HYPERVISOR_mmuext_op, at, n, c.chance(30) ? w.writable_page(c) : 0, target);
}

/// What a guest puts into a page that is to be a table.
void fill_table(World& w, Choice& c, uint64_t va, unsigned level) {
    const uint64_t like = w.own_table(c, level);
    if (c.chance(60)) (void)arch::copy_to_guest(va, map_mfn(Mfn(like)), 64);
    const uint64_t more = c.below(5);
    for (uint64_t i = 0; i < more; ++i) {
        const uint64_t slot = c.chance(70) ? c.below(16) : c.of<uint64_t>({255, 256, 260, 271, 272, 511});
        (void)arch::store_to_guest(va + slot * 8, w.entry(c, level));
    }
}

/// The life of a page table, from its first entry to its first use, as a kernel does it.
void make_table(World& w, Choice& c) {
    const auto level = static_cast<unsigned>(1 + c.below(4));
    const uint64_t va = w.writable_page(c);
    const auto t = va ? host::mmu::walk(this_cpu().id, va) : std::nullopt;
    if (!t) return;
    const uint64_t f = t->mfn.raw;
    fill_table(w, c, va, level);
    if (c.chance(90)) w.call(c, xen::HYPERVISOR_update_va_mapping, va, f << page_shift | read_only, c.below(3));
    auto op = xen::zeroed<xen::MmuextOp>();
    op.arg1.mfn = f;
    switch (c.below(4)) {
        case 0: op.cmd = xen::MMUEXT_PIN_L1_TABLE + level - 1; break;
        case 1:
            op.cmd =
                level == 4 ? c.of({xen::MMUEXT_NEW_BASEPTR, xen::MMUEXT_NEW_USER_BASEPTR}) : xen::MMUEXT_PIN_L1_TABLE + level - 1;
            break;
        default: {
            const xen::MmuUpdate u{w.own_table(c, level + 1) << page_shift | c.below(16) * 8,
                                   f << page_shift | read_write | pte::accessed};
            w.call(c, xen::HYPERVISOR_mmu_update, w.put(c, u), 1, 0, xen::DOMID_SELF);
            return;
        }
    }
    w.call(c, xen::HYPERVISOR_mmuext_op, w.put(c, op), 1, 0, xen::DOMID_SELF);
}

/// Takes a table, or what it names, out again.
void drop_table(World& w, Choice& c) {
    if (c.chance(40)) {
        auto op = xen::zeroed<xen::MmuextOp>();
        op.cmd = xen::MMUEXT_UNPIN_TABLE;
        op.arg1.mfn = w.own_table(c, static_cast<unsigned>(1 + c.below(4)));
        w.call(c, xen::HYPERVISOR_mmuext_op, w.put(c, op), 1, 0, xen::DOMID_SELF);
        return;
    }
    const uint64_t table = w.own_table(c, static_cast<unsigned>(1 + c.below(4)));
    const uint64_t* entries = map_mfn<uint64_t>(Mfn(table));
    for (uint64_t n = 0, first = c.below(512); n < 512; ++n) {
        const uint64_t i = (first + n) % 512;
        if (!(__atomic_load_n(entries + i, __ATOMIC_RELAXED) & pte::present) || (i >= l4_slot_m2p && i < l4_slot_end)) continue;
        const xen::MmuUpdate u{table << page_shift | i * 8, c.chance(80) ? 0 : w.word(c)};
        w.call(c, xen::HYPERVISOR_mmu_update, w.put(c, u), 1, 0, xen::DOMID_SELF);
        return;
    }
}

/// The control domain maps, reads and lets go of others' pages, and changes their tables.
void foreign_map(World& w, Choice& c) {
    if (!w.control()) return;
    const DomainRef d = next_domain(DomId::from_reg(1 + c.below(6)));
    if (!d || !d->page_list_head) return;
    uint64_t f = d->page_list_head;
    for (uint64_t n = c.below(48); n > 0 && frame_table[f].next; --n) f = frame_table[f].next;
    const uint64_t value = c.chance(25) ? 0 : f << page_shift | (c.chance(60) ? read_write : read_only);
    const uint64_t slot = w.own_table(c, 1) << page_shift | c.below(16) * 8;
    const xen::MmuUpdate u{slot, value};
    w.call(c, xen::HYPERVISOR_mmu_update, w.put(c, u), 1, 0, d->id.raw | (c.chance(20) ? (uint64_t{d->id.raw} + 1) << 16 : 0));
}

// -- descriptors ------------------------------------------------------------------------------------------------------

void descriptors(World& w, Choice& c) {
    switch (c.below(3)) {
        case 0: {
            uint64_t frames[14];
            for (uint64_t& f : frames) f = w.own_frame(c);
            w.call(c, xen::HYPERVISOR_set_gdt, w.put(c, frames), c.of<uint64_t>({0, 1, 512, 513, 1024, 0x1c00, 0x1c01}));
            return;
        }
        case 1: {
            // Nobody writes to a page of descriptors: first it is cleared, then read-only.
            const uint64_t va = w.writable_page(c);
            const auto t = va ? host::mmu::walk(this_cpu().id, va) : std::nullopt;
            if (!t) return;
            (void)arch::clear_guest(va, page_size);
            w.call(c, xen::HYPERVISOR_update_va_mapping, va, t->mfn.address() | read_only, 0);
            w.call(c, xen::HYPERVISOR_set_gdt, w.put(c, t->mfn.raw), 1 + c.below(512));
            return;
        }
        default:
            w.call(c, xen::HYPERVISOR_update_descriptor, w.frame(c) << page_shift | c.below(512) * 8,
                   c.of<uint64_t>({0, 0x00cf9b000000ffff, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x0000890000000067, c.word()}));
    }
}

// -- grants -----------------------------------------------------------------------------------------------------------

/// The guest writes an entry of its grant table, as through a mapping of it.
void grant_entry(World& w, Choice& c) {
    Domain& d = current().domain;
    const auto frame = get_grant_frame(d, c.chance(10) ? 1 : 0);
    if (!frame) return;
    auto& e = map_mfn<xen::GrantEntryV1>(frame.value())[c.below(16)];
    e.domid = static_cast<uint16_t>(c.below(6));
    e.frame = static_cast<uint32_t>(w.frame(c));
    __atomic_store_n(&e.flags, static_cast<uint16_t>(c.of<uint64_t>({1, 1, 1, 1 | 4, 0, 2, 3, c.below(65536)})),
                     __ATOMIC_RELEASE);
    dirtied(&e);
}

uint32_t reference(Choice& c) { return static_cast<uint32_t>(c.chance(95) ? c.below(16) : c.word()); }

void grant_map(World& w, Choice& c) {
    auto op = xen::zeroed<xen::GnttabMapGrantRef>();
    op.flags = static_cast<uint32_t>(c.of<uint64_t>({2, 2, 2, 2 | 4, 1, 3, 2 | 16, 2 | 4 | 16, 2 | 8, c.word()}));
    const bool by_pte = op.flags & xen::GNTMAP_contains_pte;
    op.host_addr = by_pte ? w.own_table(c, 1) << page_shift | c.below(64) * 8 : scratch_base + c.below(32) * page_size;
    if (c.chance(10)) op.host_addr = w.address(c);
    op.ref = reference(c);
    op.dom = static_cast<uint16_t>(c.below(6));
    const uint64_t at = w.put(c, op);
    if (w.call(c, xen::HYPERVISOR_grant_table_op, xen::GNTTABOP_map_grant_ref, at, 1) != 0) return;
    if (arch::copy_from_guest(&op, at, sizeof op) && op.status == 0) w.handles.add(op.handle);
}

void grant_unmap(World& w, Choice& c) {
    if (c.chance(75)) {
        xen::GnttabUnmapGrantRef ops[3];
        for (auto& op : ops) {
            op = xen::zeroed<xen::GnttabUnmapGrantRef>();
            op.host_addr =
                c.chance(85) ? scratch_base + c.below(32) * page_size : w.own_table(c, 1) << page_shift | c.below(64) * 8;
            op.dev_bus_addr = c.chance(20) ? w.frame(c) << page_shift : 0;
            op.handle = w.handles.pick(c);
        }
        w.call(c, xen::HYPERVISOR_grant_table_op, xen::GNTTABOP_unmap_grant_ref, w.put(c, ops), 1 + c.below(3));
        return;
    }
    auto op = xen::zeroed<xen::GnttabUnmapAndReplace>();
    op.host_addr = scratch_base + c.below(32) * page_size;
    op.new_addr = c.chance(80) ? w.address(c) & ~(page_size - 1) : scratch_base + c.below(32) * page_size;
    op.handle = w.handles.pick(c);
    w.call(c, xen::HYPERVISOR_grant_table_op, xen::GNTTABOP_unmap_and_replace, w.put(c, op), 1);
}

/// What is mapped at some place of the scratch window is given back there: chance seldom finds the pair.
void grant_unmap_all(World& w, Choice& c) {
    const uint32_t handle = w.handles.pick(c);
    for (unsigned i = 0; i < 32; ++i) {
        auto op = xen::zeroed<xen::GnttabUnmapGrantRef>();
        op.host_addr = scratch_base + i * page_size;
        op.handle = handle;
        const uint64_t at = w.put(c, op);
        w.call(c, xen::HYPERVISOR_grant_table_op, xen::GNTTABOP_unmap_grant_ref, at, 1);
        if (arch::copy_from_guest(&op, at, sizeof op) && op.status != xen::GNTST_general_error) return;
    }
}

void grant_copy(World& w, Choice& c) {
    xen::GnttabCopy ops[2];
    for (auto& op : ops) {
        op = xen::zeroed<xen::GnttabCopy>();
        op.flags = static_cast<uint16_t>(c.below(4));
        for (auto* end : {&op.source, &op.dest}) {
            const bool by_ref = op.flags & (end == &op.source ? xen::GNTCOPY_source_gref : xen::GNTCOPY_dest_gref);
            if (by_ref) end->u.ref = reference(c);
            else end->u.gmfn = w.frame(c);
            end->domid = by_ref ? static_cast<uint16_t>(c.below(6)) : c.chance(90) ? uint16_t{xen::DOMID_SELF} : w.domid(c);
            end->offset = static_cast<uint16_t>(c.below(4096));
        }
        op.len = static_cast<uint16_t>(c.chance(70) ? c.below(512) : c.below(8192));
    }
    w.call(c, xen::HYPERVISOR_grant_table_op, xen::GNTTABOP_copy, w.put(c, ops), 1 + c.below(2));
}

void grant_other(World& w, Choice& c) {
    uint64_t words[8];
    for (uint64_t& x : words) x = w.word(c);
    words[0] = (words[0] & ~uint64_t{0xffff}) | w.domid(c);
    if (c.chance(50)) words[0] = reference(c) | uint64_t{reference(c)} << 32;
    if (c.chance(60)) words[2] = w.writable_page(c);
    w.call(c, xen::HYPERVISOR_grant_table_op, c.below(14), w.put(c, words), c.of<uint64_t>({1, 1, 1, 0, 2, 0x80000000, 300}));
}

// -- reservations -----------------------------------------------------------------------------------------------------

/// Entries that name the page go first, most of the time, as a balloon driver does it.
uint64_t page_to_give(World& w, Choice& c) {
    const uint64_t va = w.writable_page(c);
    const auto t = va ? host::mmu::walk(this_cpu().id, va) : std::nullopt;
    if (!t || c.chance(30)) return w.frame(c);
    w.call(c, xen::HYPERVISOR_update_va_mapping, va, 0, 0);
    return t->mfn.raw;
}

void reservation(World& w, Choice& c) {
    const uint64_t cmd =
        c.of<uint64_t>({xen::XENMEM_decrease_reservation, xen::XENMEM_increase_reservation, xen::XENMEM_populate_physmap});
    uint64_t list[4];
    for (uint64_t& f : list) f = cmd == xen::XENMEM_decrease_reservation ? page_to_give(w, c) : c.below(512);
    auto r = xen::zeroed<xen::MemoryReservation>();
    r.nr_extents = 1 + c.below(4);
    r.extent_order = static_cast<uint32_t>(c.chance(80) ? 0 : c.below(20));
    r.mem_flags = static_cast<uint32_t>(c.of<uint64_t>({0, 0, 0, 32, 12, 20, c.word()}));
    r.domid = c.chance(80) ? uint16_t{xen::DOMID_SELF} : w.domid(c);
    r.extent_start.addr = w.put(c, list);
    w.call(c, xen::HYPERVISOR_memory_op, cmd | (c.chance(3) ? c.below(8) << 6 : 0), w.put(c, r));
    // New pages become part of the linear map where something is missing.
    if (cmd == xen::XENMEM_decrease_reservation || !arch::copy_from_guest(list, r.extent_start.addr, sizeof list)) return;
    const uint64_t va = linear_address(c.below(RealGuest::table_pages + World::data_pages));
    if (!host::mmu::walk(this_cpu().id, va))
        w.call(c, xen::HYPERVISOR_update_va_mapping, va, list[0] << page_shift | read_write, 0);
}

void exchange(World& w, Choice& c) {
    uint64_t in[4], out[4];
    for (uint64_t& f : in) f = page_to_give(w, c);
    for (uint64_t& f : out) f = c.below(512);
    auto x = xen::zeroed<xen::MemoryExchange>();
    const uint64_t order = c.below(3);
    x.in.nr_extents = uint64_t{1} << order;
    x.out.nr_extents = c.chance(90) ? 1 : c.below(8);
    x.out.extent_order = static_cast<uint32_t>(order);
    if (c.chance(30)) std::swap(x.in.extent_order, x.out.extent_order), std::swap(x.in.nr_extents, x.out.nr_extents);
    x.in.domid = x.out.domid = c.chance(85) ? uint16_t{xen::DOMID_SELF} : w.domid(c);
    x.in.extent_start.addr = w.put(c, in);
    x.out.extent_start.addr = w.put(c, out);
    w.call(c, xen::HYPERVISOR_memory_op, xen::XENMEM_exchange, w.put(c, x));
}

void memory_other(World& w, Choice& c) {
    uint64_t words[10];
    for (uint64_t& x : words) x = w.word(c);
    words[0] = c.chance(50) ? w.domid(c) : words[0];
    if (c.chance(50)) words[1] = c.below(8) | c.below(4) << 32;
    w.call(c, xen::HYPERVISOR_memory_op, c.below(30) | (c.chance(5) ? c.below(64) << 6 : 0), w.put(c, words));
}

// -- faults on page tables --------------------------------------------------------------------------------------------

/// The guest's kernel writes to a page table that it sees read-only, by one of the instructions kernels use for that.
void write_to_table(World& w, Choice& c) {
    static const uint8_t codes[][8] = {
        {0x48, 0x89, 0x07},              // mov %rax,(%rdi)
        {0x89, 0x07},                    // mov %eax,(%rdi)
        {0x48, 0x87, 0x07},              // xchg %rax,(%rdi)
        {0xf0, 0x48, 0x0f, 0xb1, 0x0f},  // lock cmpxchg %rcx,(%rdi)
        {0x48, 0x09, 0x07},              // or %rax,(%rdi)
        {0xf0, 0x48, 0x21, 0x07},        // lock and %rax,(%rdi)
        {0xf0, 0x80, 0x27, 0xfd},        // lock andb $0xfd,(%rdi)
        {0x48, 0x0f, 0xba, 0x37, 0x01},  // btr $1,(%rdi)
        {0xf0, 0x48, 0x0f, 0xab, 0x07},  // lock bts %rax,(%rdi)
        {0x48, 0xc7, 0x07, 0, 0, 0, 0},  // mov $0,(%rdi)
        {0x48, 0xab},                    // stos
        {0x88, 0x07},                    // mov %al,(%rdi)
    };
    Vcpu& v = current();
    if (!v.pv->in_kernel) return;
    const uint64_t l1 = w.own_table(c, c.chance(85) ? 1 : static_cast<unsigned>(1 + c.below(4)));
    const uint64_t pfn = m2p(Mfn(l1));
    const uint64_t stack = w.writable_page(c);
    if (pfn > 512 || !stack || !w.may_trap(trap_page_fault)) return;
    Regs& r = arch::guest_regs();
    r = Regs{};
    r.vector = trap_page_fault;
    r.error_code = 7;
    r.rsp = stack + page_size;
    r.rip = w.put(c, codes[c.below(std::size(codes))], 8);
    r.rdi = linear_address(pfn) + c.below(64) * 8 + (c.chance(15) ? c.below(8) : 0);
    r.rax = c.chance(80) ? w.entry(c, 1) : w.word(c);
    r.rcx = w.entry(c, 1);
    if (c.chance(50)) (void)arch::load_from_guest(r.rax, r.rdi);
    hw::host_cr2 = r.rdi;
    const auto t = host::mmu::walk(this_cpu().id, r.rdi);
    if (!t || t->writable) return;  // it would not fault, or not so
    pv_trap(v, r);
}

void store(World& w, Choice& c) {
    const uint64_t va = w.writable_page(c);
    if (!va) return;
    for (uint64_t n = 1 + c.below(4); n > 0; --n) (void)arch::store_to_guest(va + c.below(512) * 8, w.word(c));
}

void touch(World& w, Choice& c) {
    for (uint64_t n = 1 + c.below(8); n > 0; --n) (void)host::mmu::touch(this_cpu().id, w.address(c), c.chance(50));
}

}  // namespace

const Step paging_steps[] = {
    {"mmu_update", 12, mmu_update},
    {"update_va_mapping", 10, update_va},
    {"mmuext_op", 10, mmuext},
    {"make_table", 16, make_table},
    {"drop_table", 8, drop_table},
    {"foreign_map", 8, foreign_map},
    {"descriptors", 5, descriptors},
    {"grant_entry", 7, grant_entry},
    {"grant_map", 9, grant_map},
    {"grant_unmap", 5, grant_unmap},
    {"grant_unmap_all", 4, grant_unmap_all},
    {"grant_copy", 4, grant_copy},
    {"grant_other", 3, grant_other},
    {"reservation", 7, reservation},
    {"exchange", 4, exchange},
    {"memory_other", 2, memory_other},
    {"write_to_table", 8, write_to_table},
    {"store", 4, store},
    {"touch", 2, touch},
};
const size_t paging_step_count = std::size(paging_steps);

}  // namespace hvmodel
