// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/arch/x86/descriptors.hpp"

#include <cstring>

#include "hypervisor/arch/x86/guarded.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

extern "C" {
extern const uint8_t vector_stubs[];
extern const uint8_t syscall_stubs[];
extern const uint8_t entry_text_start[], entry_text_end[];
}

namespace {

/// SDM 3A 8.7, 64-bit TSS.
struct __attribute__((packed)) TssRegisters {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map_base;
};
static_assert(sizeof(TssRegisters) == 104);
/// None crosses a page, and all together fill whole pages: views hold nothing else with them.
struct alignas(128) Tss : TssRegisters {};

/// SDM 3A 6.14.1, 64-bit gate.
struct Gate {
    uint64_t low, high;
};

struct __attribute__((packed)) TableRegister {
    uint16_t limit;
    uint64_t base;
};

uint64_t* gdt_pages[max_cpus];
alignas(4096) Tss tss[max_cpus];
static_assert(sizeof tss % page_size == 0 && page_size % sizeof(Tss) == 0);
alignas(4096) Gate idt[256];

/// entry.S: two of 32 bytes a CPU.
const uint8_t* syscall_stub(unsigned cpu) { return syscall_stubs + cpu * 64; }
const uint8_t* syscall32_stub(unsigned cpu) { return syscall_stub(cpu) + 32; }

Gate make_gate(uint64_t handler, unsigned dpl, uint8_t ist) {
    constexpr uint64_t present = uint64_t{1} << 47;
    constexpr uint64_t interrupt_gate = uint64_t{0xe} << 40;
    return {(handler & 0xffff) | (uint64_t{sel_hv_cs} << 16) | (uint64_t{ist} << 32) | interrupt_gate | (uint64_t{dpl} << 45) |
                present | ((handler & 0xffff0000) << 32),
            handler >> 32};
}

void build_idt() {
    for (unsigned v = 0; v < 256; ++v) {
        const unsigned dpl = v == 3 || v == 4 || v == 0x80 ? 3 : 0;
        const uint8_t ist = v == 8 || v == 18 ? ist_fatal : v == 2 ? ist_nmi : v == 1 ? ist_debug : 0;
        idt[v] = make_gate(reinterpret_cast<uint64_t>(vector_stubs) + v * 16, dpl, ist);
    }
}

/// System descriptors take two slots. SDM 3A figure 8-4.
void set_system_descriptor(uint64_t* slot, uint64_t base, uint64_t limit, unsigned type) {
    slot[0] = (limit & 0xffff) | ((base & 0xffffff) << 16) | (uint64_t{type} << 40) | (uint64_t{1} << 47) |
              ((limit & 0xf0000) << 32) | ((base & 0xff000000) << 32);
    slot[1] = base >> 32;
}

void build_gdt(unsigned cpu) {
    uint64_t* g = gdt_pages[cpu];
    const auto slot = [](unsigned selector) { return (selector - gdt_reserved_offset) / 8; };
    g[slot(sel_hv_cs)] = 0x00af9b000000ffff;
    g[slot(sel_hv_ds)] = 0x00cf93000000ffff;
    g[slot(0xe020)] = 0x00cffb000000ffff;  // ring 3, 32-bit code
    g[slot(0xe028)] = 0x00cff3000000ffff;  // ring 3 data
    g[slot(0xe030)] = 0x00affb000000ffff;  // ring 3, 64-bit code
    set_system_descriptor(&g[slot(sel_tss)], reinterpret_cast<uint64_t>(&tss[cpu]), sizeof(TssRegisters) - 1, 9);
}

void load_syscall_registers(unsigned cpu) {
    // With a null CS SYSENTER is #GP, where pv_sysenter() takes it up (Intel; on AMD it is #UD in long mode anyway). What
    // the firmware left here would be entered in ring 0.
    hw::wrmsr(hw::msr_sysenter_cs, 0);
    hw::wrmsr(hw::msr_sysenter_esp, 0);
    hw::wrmsr(hw::msr_sysenter_eip, 0);
    // SYSCALL loads CS and SS from bits 47:32; SYSRET from 63:48 (+16 for 64-bit code, +8 for the stack).
    hw::wrmsr(hw::msr_star, (uint64_t{0xe023} << 48) | (uint64_t{sel_hv_cs} << 32));
    hw::wrmsr(hw::msr_lstar, reinterpret_cast<uint64_t>(syscall_stub(cpu)));
    hw::wrmsr(hw::msr_cstar, reinterpret_cast<uint64_t>(syscall32_stub(cpu)));
    hw::wrmsr(hw::msr_syscall_mask,
              eflags_tf | eflags_if | eflags_df | eflags_iopl | eflags_nt | eflags_rf | eflags_vm | eflags_ac);
}

}  // namespace

