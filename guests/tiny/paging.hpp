// SPDX-License-Identifier: Apache-2.0
/// Direct paging: the frames behind addresses, page-table entries and the calls that change them.
#pragma once

#include "guests/tiny/boot.hpp"
#include "guests/tiny/cpu.hpp"

namespace guest {

/// What a page-table entry says besides its frame: present, user, accessed, dirty.
inline constexpr uint64_t read_write = 0x67, read_only = 0x65;
inline constexpr uint64_t no_execute = uint64_t{1} << 63;
inline constexpr uint64_t frame_mask = 0xffffffffff000;

/// The machine frame of a pseudo-physical page.
inline uint64_t mfn_of_pfn(uint64_t pfn) { return at<const uint64_t>(info->mfn_list)[pfn]; }
/// The machine frame behind an address of the kernel.
inline uint64_t mfn_of(const void* p) { return mfn_of_pfn((addr(p) - kernel_base) / page_bytes); }
/// The kernel's address of one of its own machine frames, which must be one that is mapped from the start.
inline void* page_of(uint64_t mfn) {
    return at<void>(kernel_base + at<const uint64_t>(xen::MACH2PHYS_VIRT_START)[mfn] * page_bytes);
}
/// The address of the same byte in machine memory.
inline uint64_t machine_address(const void* p) { return mfn_of(p) * page_bytes + (addr(p) & (page_bytes - 1)); }

/// The table of `level` (4 = root, 1 = the last) that maps `va`; null where a level above it has no entry. Readable, as
/// all the kernel's tables are.
uint64_t* table_of(uint64_t va, unsigned level);
/// The last-level entry that maps `p`, which is mapped.
uint64_t* entry_of(const void* p);

/// Gives `va` another page-table entry; `flush` is one of UVMF_*.
inline long set_entry(const void* va, uint64_t entry, uint64_t flush = xen::UVMF_INVLPG) {
    return hypercall(xen::HYPERVISOR_update_va_mapping, addr(va), entry, flush);
}
/// Lets `va` name the frame that it names from the start, with these rights.
inline long protect(const void* va, uint64_t rights) { return set_entry(va, mfn_of(va) * page_bytes | rights); }
/// Writes one page-table entry at a machine address; the low two bits of it say how (MMU_*).
inline long write_entry(uint64_t machine, uint64_t value) {
    xen::MmuUpdate update{machine, value};
    return hypercall(xen::HYPERVISOR_mmu_update, addr(&update), 1, 0, xen::DOMID_SELF);
}
/// One extended operation on a frame or an address.
inline long mmuext(uint32_t cmd, uint64_t argument = 0, uint64_t second = 0) {
    auto op = xen::zeroed<xen::MmuextOp>();
    op.cmd = cmd;
    op.arg1.linear_addr = argument;
    op.arg2.src_mfn = second;
    return hypercall(xen::HYPERVISOR_mmuext_op, addr(&op), 1, 0, xen::DOMID_SELF);
}

/// Makes `tables` (a page each) a third level and below that maps nothing, ready for `va` in a part of the address space
/// that has no table; returns the last-level table, still empty, or null when a call was refused.
uint64_t* make_tables(uint64_t va, Page (&tables)[3]);

}  // namespace guest
