// SPDX-License-Identifier: Apache-2.0
/// Direct paging: entries, flushes, pinned tables; memory that goes and comes.
#include "abi/xen/arch_x86.hpp"
#include "abi/xen/memory.hpp"
#include "guests/bench/bench.hpp"

namespace bench {

using namespace xen;

namespace {

constexpr unsigned entries = 512;

void mappings() {
    char* va = windows.map[0];
    const uint64_t a = mfn_of(windows.granted) * page_bytes, b = mfn_of(windows.other) * page_bytes;
    expect("update_va_mapping", set_entry(va, a | read_only, UVMF_INVLPG) == 0);
    measure("uva_mapping ro/rw INVLPG (2)", 500, [&] {
        set_entry(va, a | read_write, UVMF_INVLPG);
        set_entry(va, a | read_only, UVMF_INVLPG);
    });
    measure("uva_mapping swap pg INVLPG (2)", 500, [&] {
        set_entry(va, b | read_write, UVMF_INVLPG);
        set_entry(va, a | read_write, UVMF_INVLPG);
    });
    measure("uva_mapping noflush (2)", 500, [&] {
        set_entry(va, a | read_only, UVMF_NONE);
        set_entry(va, a | read_write, UVMF_NONE);
    });
    measure("uva_mapping np/p INVLPG (2)", 500, [&] {
        set_entry(va, 0, UVMF_INVLPG);
        set_entry(va, a | read_write, UVMF_INVLPG);
    });
}

void updates() {
    static MmuUpdate list[32];
    const uint64_t a = mfn_of(windows.granted) * page_bytes, b = mfn_of(windows.other) * page_bytes;
    for (unsigned i = 0; i < 32; ++i) list[i].ptr = machine_address(entry_of(windows.map[i % 16])) | MMU_NORMAL_PT_UPDATE;
    uint32_t count = 0;
    auto run = [&](unsigned n, uint64_t value) {
        for (unsigned i = 0; i < n; ++i) list[i].val = value | read_write;
        hypercall(HYPERVISOR_mmu_update, addr(list), n, addr(&count), DOMID_SELF);
    };
    measure("mmu_update x1 (2)", 500, [&] { run(1, a), run(1, b); });
    expect("mmu_update", count == 1);
    measure("mmu_update x32 (2)", 100, [&] { run(32, a), run(32, b); });
    expect("mmu_update of 32", count == 32);
    hypercall(HYPERVISOR_vm_assist, VMASST_CMD_enable, VMASST_TYPE_writable_pagetables);
    uint64_t* entry = entry_of(windows.map[0]);
    // Always the same instruction: what its decoding costs is part of the figure.
    auto write = [entry](uint64_t value) { asm volatile("movq %0, (%%rbx)" : : "r"(value), "b"(entry) : "memory"); };
    measure("PTE write emulation (2)", 500, [&] {
        write(a | read_write);
        write(b | read_write);
    });
    expect("a written entry", (*entry & ~uint64_t{0xfff}) == b);
}

void flushes() {
    measure("mmuext tlb_flush_local", 1000, [] { mmuext(MMUEXT_TLB_FLUSH_LOCAL, 0); });
    measure("mmuext invlpg_local", 1000, [] { mmuext(MMUEXT_INVLPG_LOCAL, addr(windows.map[0])); });
    const uint64_t root = mfn_of(reinterpret_cast<const void*>(info->pt_base));
    expect("new_baseptr", mmuext(MMUEXT_NEW_BASEPTR, root) == 0);
    measure("mmuext new_baseptr (same)", 1000, [&] { mmuext(MMUEXT_NEW_BASEPTR, root); });
}

void pins() {
    auto* table = reinterpret_cast<uint64_t*>(windows.table);
    const uint64_t mfn = mfn_of(table);
    auto pin_unpin = [&] {
        mmuext(MMUEXT_PIN_L1_TABLE, mfn);
        mmuext(MMUEXT_UNPIN_TABLE, mfn);
    };
    set_entry(table, mfn * page_bytes | read_only, UVMF_INVLPG);
    expect("pin", mmuext(MMUEXT_PIN_L1_TABLE, mfn) == 0 && mmuext(MMUEXT_UNPIN_TABLE, mfn) == 0);
    measure("pin+unpin empty L1", 100, pin_unpin);
    set_entry(table, mfn * page_bytes | read_write, UVMF_INVLPG);
    for (unsigned i = 0; i < entries; ++i) table[i] = mfn_of(windows.other) * page_bytes | read_write;
    set_entry(table, mfn * page_bytes | read_only, UVMF_INVLPG);
    expect("pin a full table", mmuext(MMUEXT_PIN_L1_TABLE, mfn) == 0 && mmuext(MMUEXT_UNPIN_TABLE, mfn) == 0);
    measure("pin+unpin full L1 (512)", 50, pin_unpin);
}

}  // namespace

void paging() {
    mappings();
    updates();
    flushes();
    pins();
}

void memory() {
    domid_t self = DOMID_SELF;
    measure("memory_op current_res", 1000, [&] { hypercall(HYPERVISOR_memory_op, XENMEM_current_reservation, addr(&self)); });
    const uint64_t pfn = info->nr_pages - 1;  // beyond what the kernel maps
    uint64_t frame = reinterpret_cast<const uint64_t*>(info->mfn_list)[pfn], page = pfn;
    MemoryReservation give{{addr(&frame)}, 1, 0, 0, DOMID_SELF, {}}, take{{addr(&page)}, 1, 0, 0, DOMID_SELF, {}};
    bool right = true;
    measure("memory_op decrease+populate", 500, [&] {
        right = right && hypercall(HYPERVISOR_memory_op, XENMEM_decrease_reservation, addr(&give)) == 1;
        page = pfn;
        right = right && hypercall(HYPERVISOR_memory_op, XENMEM_populate_physmap, addr(&take)) == 1;
        frame = page;
    });
    expect("decrease and populate", right);
}

}  // namespace bench
