// SPDX-License-Identifier: Apache-2.0
/// The PV half of a domain and a vCPU: 64-bit guests whose kernel and user code both run in ring 3 over page tables
/// of the guest's own that the hypervisor has validated ("direct paging").
#pragma once

#include <atomic>
#include <cstdint>

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/guest_access.hpp"
#include "hypervisor/domain/domain.hpp"
#include "hypervisor/guest/pv/doors.hpp"
#include "hypervisor/mm/frame.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv {

inline constexpr unsigned pv_max_vcpus = 512;

struct Mirrors;

struct PvDomain {
    Spinlock lock{Rank::page_table};  ///< types l1..l4 and segdesc of the domain's pages, and entries of its page tables
    void* perdomain_l3 = nullptr;     ///< what L4 slot 260 points to: per-vCPU descriptor tables
    void* perdomain_l2 = nullptr;
    bool isolated = false;                  ///< runs on views (view.hpp). Set at creation
    std::atomic<uint64_t> root_changes{1};  ///< counts changes of its L4 tables while it is isolated
    bool checks_nonpresent = false;         ///< entries that are not present may not name memory (l1tf.hpp). Set at creation
    uint32_t relinquished_vcpus = 0;        ///< how many have let go of their tables when the domain ends
    std::atomic<bool> linear_l4{false};     ///< an L4 of it has, or had, a linear entry: see guest_memory.hpp
    Mirrors* mirrors = nullptr;             ///< while its dirty pages are logged; page_table lock (mirror.hpp)
    PageInfo* relinquish_cursor = nullptr;  ///< next to look at when the domain ends; holds a reference
};

struct PvCallback {
    uint64_t address = 0;
    bool masks_events = false;
};

inline constexpr unsigned gdt_guest_pages = 14;
inline constexpr unsigned ldt_max_pages = 16;
inline constexpr uint32_t ldt_max_entries = 8192;

/// A guest's handlers of exceptions and INT n, by vector. Not as the interface has them: with their padding they alone would fill a page.
struct TrapHandlers {
    uint64_t address[256] = {};  ///< 0: there is none
    uint16_t cs[256] = {};       ///< as the guest gave it: handlers run on the flat selector
    uint8_t flags[256] = {};     ///< TI_*

    /// In place: a compiler may make the empty ones on the stack first, which has no room for them.
    void clear() {
        __builtin_memset(address, 0, sizeof address);
        __builtin_memset(cs, 0, sizeof cs);
        __builtin_memset(flags, 0, sizeof flags);
    }
    bool masks_events(uint8_t vector) const { return flags[vector] & 4; }
    unsigned privilege(uint8_t vector) const { return flags[vector] & 3; }
    void set(uint8_t vector, const xen::TrapInfo& t) {
        address[vector] = t.address;
        cs[vector] = t.cs;
        flags[vector] = t.flags;
    }
    xen::TrapInfo get(uint8_t vector) const {
        return {address[vector] ? vector : uint8_t{0}, flags[vector], cs[vector], 0, address[vector]};
    }
};

/// Of its head: the page tables (page_table lock to change; the vCPU itself reads), its mode, an NMI that waits.
struct PvVcpu : PvDoors {
    Mfn kernel_root{0};            ///< L4 in kernel mode; 0: none. Holds a type and an existence reference
    Mfn user_root{0};              ///< L4 in user mode; 0: none. Holds references too
    uint8_t iopl = 0;              ///< I/O privilege level as the guest sees it; the CPU's own is always 0
    uint64_t io_bitmap = 0;        ///< guest VA in its kernel's address space: a set bit closes a port to its user code
    uint32_t io_bitmap_ports = 0;  ///< ports the bitmap tells of, from 0 on; closed beyond
    // descriptor tables
    Mfn gdt_frames[gdt_guest_pages] = {};
    uint32_t gdt_entries = 0;
    Mfn ldt_frames[ldt_max_pages] = {};
    uint64_t ldt_base = 0;
    uint32_t ldt_entries = 0;
    uint64_t* descriptor_l1 = nullptr;  ///< the 32 L1 entries of its GDT (16) and LDT (16) window
    // traps and callbacks
    TrapHandlers traps;
    PvCallback event, failsafe, syscall, syscall32, sysenter, nmi;
    uint64_t kernel_ss = 0;
    uint64_t kernel_sp = 0;
    // registers that only the hypervisor may touch
    uint64_t cr0_ts = 0;  ///< eflags-like: CR0.TS as the guest sees it (0 or 8)
    uint64_t cr2 = 0;
    uint64_t cr4 = 0;  ///< of cr4_guest_bits (cr4.hpp) those the guest has turned on
    uint64_t fs_base = 0, gs_base_kernel = 0, gs_base_user = 0;
    uint16_t ds = 0, es = 0, fs = 0, gs = 0;
    PageInfo* pending_put = nullptr;  ///< a table whose release was interrupted, with a reference: see types.hpp

    uint64_t root() const { return in_kernel ? kernel_root.raw : user_root.raw; }
    /// What the CPU loads for it: machine address.
    uint64_t cr3() const { return (in_kernel ? kernel_cr3 : user_cr3).address(); }
};

static_assert(sizeof(PvVcpu) <= page_size, "one more byte takes a second page");

/// What is loaded for a root.
constexpr Mfn PvVcpu::*pv_cr3_of(Mfn PvVcpu::*root) {
    return root == &PvVcpu::kernel_root ? &PvVcpu::kernel_cr3 : &PvVcpu::user_cr3;
}

/// Where the kernel's handlers find their frames when its programs are interrupted.
inline void pv_set_kernel_stack(PvVcpu& pv, uint64_t sp) {
    constexpr uint64_t frame_bytes = 7 * 8;
    const uint64_t frame = (sp & ~uint64_t{15}) - frame_bytes;
    pv.kernel_sp = sp;
    pv.quick_frame = arch::in_guest_part(frame) ? frame : 0;
}
/// After a change of the callback for system calls, whose address is canonical.
inline void pv_set_quick_call(PvVcpu& pv) { pv.quick_call = pv.syscall.masks_events ? pv.syscall.address : 0; }

/// Linear address of vCPU `id`'s GDT window (same in every address space of the domain); its LDT follows 16 pages on.
inline constexpr uint64_t perdomain_base = 0xffff'8200'0000'0000;
inline constexpr uint64_t gdt_va(VcpuId id) { return perdomain_base + uint64_t{id.raw} * 32 * page_size; }
inline constexpr uint64_t ldt_va(VcpuId id) { return gdt_va(id) + 16 * page_size; }

/// The guest keeps its I/O privilege level in the flags of its frames, and its kernel runs at level 0, not 1.
inline bool pv_architectural_iopl(const Domain& d) { return d.vm_assist >> xen::VMASST_TYPE_architectural_iopl & 1; }

}  // namespace hv
