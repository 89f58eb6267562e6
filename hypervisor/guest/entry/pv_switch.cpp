// SPDX-License-Identifier: Apache-2.0
/// A PV vCPU comes to a CPU and leaves it: page tables, descriptor tables, segments, CR4, CR0.TS.
#include <cstring>

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/descriptors.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/entry/switch.hpp"
#include "hypervisor/guest/pv/cr4.hpp"
#include "hypervisor/guest/pv/kind.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/view.hpp"
#include "hypervisor/sched/scheduler.hpp"

namespace hv {

extern "C" {
void load_ds(uint32_t selector);
void load_es(uint32_t selector);
void load_fs(uint32_t selector);
void load_gs_swapped(uint32_t selector);
}

namespace {

void save_segments(Vcpu& v) {
    PvVcpu& pv = *v.pv;
    pv.ds = hw::read_selector(0);
    pv.es = hw::read_selector(1);
    pv.fs = hw::read_selector(2);
    pv.gs = hw::read_selector(3);
    pv.fs_base = hw::rdmsr(hw::msr_fs_base);
    const uint64_t active = hw::rdmsr(hw::msr_gs_base);
    const uint64_t other = hw::rdmsr(hw::msr_kernel_gs_base);
    pv.gs_base_kernel = pv.in_kernel ? active : other;
    pv.gs_base_user = pv.in_kernel ? other : active;
}

void load_segments(Vcpu& v) {
    const PvVcpu& pv = *v.pv;
    // Loading a selector resets its base: selectors first.
    if (pv.ds || hw::read_selector(0)) load_ds(pv.ds);
    if (pv.es || hw::read_selector(1)) load_es(pv.es);
    if (pv.fs || hw::read_selector(2)) load_fs(pv.fs);
    if (pv.gs || hw::read_selector(3)) load_gs_swapped(pv.gs);
    hw::wrmsr(hw::msr_fs_base, pv.fs_base);
    hw::wrmsr(hw::msr_gs_base, pv.in_kernel ? pv.gs_base_kernel : pv.gs_base_user);
    hw::wrmsr(hw::msr_kernel_gs_base, pv.in_kernel ? pv.gs_base_user : pv.gs_base_kernel);
}

/// A vCPU without page tables for its mode runs nowhere. The CPU stays in the idle address space, and the scheduler
/// chooses again before the way out ends: it has been told, and the vCPU's pause stays.
[[gnu::noinline]] void refuse_entry(Cpu& cpu, Vcpu& v) {
    enter_idle(cpu);
    sched::pause_nosync(v);
    domain_crash(v.domain, "a vCPU has no page tables for its mode");
}

/// Frames of earlier entries lie below the registers in the page that all views hold: they were the last domain's.
void clear_frames_in_view() {
    CpuStackTop& top = stack_top();
    auto* page = reinterpret_cast<uint8_t*>(reinterpret_cast<uint64_t>(&top) & ~(page_size - 1));
    memset(page, 0, static_cast<size_t>(reinterpret_cast<uint8_t*>(&top) - page));
}

}  // namespace

void pv_switch_out(Vcpu& v) {
    if (v.pv->root() == 0) return;  // it was refused
    v.regs = stack_top().regs;
    save_segments(v);
    if (v.pv->cr0_ts) hw::set_ts(false);
    save_guest_state(v);
}

void pv_switch_in(Vcpu& v) {
    Cpu& cpu = this_cpu();
    PvVcpu& pv = *v.pv;
    if (pv.root() == 0) [[unlikely]] {
        refuse_entry(cpu, v);
        return;
    }
    if (separate_domains(cpu, v) && v.domain.pv->isolated) clear_frames_in_view();
    view_forget(cpu.id);
    arch::load_root(pv.cr3());
    // The last page of the GDT window is this CPU's own: TSS and LDT descriptors are per CPU.
    constexpr unsigned reserved_page = gdt_reserved_offset / page_size;
    pv.descriptor_l1[reserved_page] = gdt_page(cpu.id).address() | pte::present | pte::rw | pte::accessed | pte::dirty | pte::nx;
    hw::invlpg(gdt_va(v.id) + gdt_reserved_offset);
    load_gdtr(gdt_va(v.id));
    arch::load_guest_ldt(v);
    arch::load_guest_cr4(v);
    stack_top().regs = v.regs;
    stack_top().doors = static_cast<PvDoors*>(v.pv);
    load_segments(v);
    load_guest_state(v);
    if (pv.cr0_ts) hw::set_ts(true);
}

namespace arch {

void load_root(uint64_t cr3) {
    Cpu& cpu = this_cpu();
    set_root(cpu, cr3, [&] { return cpu.current->domain.pv->isolated; });
}

void load_guest_cr4(const Vcpu& v) {
    Cpu& cpu = this_cpu();
    const uint64_t want =
        (cpu_features.cr4 & ~cr4_guest_bits) | (v.pv->cr4 & cr4_guest_bits) | (cpu_features.cr4 & hw::cr4_osxsave);
    if (want == cpu.loaded_cr4) return;
    cpu.loaded_cr4 = want;
    hw::write_cr4(want);
}

void load_guest_ldt(const Vcpu& v) { load_ldt(this_cpu(), ldt_va(v.id), v.pv->ldt_entries); }

void load_gs_user_selector(uint16_t selector) { load_gs_swapped(selector); }
uint64_t read_fs_base() { return hw::rdmsr(hw::msr_fs_base); }
uint64_t read_gs_base(bool other) { return hw::rdmsr(other ? hw::msr_kernel_gs_base : hw::msr_gs_base); }
void write_fs_base(uint64_t v) { hw::wrmsr(hw::msr_fs_base, v); }
void write_gs_base(bool other, uint64_t v) { hw::wrmsr(other ? hw::msr_kernel_gs_base : hw::msr_gs_base, v); }
uint16_t read_segment(unsigned which) { return hw::read_selector(which); }

}  // namespace arch
}  // namespace hv
