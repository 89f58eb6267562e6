// SPDX-License-Identifier: Apache-2.0
/// Switching a CPU from one vCPU to another, and the guest state that lives in CPU registers.
#include <cstring>

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/descriptors.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/guarded.hpp"
#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/arch/x86/speculation_policy.hpp"
#include "hypervisor/domain/domain.hpp"
#include "hypervisor/guest/pv/cr4.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/view.hpp"
#include "hypervisor/mm/tlb.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sched/scheduler.hpp"

namespace hv {

extern "C" {
void load_ds(uint32_t selector);
void load_es(uint32_t selector);
void load_fs(uint32_t selector);
void load_gs_swapped(uint32_t selector);
}

namespace {

void save_fpu(Vcpu& v) {
    if (v.pv->cr0_ts) hw::set_ts(false);
    if (cpu_features.xsave) {
        if (v.pv->xcr0 != cpu_features.xcr0) hw::xsetbv(cpu_features.xcr0);
        hw::xsave(v.fpu);
    } else {
        hw::fxsave(v.fpu);
    }
}

/// Whoever set this area did not check it: the domain ends, and nothing of another one's registers stays in it.
[[gnu::noinline]] void refuse_fpu(Vcpu& v) {
    memset(v.fpu, 0, cpu_features.xsave_size);
    (void)hw::xrstor(v.fpu);  // all components in their initial state
    domain_crash(v.domain, "a vCPU has floating-point registers that no CPU takes");
}

/// Where the CPU would leave them in place, the x87's pointers must not be those of the vCPU before.
void forget_x87_pointers(const uint8_t* area) {
    constexpr uint8_t exception_pending = 0x80;
    constexpr unsigned status_word = 2;  // SDM 1 table 10-2
    if (cpu_features.x87_pointers_stay && !(area[status_word] & exception_pending)) hw::overwrite_x87_pointers();
}

/// Leaves XCR0 at the guest's value and CR0.TS as the guest wants it.
void load_fpu(Vcpu& v) {
    hw::set_ts(false);
    forget_x87_pointers(v.fpu);
    if (cpu_features.xsave) {
        hw::xsetbv(cpu_features.xcr0);
        if (!hw::xrstor(v.fpu)) [[unlikely]]
            refuse_fpu(v);
        if (v.pv->xcr0 != cpu_features.xcr0) hw::xsetbv(v.pv->xcr0);
    } else {
        hw::fxrstor(v.fpu);
    }
    if (v.pv->cr0_ts) hw::set_ts(true);
}

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

void save_guest(Vcpu& v) {
    v.regs = stack_top().regs;
    save_segments(v);
    save_fpu(v);
    // The debug registers were written through us, so only DR6 can have changed, and #DB saved it.
    if (v.pv->debug[7] & 0xff) hw::write_dr7(0x400);
}

/// Tells the entry stubs what to load before they go on. Nothing when no view is loaded: an NMI in the idle loop must not
/// load what the last guest left behind.
void note_root(const Cpu& cpu, uint64_t cr3) {
    const Vcpu& v = *cpu.current;
    stack_top().hypervisor_cr3 = !v.idle && v.domain.pv->isolated ? cr3 : 0;
}

void set_root(Cpu& cpu, uint64_t cr3) {
    // Others skip idle CPUs when they flush: say "guest" before its translations can exist, "idle" after they are gone.
    const uint64_t idle = idle_cr3();
    if (cr3 != idle) __atomic_store_n(&cpu.loaded_cr3, cr3, __ATOMIC_SEQ_CST);
    const uint32_t time = tlb_flush_begins();
    if (entries_guarded) [[unlikely]]
        note_root(cpu, cr3);
    hw::write_cr3(cr3);
    tlb_flush_ended(cpu, time);
    if (cr3 == idle) __atomic_store_n(&cpu.loaded_cr3, cr3, __ATOMIC_SEQ_CST);
}

void enter_idle(Cpu& cpu) {
    load_own_gdtr(cpu);
    load_ldt(cpu, 0, 0);
    set_root(cpu, idle_cr3());
}

/// A vCPU without page tables for its mode runs nowhere. The CPU stays in the idle address space, and the scheduler
/// chooses again before the way out ends: it has been told, and the vCPU's pause stays.
[[gnu::noinline]] void refuse_entry(Cpu& cpu, Vcpu& v) {
    enter_idle(cpu);
    sched::pause_nosync(v);
    domain_crash(v.domain, "a vCPU has no page tables for its mode");
}

/// What one domain has taught the branch predictors, and what of it lies where views show it, is forgotten before another
/// runs here, however long ago that was.
void separate_domains(const Cpu& cpu, const Domain& d) {
    static uint64_t last_here[max_cpus];
    if (last_here[cpu.id] == d.pv->serial) return;
    last_here[cpu.id] = d.pv->serial;
    constexpr uint64_t ibpb = 1;
    if (speculation.ibpb_on_switch) hw::wrmsr(hw::msr_pred_cmd, ibpb);
    // Frames of earlier entries lie below the registers in the page that all views hold: they were the last domain's.
    CpuStackTop& top = stack_top();
    auto* page = reinterpret_cast<uint8_t*>(reinterpret_cast<uint64_t>(&top) & ~(page_size - 1));
    if (d.pv->isolated) memset(page, 0, static_cast<size_t>(reinterpret_cast<uint8_t*>(&top) - page));
}

void enter_guest(Cpu& cpu, Vcpu& v) {
    PvVcpu& pv = *v.pv;
    if (pv.root() == 0) [[unlikely]] {
        refuse_entry(cpu, v);
        return;
    }
    separate_domains(cpu, v.domain);
    arch::load_guest_spec_ctrl(v);
    view_forget(cpu.id);
    set_root(cpu, pv.root() << page_shift);
    // The last page of the GDT window is this CPU's own: TSS and LDT descriptors are per CPU.
    constexpr unsigned reserved_page = gdt_reserved_offset / page_size;
    pv.descriptor_l1[reserved_page] = gdt_page(cpu.id).address() | pte::present | pte::rw | pte::accessed | pte::dirty | pte::nx;
    hw::invlpg(gdt_va(v.id) + gdt_reserved_offset);
    load_gdtr(gdt_va(v.id));
    arch::load_guest_ldt(v);
    arch::load_guest_cr4(v);
    stack_top().regs = v.regs;
    load_segments(v);
    if (cpu_features.rdtscp) hw::wrmsr(hw::msr_tsc_aux, pv.tsc_aux);
    load_fpu(v);
    if (pv.debug[7] & 0xff) arch::load_guest_debug(v);
}

}  // namespace

namespace arch {

void switch_to(Vcpu& prev, Vcpu& next) {
    Cpu& cpu = this_cpu();
    if (!prev.idle && prev.pv->root() != 0) save_guest(prev);
    cpu.current = &next;
    if (next.idle) {
        enter_idle(cpu);
    } else {
        next.domain.dirty_cpus.set(cpu.id);
        enter_guest(cpu, next);
    }
    if (!prev.idle && &prev.domain != &next.domain) prev.domain.dirty_cpus.clear(cpu.id);
}

void load_root(uint64_t cr3) { set_root(this_cpu(), cr3); }

void load_guest_cr4(const Vcpu& v) {
    Cpu& cpu = this_cpu();
    const uint64_t want =
        (cpu_features.cr4 & ~cr4_guest_bits) | (v.pv->cr4 & cr4_guest_bits) | (cpu_features.cr4 & hw::cr4_osxsave);
    if (want == cpu.loaded_cr4) return;
    cpu.loaded_cr4 = want;
    hw::write_cr4(want);
}

void load_guest_ldt(const Vcpu& v) { load_ldt(this_cpu(), ldt_va(v.id), v.pv->ldt_entries); }

void load_guest_xcr0(const Vcpu& v) {
    if (cpu_features.xsave) hw::xsetbv(v.pv->xcr0);
}

void load_guest_spec_ctrl(const Vcpu& v) { stack_top().guest_spec_ctrl = v.pv->spec_ctrl; }

void load_guest_debug(const Vcpu& v) {
    const PvVcpu& pv = *v.pv;
    for (unsigned i = 0; i < 4; ++i) hw::write_dr(i, pv.debug[i]);
    hw::write_dr7(pv.debug[7] | 0x400);
}

void load_gs_user_selector(uint16_t selector) { load_gs_swapped(selector); }
uint64_t read_fs_base() { return hw::rdmsr(hw::msr_fs_base); }
uint64_t read_gs_base(bool other) { return hw::rdmsr(other ? hw::msr_kernel_gs_base : hw::msr_gs_base); }
void write_fs_base(uint64_t v) { hw::wrmsr(hw::msr_fs_base, v); }
void write_gs_base(bool other, uint64_t v) { hw::wrmsr(other ? hw::msr_kernel_gs_base : hw::msr_gs_base, v); }
uint16_t read_segment(unsigned which) { return hw::read_selector(which); }

}  // namespace arch
}  // namespace hv