void set_gdt_page(unsigned cpu, void* page) { gdt_pages[cpu] = static_cast<uint64_t*>(page); }
bool has_gdt_page(unsigned cpu) { return gdt_pages[cpu]; }
Mfn gdt_page(unsigned cpu) { return mfn_of(gdt_pages[cpu]); }

VisiblePages pages_for_entries(unsigned cpu) {
    constexpr uint64_t read = pte::present | pte::accessed | pte::nx;
    constexpr uint64_t write = read | pte::rw | pte::dirty;
    VisiblePages list;
    const auto add = [&list](const void* page, uint64_t flags) {
        const uint64_t va = reinterpret_cast<uint64_t>(page) & ~(page_size - 1);
        if (!list.push({va, mfn_of_image(page).address() | flags})) panic("The entry code has grown beyond its list of pages");
    };
    for (const uint8_t* p = entry_text_start; p < entry_text_end; p += page_size) add(p, pte::present | pte::accessed);
    add(syscall_stub(cpu), pte::present | pte::accessed);
    add(idt, read);
    add(&tss[cpu], read);
    add(&stack_of(cpu), write);
    return list;
}

void load_gdtr(uint64_t base) {
    const TableRegister r{gdt_limit, base};
    asm volatile("lgdt %0" : : "m"(r));
}

void load_own_gdtr(Cpu& cpu) { load_gdtr(reinterpret_cast<uint64_t>(gdt_pages[cpu.id]) - gdt_reserved_offset); }

void load_ldt(Cpu& cpu, uint64_t base, uint32_t entries) {
    if (entries == 0) {
        asm volatile("lldt %w0" : : "r"(0));
        return;
    }
    uint64_t* g = gdt_pages[cpu.id];
    set_system_descriptor(&g[(sel_ldt - gdt_reserved_offset) / 8], base, entries * 8 - 1, 2);
    asm volatile("lldt %w0" : : "r"(sel_ldt));
}

void load_descriptors(Cpu& cpu) {
    if (cpu.id == 0) build_idt();
    build_gdt(cpu.id);
    uint8_t* stack = cpu_stacks + cpu.id * cpu_stack_size;
    Tss& t = tss[cpu.id];
    t.rsp[0] = reinterpret_cast<uint64_t>(&stack_of(cpu.id).cpu);
    // Plain entries handle these where they come. Guarded ones only take the frames there, in the last page, which guests'
    // views hold, and go on at a stack below: entry_guarded.S knows both places.
    uint8_t* const ist = entries_guarded ? stack + cpu_stack_size - page_size : stack + 4096;
    const uint64_t ist_size = entries_guarded ? 1024 : 2048;
    t.ist[ist_fatal - 1] = reinterpret_cast<uint64_t>(ist + ist_size);
    // What is taken on these two from a guest moves to the ordinary stack at once; from ourselves it returns at once.
    t.ist[ist_nmi - 1] = reinterpret_cast<uint64_t>(ist + 2 * ist_size);
    t.ist[ist_debug - 1] = reinterpret_cast<uint64_t>(ist + 3 * ist_size);
    t.io_map_base = sizeof(TssRegisters);  // beyond the limit: every port access of ring 3 faults

    load_own_gdtr(cpu);
    asm volatile(
        "pushq %0; lea 1f(%%rip), %%rax; push %%rax; lretq; 1: mov %1, %%ss; mov %2, %%ds; mov %2, %%es;"
        "mov %2, %%fs; mov %2, %%gs; ltr %w3"
        :
        : "i"(sel_hv_cs), "r"(uint32_t{sel_hv_ds}), "r"(0), "r"(sel_tss)
        : "rax", "memory");
    const TableRegister i{sizeof(idt) - 1, reinterpret_cast<uint64_t>(idt)};
    asm volatile("lidt %0; lldt %w1" : : "m"(i), "r"(0));
    load_syscall_registers(cpu.id);
}

}  // namespace hv
